import io

import numpy as np
import pytest
from PIL import Image

from sonosynth.evaluation import features, memorisation
from sonosynth.phantom import simulate
from sonosynth.phantom.simulate import DEMO_PROBE


@pytest.fixture(scope="module")
def sides():
    """60 training images, 40 to set the thresholds on, 40 others."""
    kinds = ("benign", "malignant", "normal")
    images = [simulate(kinds[i % 3], np.random.default_rng(i), DEMO_PROBE).image for i in range(140)]
    return np.stack(images[:60]), np.stack(images[60:100]), np.stack(images[100:])


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


def test_planted_copies_are_caught_and_other_real_images_left_alone(sides):
    train, held_out, others = sides
    extract = features.extractor("embedded")
    limits = memorisation.thresholds(memorisation.nearest(held_out, train, extract))
    clean = memorisation.flagged(memorisation.nearest(others, train, extract), limits)
    assert clean.mean() <= 0.15  # 5% are expected, 6 of 40 is the 99.7% quantile of that
    for change in (np.array, np.fliplr, turned, cropped, darker, noisy, jpeg):
        copies = np.stack([change(image) for image in train[:40]])
        found = memorisation.nearest(copies, train, extract)
        assert memorisation.flagged(found, limits).mean() >= 0.95, change
        assert (found.by_correlation == np.arange(40)).mean() >= 0.95, change


def test_the_closest_pairs_come_first(sides):
    train = sides[0]
    images = np.stack([simulate("benign", np.random.default_rng(999), DEMO_PROBE).image, train[7]])
    found = memorisation.nearest(images, train, features.extractor("embedded"))
    assert (found.correlation.argmax(), found.by_correlation[1]) == (1, 7)
    assert found.correlation[1] == pytest.approx(1, abs=1e-4)
    assert found.cosine[1] == pytest.approx(1)
    assert found.by_cosine[1] == 7


def test_twins_of_training_images_do_not_raise_the_thresholds(sides):
    train, held_out, _ = sides
    extract = features.extractor("embedded")
    with_twins = memorisation.nearest(np.concatenate([held_out, train[:10]]), train, extract)
    strangers = np.arange(50) < 40
    alone = memorisation.thresholds(memorisation.nearest(held_out, train, extract))
    assert memorisation.thresholds(with_twins, strangers) == alone
    assert memorisation.thresholds(with_twins).correlation > 0.99 > alone.correlation
    assert memorisation.thresholds(with_twins, np.zeros(50, bool)) == memorisation.thresholds(with_twins)
