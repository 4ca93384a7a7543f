import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from sonosynth.cohort.decoding import Unusable, decode, read_grey, resize
from sonosynth.cohort.masks import read_mask
from sonosynth.cohort.settings import Reading
from sonosynth.jobs import key

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def saved(tmp_path, image, name="x.png", **options):
    image.save(tmp_path / name, **options)
    return read_grey(tmp_path / name)


def test_grey_is_kept(tmp_path):
    assert np.array_equal(saved(tmp_path, Image.fromarray(RAMP)), RAMP)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    assert np.array_equal(saved(tmp_path, Image.fromarray(RAMP.astype(np.uint16) * 257)), RAMP)
    assert np.array_equal(saved(tmp_path, Image.fromarray(RAMP.astype(np.uint16) * 257), "x.tif"), RAMP)


@pytest.mark.parametrize("tags", [{258: 12}, {262: 0}])
def test_wide_tiffs_that_pillow_reads_otherwise_are_refused(tmp_path, tags, monkeypatch):
    Image.fromarray(RAMP.astype(np.uint16) * 257).save(tmp_path / "x.tif")
    tiff = bytearray((tmp_path / "x.tif").read_bytes())
    (first,) = struct.unpack_from("<I", tiff, 4)
    for n in range(struct.unpack_from("<H", tiff, first)[0]):
        place = first + 2 + 12 * n
        tag = struct.unpack_from("<H", tiff, place)[0]
        if tag in tags:
            struct.pack_into("<H", tiff, place + 8, tags[tag])
    (tmp_path / "x.tif").write_bytes(tiff)
    with pytest.raises(Unusable, match=r"is a TIFF of|can't be decoded"):
        read_grey(tmp_path / "x.tif")


def test_colour_of_grey_is_grey(tmp_path):
    rgb = Image.fromarray(RAMP).convert("RGB")
    assert np.array_equal(saved(tmp_path, rgb), RAMP)
    assert np.array_equal(saved(tmp_path, rgb.convert("CMYK"), "x.tif"), RAMP)


def test_colour_is_weighted_as_luma(tmp_path):
    green = Image.new("RGB", (4, 4), (0, 255, 0))
    assert saved(tmp_path, green)[0, 0] == round(0.587 * 255)


def test_palette_is_looked_up(tmp_path):
    image = Image.fromarray(255 - RAMP, mode="P")
    image.putpalette([value for level in range(255, -1, -1) for value in (level, level, level)])
    assert np.array_equal(saved(tmp_path, image), RAMP)


def test_transparent_pixels_are_black(tmp_path):
    alpha = np.where(np.arange(256).reshape(16, 16) < 128, 0, 255).astype(np.uint8)
    image = Image.fromarray(np.full((16, 16), 200, np.uint8)).convert("RGBA")
    image.putalpha(Image.fromarray(alpha))
    assert np.array_equal(saved(tmp_path, image), np.where(alpha, 200, 0))
    assert np.array_equal(saved(tmp_path, image.convert("LA")), np.where(alpha, 200, 0))


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored rotated: shown, it is turned 90 degrees clockwise
    wide = Image.fromarray(RAMP[:8])
    assert np.array_equal(saved(tmp_path, wide, exif=exif), np.rot90(RAMP[:8], -1))


def test_one_bit_images_are_black_and_white(tmp_path):
    assert set(np.unique(saved(tmp_path, Image.fromarray(RAMP > 99)))) == {0, 255}


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "is empty"), (b"hello", "is not a PNG"), (None, "can't be decoded")]
)
def test_broken_files_are_named(tmp_path, content, reason):
    path = tmp_path / "x.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:600] if content is None else content)
    with pytest.raises(Unusable, match=reason):
        read_grey(path)


