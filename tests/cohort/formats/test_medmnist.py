import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sonosynth.artefacts import TRAIN, VALIDATION
from sonosynth.cohort.decoding import Unusable, decode
from sonosynth.cohort.reading import list_files, read
from sonosynth.cohort.sources import list_sources
from sonosynth.errors import UserError

RNG = np.random.default_rng(0)


def arrays(shape=(28, 28), counts=(6, 2, 3), kind=np.uint8):
    found = {}
    for part, count in zip(("train", "val", "test"), counts, strict=True):
        found[f"{part}_images"] = RNG.integers(0, 256, (count, *shape)).astype(kind)
        found[f"{part}_labels"] = (np.arange(count) % 2).astype(np.uint8)[:, None]
    return found


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_image_has_its_pixels_label_and_side(tmp_path, save, order):
    stored = {name: np.asarray(values, order=order) for name, values in arrays().items()}
    save(tmp_path / "breastmnist.npz", **stored)
    sources = {source.id: source for source in list_sources(tmp_path / "breastmnist.npz").sources}
    assert len(sources) == 11
    for part, side in (("train", TRAIN), ("val", VALIDATION), ("test", VALIDATION)):
        for n, image in enumerate(stored[f"{part}_images"]):
            source = sources[f"{part}/{n}"]
            assert (source.label, source.given) == (str(n % 2), side)
            grey, mode, _ = decode(source.file)
            assert np.array_equal(grey, image) and mode == "L"


def test_a_cohort_is_read_with_a_hash_of_its_own_for_each_image(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", **arrays())
    cohort = read(tmp_path / "x.npz", 16)
    assert cohort.squares.shape == (11, 16, 16)
    assert cohort.images["sha256"].nunique() == 11
    assert cohort.images["file"][0] == "x.npz#test/0"
    assert list_files(tmp_path / "x.npz").problems == {}


def test_colour_is_luma_and_volumes_give_their_middle_slice(tmp_path):
    stored = arrays((28, 28, 3))
    np.savez(tmp_path / "x.npz", **stored)
    grey, mode, _ = decode(list_sources(tmp_path / "x.npz").sources[0].file)
    assert np.array_equal(grey, np.asarray(Image.fromarray(stored["test_images"][0]).convert("L"))) and mode == "RGB"
    stored = arrays((9, 20, 16))
    np.savez(tmp_path / "x.npz", **stored)
    assert np.array_equal(decode(list_sources(tmp_path / "x.npz").sources[0].file)[0], stored["test_images"][0, 4])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_labels": np.zeros((6, 14), np.uint8)}, r"train_labels has the shape \(6, 14\) for 6 images"),
        ({"train_labels": np.zeros((5, 1), np.uint8)}, r"train_labels has the shape \(5,\) for 6 images"),
        ({"train_labels": np.array([object()] * 6)}, "holds Python objects"),
    ],
)
def test_what_is_no_single_label_per_image_is_named(tmp_path, change, message):
    np.savez(tmp_path / "x.npz", **(arrays() | change))
    with pytest.raises(UserError, match=message):
        list_sources(tmp_path / "x.npz")


def test_other_and_damaged_files_are_named(tmp_path):
    file = tmp_path / "x.npz"
    np.savez(file, a=np.zeros(3))
    with pytest.raises(UserError, match=r"has the arrays a\nexpected: train_images"):
        list_sources(file)
    np.savez_compressed(file, **arrays())
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(UserError, match=r"can't be read as .npz"):
        list_sources(file)
    np.savez(file, **arrays(kind=np.float32))
    with pytest.raises(Unusable, match="values of type float32"):
        decode(list_sources(file).sources[0].file)


CLAIMED = """
import sys, zipfile, io
import numpy as np
from pathlib import Path
from sonosynth.cohort.sources import list_sources
header = io.BytesIO()
np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (10**9, 28, 28)})
with zipfile.ZipFile(sys.argv[1], "w", zipfile.ZIP_DEFLATED) as archive:
    archive.writestr("train_images.npy", header.getvalue())
    archive.writestr("train_labels.npy", header.getvalue())
try:
    list_sources(Path(sys.argv[1]))
except Exception as error:
    print(type(error).__name__, error)
"""


def test_a_header_that_claims_terabytes_takes_none(tmp_path):
    command = [sys.executable, "-c", CLAIMED, tmp_path / "x.npz"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert found.startswith("UserError") and "its header doesn't fit its size" in found
