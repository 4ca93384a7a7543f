import io

import numpy as np
import pytest
from PIL import Image

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


def strangers(train):
    """The nearest others of training images that all show something else."""
    return copies.nearest_unrelated(train, np.arange(len(train.pixels)))


def test_planted_copies_are_caught_and_other_real_images_left_alone(sides, described):
    train, others = sides
    limits = copies.thresholds(strangers(train))
    clean = copies.flagged(copies.nearest(others, train), limits)
    assert clean.mean() <= 0.15  # 5% are expected, 6 of 40 is the 99.7% quantile of that
    for change in (np.array, np.fliplr, turned, cropped, darker, noisy, jpeg):
        planted = described([change(image) for image in train.pixels[:40]])
        found = copies.nearest(planted, train)
        assert copies.flagged(found, limits).mean() >= 0.95, change
        assert (found.by_correlation == np.arange(40)).mean() >= 0.95, change


def test_thresholds_flag_a_twentieth_of_the_images_that_they_come_from(sides):
    found = strangers(sides[0])
    limits = copies.thresholds(found)
    assert (found.correlation > limits.correlation).sum() == (found.cosine > limits.cosine).sum() == 2  # of 100
    assert 0.02 <= copies.flagged(found, limits).mean() <= 0.04


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
    found = copies.nearest_unrelated(train, groups)
    for nearest in (found.by_correlation, found.by_cosine):
        assert (groups[nearest] != groups).all()
    unit = train.features - train.features.mean(axis=0, dtype=float)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    alike = np.where(groups[:, None] == groups, -1, unit @ unit.T)
    assert found.cosine == pytest.approx(alike.max(axis=1))
    assert np.array_equal(found.by_cosine, alike.argmax(axis=1))


def test_images_that_have_no_strangers_are_like_none(sides):
    few = copies.Images(sides[0].pixels[:5], sides[0].features[:5])
    found = copies.nearest_unrelated(few, np.array([0, 0, 0, 0, 1]))
    assert found.by_correlation[:4].tolist() == found.by_cosine[:4].tolist() == [4] * 4
    alone = copies.nearest_unrelated(few, np.zeros(5, int))
    assert (alone.correlation == -1).all() and (alone.cosine == -1).all()


def test_twins_of_training_images_do_not_raise_the_thresholds(sides):
    train, _ = sides
    rows = np.append(np.arange(100), np.arange(10))
    twice = copies.Images(train.pixels[rows], train.features[rows])
    found, alone = copies.nearest_unrelated(twice, rows), strangers(train)
    assert np.array_equal(rows[found.by_correlation[100:]], rows[found.by_correlation[:10]])
    same = np.isclose(found.correlation[:100], alone.correlation, atol=1e-3)
    assert same.mean() >= 0.9  # the shortlist is of images, and some of them stand in it twice now
    limits = copies.thresholds(found)
    assert limits.correlation == pytest.approx(copies.thresholds(alone).correlation, abs=0.02)
    assert copies.thresholds(strangers(twice)).correlation > 0.99 > limits.correlation
