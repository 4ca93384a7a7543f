"""Which pixels of a mask are lesion, whatever kind of file it is."""

import numpy as np
import pytest
from PIL import Image

from sonosynth.cohort.decoding import Unusable
from sonosynth.cohort.masks import read_mask

DISC = np.hypot(*np.mgrid[-20:20, -20:20]) < 11


def saved(path, image, **options):
    image.save(path, **options)
    return read_mask([path], DISC.shape)


def coloured(colour):
    return Image.fromarray(np.uint8(DISC[..., None] * np.array(colour)))


def palette(colours):
    image = Image.fromarray(DISC.astype(np.uint8), "P")
    image.putpalette(colours)
    return image


@pytest.mark.parametrize("value", [1, 2, 127, 128, 255])
def test_any_grey_value_is_lesion(tmp_path, value):
    assert np.array_equal(saved(tmp_path / "m.png", Image.fromarray(np.uint8(DISC * value))), DISC)


@pytest.mark.parametrize(
    "image",
    [
        coloured((255, 0, 0)),
        coloured((0, 0, 255)),
        coloured((0, 1, 0)),
        Image.fromarray(DISC),
        Image.fromarray(DISC.astype(np.uint16)),
        palette([0, 0, 0, 128, 0, 0]),
        palette([0, 0, 0, 1, 1, 1]),
        coloured((0, 0, 200)).convert("RGBA"),
    ],
)
def test_any_colour_is_lesion_and_so_is_the_lowest_of_sixteen_bits(tmp_path, image):
    assert np.array_equal(saved(tmp_path / "m.png", image), DISC)


def test_a_colour_table_says_what_is_black(tmp_path):
    assert np.array_equal(saved(tmp_path / "m.png", palette([255, 255, 255, 0, 0, 0])), ~DISC)


def test_what_is_transparent_is_no_lesion(tmp_path):
    image = Image.fromarray(np.full((40, 40, 3), 255, np.uint8))
    image.putalpha(Image.fromarray(np.uint8(DISC * 255)))
    assert np.array_equal(saved(tmp_path / "m.png", image), DISC)


@pytest.mark.parametrize("value", [255, 130, 90])
@pytest.mark.parametrize("quality", [30, 75, 95])
def test_the_noise_of_a_lossy_file_is_no_lesion(tmp_path, value, quality):
    image = Image.fromarray(np.uint8(DISC * value))
    image.save(tmp_path / "raw.jpg", quality=quality)
    assert (np.asarray(Image.open(tmp_path / "raw.jpg"))[~DISC] > 0).any()
    found = saved(tmp_path / "m.jpg", image, quality=quality)
    assert (found != DISC).mean() < 0.01
    assert not saved(tmp_path / "empty.jpg", Image.fromarray(np.uint8(RNG.integers(0, 9, DISC.shape)))).any()


RNG = np.random.default_rng(0)


@pytest.mark.parametrize("value", [0.5, 1, 1000])
def test_floats_are_masks_too(tmp_path, value):
    assert np.array_equal(saved(tmp_path / "m.tif", Image.fromarray(np.float32(DISC * value))), DISC)


def test_a_mask_of_another_size_is_scaled_if_its_sides_are_alike(tmp_path):
    Image.fromarray(DISC).save(tmp_path / "m.png")
    large = read_mask([tmp_path / "m.png"], (80, 80))
    assert np.array_equal(large, DISC.repeat(2, 0).repeat(2, 1))
    assert read_mask([tmp_path / "m.png"], (47, 47)).mean() == pytest.approx(DISC.mean(), abs=0.01)
    with pytest.raises(Unusable, match=r"m.png is 40 x 40, its image 40 x 44"):
        read_mask([tmp_path / "m.png"], (44, 40))


def test_masks_are_merged_and_must_fit(tmp_path):
    first, second = np.zeros((2, 8, 6), bool)
    first[0], second[:, 5] = True, True
    Image.fromarray(first).save(tmp_path / "a.png")
    Image.fromarray(second).save(tmp_path / "b.png")
    assert np.array_equal(read_mask([tmp_path / "a.png", tmp_path / "b.png"], (8, 6)), first | second)
    with pytest.raises(Unusable, match=r"a.png is 6 x 8, its image 8 x 8"):
        read_mask([tmp_path / "a.png"], (8, 8))
