"""Files that are no images are named with what they are, whatever they are called."""

import io
import zipfile

import numpy as np
import pytest

from sonosynth.cohort.decoding import Unusable, read_grey
from sonosynth.cohort.kinds import kind_of_bytes


def zipped():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a.txt", "a")
    return content.getvalue()


def array():
    content = io.BytesIO()
    np.save(content, np.zeros(3))
    return content.getvalue()


FILES = {
    "a DICOM file": b"\0" * 128 + b"DICM\x02\0\0\0",
    "a NIfTI file": b"\x5c\x01" + b"\0" * 342 + b"n+1\0" + b"\0" * 100,
    "a PDF": b"%PDF-1.7\n\xff\xff",
    "a zip archive": zipped(),
    "a video": b"\0\0\0\x20ftypisom\0\0\x02\0",
    "a text file": "Größe: 3 cm\n".encode() * 100,
    "an HTML page": b"\n<!DOCTYPE html><html><head>",
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
    "a MATLAB file": b"MATLAB 5.0 MAT-file, Platform: GLNXA64",
    "a NumPy array": array(),
}


@pytest.mark.parametrize("kind", FILES)
def test_what_is_no_image_is_named(tmp_path, kind):
    (tmp_path / "x.png").write_bytes(FILES[kind])
    with pytest.raises(Unusable, match=f"is not a PNG, JPEG, BMP, TIFF, WebP or GIF image, but {kind}"):
        read_grey(tmp_path / "x.png")


def test_what_is_not_known_is_not_guessed():
    assert kind_of_bytes(b"") == kind_of_bytes(b"\x01\x02\x03") == kind_of_bytes(bytes(range(200, 256)) * 10) == ""


def test_a_character_cut_off_at_the_end_is_text():
    assert kind_of_bytes("ä".encode() * 10 + "ä".encode()[:1]) == "a text file"
