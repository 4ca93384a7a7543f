import numpy as np
import pytest

from sonosynth.fidelity import networks
from sonosynth.fidelity.distances import frechet_distance, kernel_distance, prdc, vendi_score
from sonosynth.fidelity.jobs import Measuring
from sonosynth.measures import features

PAIRED = ("precision", "recall", "density", "coverage")


@pytest.fixture(scope="module")
def settings():
    return Measuring("features", features.VERSION, networks.resolve("embedded"))


def test_images_are_described_by_the_network_of_the_settings(settings):
    images = np.random.default_rng(0).integers(0, 255, (5, 32, 32), np.uint8)
    found = features.describe(images, settings)
    assert list(found) == ["features"]
    assert found["features"].dtype == np.float32
    assert np.array_equal(found["features"], networks.extractor(settings.network)(images))
    assert features.space(settings) == "embedded"


def test_the_comparison_has_every_distance():
    a, b = np.random.default_rng(0).normal(size=(2, 30, 4))
    expected = {"frechet": frechet_distance(a, b), "kernel": kernel_distance(a, b), **prdc(a, b)}
    assert features.compare({"features": a}, {"features": b[:25]}).keys() == {*expected, "vendi"}
    assert features.compare({"features": a}, {"features": b}) == expected | {"vendi": vendi_score(b - a.mean(axis=0))}


def test_the_vendi_score_counts_kinds_of_images_although_all_features_point_in_one_direction():
    rng = np.random.default_rng(0)
    common, kinds = np.full(40, 50.0), rng.normal(0, 3, (5, 40))
    real, other = (common + np.repeat(kinds, 8, axis=0) + rng.normal(0, 0.01, (40, 40)) for _ in range(2))
    assert vendi_score(other) < 1.1
    assert features.compare({"features": real}, {"features": other})["vendi"] == pytest.approx(4, abs=0.5)
    one = common + kinds[:1] + rng.normal(0, 0.01, (40, 40))
    assert features.compare({"features": real}, {"features": one})["vendi"] == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("count", "unknown"),
    [(6, set()), (5, set(PAIRED)), (2, set(PAIRED)), (1, {*PAIRED, "frechet", "kernel"}), (0, None)],
)
def test_what_needs_more_images_than_there_are_is_nan(count, unknown):
    a, b = np.random.default_rng(0).normal(size=(2, 30, 4))
    found = features.compare({"features": a}, {"features": b[:count]})
    nan = {name for name, value in found.items() if np.isnan(value)}
    assert nan == (found.keys() if unknown is None else unknown)
