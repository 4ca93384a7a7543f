import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from sonosynth.cohort import alignment
from sonosynth.fidelity import copies, networks
from sonosynth.phantom import simulate
from sonosynth.phantom.simulate import DEMO_PROBE


@pytest.fixture(scope="module")
def described():
    """From images to what copies are recognised by."""
    extract = networks.extractor(networks.resolve("embedded"))
    return lambda images: copies.Images(np.stack(images), extract(np.stack(images)))


@pytest.fixture(scope="module")
def sides(described):
    """100 training images, 40 others."""
    kinds = ("benign", "malignant", "normal")
    images = [simulate(kinds[i % 3], np.random.default_rng(i), DEMO_PROBE).image for i in range(140)]
    return described(images[:100]), described(images[100:])


def jpeg(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=60)
    return np.asarray(Image.open(file))


def turned(image):
    return np.asarray(Image.fromarray(image).rotate(5, Image.Resampling.BILINEAR))


def cropped(image):
    margin = round(len(image) * 0.05)
    inner = Image.fromarray(image[margin:-margin, margin:-margin])
    return np.asarray(inner.resize(image.shape, Image.Resampling.BICUBIC))


def noisy(image):
    return np.clip(image + np.random.default_rng(0).normal(0, 10, image.shape), 0, 255).astype(np.uint8)


def darker(image):
    return np.uint8(255 * (image / 255) ** 0.8)


KINDS = np.array(["benign", "malignant", "normal"] * 47)[:140]


def strangers(train):
    """The nearest others of training images that all show something else."""
    groups = np.arange(len(train.pixels))
    return copies.nearest_unrelated(train, train, groups[:, None], groups)


def planted(found, *values):
    """The same nearest images with other correlations and cosines."""
    return replace(found, **dict(zip(("correlation", "cosine"), map(np.array, values), strict=True)))


def test_planted_copies_are_caught_and_other_real_images_left_alone(sides, described):
    train, others = sides
    limits = copies.thresholds(strangers(train), KINDS[:100])
    clean = copies.flagged(copies.nearest(others, train), KINDS[100:], limits)
    assert clean.mean() <= 0.15  # 5% are expected, 6 of 40 is the 99.7% quantile of that
    for change in (np.array, np.fliplr, turned, cropped, darker, noisy, jpeg):
        changed = described([change(image) for image in train.pixels[:40]])
        found = copies.nearest(changed, train)
        assert copies.flagged(found, KINDS[:40], limits).mean() >= 0.95, change
        assert (found.by_correlation == np.arange(40)).mean() >= 0.95, change
        if change in (np.array, np.fliplr, darker, jpeg):
            assert copies.verbatim(found).all(), change


def test_no_real_image_is_verbatim(sides):
    train, others = sides
    assert not copies.verbatim(copies.nearest(others, train)).any()


def test_a_sector_that_all_images_have_makes_no_copies(sides):
    down, across = np.mgrid[:128, :128]
    sector = abs(np.degrees(np.arctan2(across - 63.5, down + 24))) < 25
    train, others = (replace(side, pixels=side.pixels * sector) for side in sides)
    found = copies.nearest(others, train)
    assert found.correlation.max() < 0.6
    assert copies.nearest(train, train).correlation.min() > 0.999


