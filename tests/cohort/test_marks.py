"""Marks drawn on simulated images, whose truth is known; docs/your-data.md states the rates."""

from functools import cache

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from sonosynth.cohort import marks
from sonosynth.cohort.marks import BORDER, CALIPERS, TEXT
from sonosynth.phantom import simulate
from sonosynth.phantom.simulate import KINDS, random_probe

N = 40
SIZES = ((128, 128), (200, 260), (256, 256))
WORDS = ("RT BREAST", "LEFT 3:00", "AXILLA", "12.4 mm", "Pat 0012")


@cache
def images():
    """Simulated images without any mark, by all kinds of probes."""
    rng = np.random.default_rng(7)
    drawn = (simulate(KINDS[i % 3], rng, random_probe(rng), SIZES[i % len(SIZES)]) for i in range(N))
    return tuple(phantom.image for phantom in drawn)


def written(image, rng):
    picture = Image.fromarray(image)
    height, width = image.shape
    place = (int(rng.integers(4, width // 3)), int(rng.integers(4, height - 24)))
    font = ImageFont.load_default(int(rng.integers(12, 20)))
    ImageDraw.Draw(picture).text(place, str(rng.choice(WORDS)), fill=int(rng.integers(220, 256)), font=font)
    return np.asarray(picture)


def measured(image, rng):
    """With two crosses and a dotted line between them."""
    picture, (height, width) = Image.fromarray(image), image.shape
    draw, arm, thick = ImageDraw.Draw(picture), int(rng.integers(4, 8)), int(rng.integers(1, 3))
    upright = rng.random() < 0.5
    ends = [(int(rng.integers(12, width // 2 - 12)), int(rng.integers(12, height - 12)))]
    ends.append((int(rng.integers(width // 2 + 12, width - 12)), int(rng.integers(12, height - 12))))
    for x, y in ends:
        for dx, dy in ((1, 0), (0, 1)) if upright else ((1, 1), (1, -1)):
            draw.line((x - arm * dx, y - arm * dy, x + arm * dx, y + arm * dy), fill=250, width=thick)
    for share in np.linspace(0, 1, int(np.hypot(*np.subtract(*ends)) / 4)):
        draw.point([tuple(round(a + share * (b - a)) for a, b in zip(*ends, strict=True))], fill=250)
    return np.asarray(picture)


def framed(image, rng):
    width, level = int(rng.integers(1, 20)), int(rng.choice([0, 128, 255]))
    return np.pad(image, width, constant_values=level)


def test_a_simulated_image_without_marks_has_hardly_ever_any():
    found = [kind for image in images() for kind in marks.find(image)]
    assert len(found) <= 0.02 * N


@pytest.mark.parametrize(
    ("draw", "kind", "rate"), [(written, TEXT, 0.8), (measured, CALIPERS, 0.7), (framed, BORDER, 1)]
)
def test_marks_that_were_drawn_are_found(draw, kind, rate):
    rng = np.random.default_rng(0)
    found = [marks.find(draw(image, rng)) for image in images()]
    assert np.mean([kind in one for one in found]) >= rate
    assert np.mean([bool(one.keys() - {kind}) for one in found]) <= 0.05


@pytest.mark.parametrize("draw", [written, framed])
def test_what_is_found_is_where_it_was_drawn_and_is_filled_in_from_around_it(draw):
    rng = np.random.default_rng(1)
    for image in images()[:10]:
        drawn = draw(image, rng)
        found = marks.find(drawn)
        filled = marks.fill(drawn, found)
        assert filled.shape == drawn.shape and filled.dtype == np.uint8
        if not found:
            assert filled is drawn
            continue
        assert not marks.find(filled).keys() & found.keys()
        changed = filled != drawn
        assert changed.mean() < 0.5
        if draw is written:  # the original is known
            wrong = np.abs(drawn.astype(int) - image)
            left = np.abs(filled.astype(int) - image)
            assert left[wrong > 0].mean() < wrong[wrong > 0].mean() / 2
            assert changed[~ndimage.binary_dilation(wrong > 0, iterations=4)].mean() < 0.005


def test_what_fades_to_black_is_no_border_and_a_constant_image_has_none():
    fading = np.repeat(np.linspace(200, 0, 128).clip(20) - 20, 96).reshape(128, 96).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 20, fading.shape, np.uint8) * (fading > 0)
    assert marks.find(fading + noise) == {}
    assert marks.find(np.full((64, 64), 7, np.uint8)) == {}


def test_one_cross_is_none_and_two_of_different_sizes_are_none():
    image = np.full((100, 100), 40, np.uint8)
    for x, arm in ((20, 4), (70, 10)):
        image[50, x - arm : x + arm + 1] = image[50 - arm : 50 + arm + 1, x] = 250
    assert CALIPERS not in marks.find(image)
    image[20, 40:49] = image[16:25, 44] = 250
    found = marks.find(image)[CALIPERS]
    assert found[20, 40:49].all() and found[50, 16:25].all()
    assert not found[50, 80]


def test_a_large_image_is_reduced_for_the_search():
    image = np.full((2000, 3000), 60, np.uint8)
    picture = Image.fromarray(image)
    ImageDraw.Draw(picture).text((300, 900), "CHEST PA", fill=255, font=ImageFont.load_default(60))
    found = marks.find(np.asarray(picture))
    assert found.keys() == {TEXT}
    assert found[TEXT].shape == image.shape
    rows, columns = np.nonzero(found[TEXT])
    assert 890 < rows.min() < rows.max() < 980 and 290 < columns.min() < columns.max() < 800


def test_most_text_and_calipers_of_busi_are_in_images_with_a_lesion(busi):
    files = sorted(file for file in busi.rglob("*.png") if "_mask" not in file.stem)[::13]
    found = {file: marks.find(np.asarray(Image.open(file).convert("L"))) for file in files}
    rate = {
        label: np.mean([bool(found[file]) for file in files if file.parent.name == label])
        for label in ("normal", "benign", "malignant")
    }
    assert rate["normal"] < 0.1 < rate["benign"]