def test_animations_and_floats_are_refused(tmp_path):
    frames = [Image.new("L", (8, 8), level) for level in (0, 200)]
    with pytest.raises(Unusable, match="2 frames"):
        saved(tmp_path, frames[0], "x.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(Unusable, match="floating-point"):
        saved(tmp_path, Image.fromarray(np.ones((8, 8), np.float32)), "x.tif")


def test_resizing_keeps_the_whole_image_and_its_level():
    image = np.zeros((1, 64, 64), np.uint8)
    image[:, :, 32:] = 255
    small = resize(image, 16)
    assert small.shape == (1, 16, 16)
    assert small.mean() == pytest.approx(127.5, abs=2)
    assert resize(np.empty((0, 4, 4), np.uint8), 8).shape == (0, 8, 8)


def test_formats_that_run_programs_are_not_opened(tmp_path):
    (tmp_path / "x.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage\n")
    with pytest.raises(Unusable, match="is not a PNG, JPEG, BMP, TIFF, WebP or GIF image"):
        read_grey(tmp_path / "x.png")


@pytest.mark.parametrize("error", [MemoryError(), OSError("out of memory error when reading image file")])
def test_a_lack_of_memory_is_not_blamed_on_the_file(tmp_path, monkeypatch, error):
    Image.fromarray(RAMP).save(tmp_path / "x.png")

    def fails(image):
        raise error

    monkeypatch.setattr(PngImageFile, "load", fails)
    with pytest.raises(MemoryError):
        read_grey(tmp_path / "x.png")


PEAK = """
import resource, sys
from pathlib import Path
from sonosynth.cohort.decoding import read_grey
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert read_grey(Path(sys.argv[1])).shape == (9000, 9000)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("mode", ["I;16", "RGBA", "P"])
def test_a_small_file_does_not_take_gigabytes(tmp_path, mode):
    Image.new(mode, (9000, 9000)).save(tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size < 2**20
    found = subprocess.run([sys.executable, "-c", PEAK, tmp_path / "x.png"], capture_output=True, text=True, check=True)
    assert int(found.stdout) < 6 * 81, mode  # MB: as decoded by Pillow, at most 4 bytes a pixel, and the grey image


def test_wide_values_are_converted_alike_in_every_row(tmp_path):
    values = np.arange(700 * 90, dtype=np.uint16).reshape(700, 90)
    assert np.array_equal(saved(tmp_path, Image.fromarray(values)), np.round(values / 257))


def test_the_share_of_coloured_pixels_is_measured_and_a_slight_tint_is_none(tmp_path):
    pixels = np.full((300, 40, 3), 100, np.uint8)
    pixels[:75, :, 0] = 200
    pixels[150:, :, 2] = 120
    for name, image in (("rgb", Image.fromarray(pixels)), ("p", Image.fromarray(pixels).quantize(8))):
        image.save(tmp_path / f"{name}.png")
        assert decode(tmp_path / f"{name}.png").colour == pytest.approx(0.25, abs=0.01)
    rgba = Image.fromarray(np.dstack([pixels, np.zeros(pixels.shape[:2], np.uint8)]))
    rgba.save(tmp_path / "rgba.png")  # transparent all over: black
    Image.fromarray(pixels[..., 0]).save(tmp_path / "l.png")
    assert [decode(tmp_path / f"{name}.png").colour for name in ("rgba", "l")] == [0, 0]


@pytest.mark.parametrize("how", [{"window": (40, 400)}, {"percentiles": (1, 99)}, {"frame": 2}])
def test_what_is_for_other_formats_is_refused_and_not_ignored(tmp_path, how):
    Image.new("L", (16, 16), 255).save(tmp_path / "x.png")
    with pytest.raises(Unusable, match=f"reading.{next(iter(how))} is for DICOM and NIfTI"):
        decode(tmp_path / "x.png", Reading(**how))
    assert read_mask([tmp_path / "x.png"], (16, 16), Reading(**how)).all()  # of a DICOM file


def test_how_pictures_are_read_changes_the_job_that_reads_them_and_none_else(planned):
    (before, after) = ({name: key(job.inputs({})) for name, job in planned(*change).items() if name != "report"}
                       for change in ((), ("reading.frame=3",)))  # fmt: skip
    assert [name for name in before if before[name] != after[name]] == ["cohort"]