def test_thresholds_are_quantiles_of_each_class():
    rng, labels = np.random.default_rng(0), np.array(["a"] * 80 + ["b"] * 200)
    values = rng.permutation(280) / 1000
    found = planted(copies.Nearest(*np.zeros((4, 280))), values + 0.3 * (labels == "b"), values)
    limits = copies.thresholds(found, labels)
    for label, count in (("a", 80), ("b", 200)):
        rows = labels == label
        over = (found.correlation[rows] > limits[label].correlation, found.cosine[rows] > limits[label].cosine)
        assert [int(x.sum()) for x in over] == [(count - 1) // 40] * 2  # 2.5%
    assert limits["a"].correlation < 0.3 < limits["b"].correlation
    both = copies.flagged(planted(found, [0.29, 0.29], [0, 0]), ["a", "b"], limits)
    assert both.tolist() == [True, False]


def test_a_class_of_few_images_has_the_thresholds_of_all():
    labels = np.array(["a"] * 60 + ["few"] * (copies.FEWEST - 1))
    found = copies.Nearest(np.arange(100) / 100, np.zeros(100, int), np.arange(100) / 100, np.zeros(100, int))
    limits = copies.thresholds(found, labels)
    assert limits["few"] == copies.Thresholds(0.97, 0.97)  # 2 of 100 are above
    assert limits["a"] == copies.Thresholds(0.58, 0.58)  # 1 of 60 is above
    labels[0] = "few"
    assert copies.thresholds(found, labels)["few"] == copies.Thresholds(0.98, 0.98)


def test_the_closest_pairs_come_first(sides, described):
    train, _ = sides
    images = [simulate("benign", np.random.default_rng(999), DEMO_PROBE).image, train.pixels[7]]
    found = copies.nearest(described(images), train)
    assert (found.correlation.argmax(), found.by_correlation[1]) == (1, 7)
    assert found.correlation[1] == pytest.approx(1, abs=1e-4)
    assert found.cosine[1] == pytest.approx(1)
    assert found.by_cosine[1] == 7


def test_strangers_are_never_of_an_images_own_group(sides):
    train, _ = sides
    groups = np.arange(100) // 2
    found = copies.nearest_unrelated(train, train, groups[:, None], groups)
    for nearest in (found.by_correlation, found.by_cosine):
        assert (groups[nearest] != groups).all()
    unit = train.features - train.features.mean(axis=0, dtype=float)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    alike = np.where(groups[:, None] == groups, -1, unit @ unit.T)
    assert found.cosine == pytest.approx(alike.max(axis=1))
    assert np.array_equal(found.by_cosine, alike.argmax(axis=1))


def test_the_search_by_blocks_finds_what_a_close_comparison_with_all_images_finds(sides, monkeypatch):
    train = sides[0]
    changed = copies.Images(np.stack([noisy(turned(image)) for image in train.pixels[:15]]), train.features[:15])
    whole = copies.nearest(changed, train)
    for module in (copies, alignment):
        monkeypatch.setattr(module, "BLOCK", 7)
    found = copies.nearest(changed, train)
    assert np.array_equal(found.correlation, whole.correlation)
    assert np.array_equal(found.by_correlation, whole.by_correlation)
    assert np.array_equal(found.by_cosine, whole.by_cosine)
    queries, references = (alignment.detailed([alignment.shrink(x) for x in side.pixels]) for side in (changed, train))
    common = references.mean(axis=0)
    every = np.stack([alignment.correlations(query - common, references - common)[0] for query in queries])
    assert np.array_equal(found.by_correlation, every.argmax(axis=1))
    assert found.correlation == pytest.approx(every.max(axis=1), abs=1e-6)


def test_images_that_have_no_strangers_are_like_none(sides):
    few, groups = copies.Images(sides[0].pixels[:5], sides[0].features[:5]), np.array([0, 0, 0, 0, 1])
    found = copies.nearest_unrelated(few, few, groups[:, None], groups)
    assert found.by_correlation[:4].tolist() == found.by_cosine[:4].tolist() == [4] * 4
    alone = copies.nearest_unrelated(few, few, np.zeros((5, 1), int), np.zeros(5, int))
    assert (alone.correlation == -1).all() and (alone.cosine == -1).all()
    limits = copies.thresholds(alone, KINDS[:5])
    assert not copies.flagged(copies.nearest(sides[1], few), KINDS[100:], limits).any()
    assert copies.flagged(copies.nearest(few, few), KINDS[:5], limits).all()  # verbatim


def test_an_image_made_from_several_is_compared_with_the_others(sides):
    train, _ = sides
    made = replace(train, pixels=train.pixels[:2], features=train.features[:2])
    found = copies.nearest_unrelated(made, train, np.array([[0, -1], [2, 1]]), np.arange(100))
    assert found.by_correlation[0] != 0 and found.by_correlation[1] not in (1, 2)
    assert (found.correlation < 0.6).all()
    alike = copies.with_sources(train.pixels[[3, 4, 5]], train.pixels, [[3], [], [60, 5]])
    assert alike == pytest.approx([1, np.nan, 1], abs=1e-4, nan_ok=True)
    assert copies.with_sources(train.pixels[:1], train.pixels, [[1]])[0] < 0.6


def test_twins_of_training_images_do_not_raise_the_thresholds(sides):
    train, _ = sides
    rows = np.append(np.arange(100), np.arange(10))
    twice, labels = copies.Images(train.pixels[rows], train.features[rows]), KINDS[rows]
    found, alone = copies.nearest_unrelated(twice, twice, rows[:, None], rows), strangers(train)
    assert np.array_equal(rows[found.by_correlation[100:]], rows[found.by_correlation[:10]])
    same = np.isclose(found.correlation[:100], alone.correlation, atol=0.02)  # the mean image is another one
    assert same.mean() >= 0.9  # the shortlist is of images, and some of them stand in it twice now
    limits, expected = copies.thresholds(found, labels), copies.thresholds(alone, KINDS[:100])
    assert limits["normal"].correlation == pytest.approx(expected["normal"].correlation, abs=0.03)
    assert copies.thresholds(strangers(twice), labels)["normal"].correlation > 0.99 > limits["normal"].correlation
