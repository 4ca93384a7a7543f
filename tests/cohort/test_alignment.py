import numpy as np
import pytest
from scipy import ndimage

from sonosynth.cohort import alignment

RNG = np.random.default_rng(0)


def blobs(count):
    """Images of details: (N, 64, 64) float32."""
    smooth = ndimage.gaussian_filter(RNG.normal(size=(count, 64, 64)), (0, 2, 2))
    return smooth.astype(np.float32)


def test_an_image_correlates_with_itself_and_with_its_mirror_image_at_1():
    image, other = blobs(2)
    correlation, mirrored = alignment.correlations(image, np.stack([image, image[:, ::-1], other]))
    assert correlation[:2] == pytest.approx(1, abs=1e-6)
    assert mirrored[:2].tolist() == [False, True]
    assert correlation[2] < 0.5


@pytest.mark.parametrize("shift", [(4, 0), (-2, 4), (0, -4)])
def test_shifts_are_undone(shift):
    image = blobs(1)[0]
    moved = np.roll(image, shift, axis=(0, 1))
    correlation, _ = alignment.correlations(image, moved[None])
    inner = (slice(6, -6),) * 2
    assert correlation[0] == pytest.approx(1, abs=1e-6)
    assert np.corrcoef(image[inner].ravel(), moved[inner].ravel())[0, 1] < 0.6


@pytest.mark.parametrize("angle", [4, -4])
def test_rotations_are_undone(angle):
    image = blobs(1)[0]
    turned = ndimage.rotate(image, angle, reshape=False, order=3)
    assert alignment.correlations(image, turned[None])[0][0] > 0.95
    assert alignment.correlations(image, ndimage.rotate(image, 4 * angle, reshape=False)[None])[0][0] < 0.8


def test_slow_trends_are_removed_and_details_stay():
    slope = np.linspace(0, 200, 64)[:, None] + np.zeros((64, 64))
    details = 20 * blobs(1)[0]
    found = alignment.detailed([slope + details])[0]
    assert np.corrcoef(found[8:-8, 8:-8].ravel(), details[8:-8, 8:-8].ravel())[0, 1] > 0.9
    assert abs(alignment.detailed([slope])[0][16:-16]).max() < 0.1


def test_the_shortlist_holds_what_a_comparison_of_all_finds(monkeypatch):
    monkeypatch.setattr(alignment, "COMPONENTS", 676)  # all of them: the rough correlation is exact
    monkeypatch.setattr(alignment, "BLOCK", 7)
    images, groups = blobs(40), np.arange(40) // 2
    found = alignment.shortlist(images, images, groups[:, None], groups)
    half = images.reshape(40, 32, 2, 32, 2).mean(axis=(2, 4))
    rough = np.full((40, 40), -1.0)
    for angle in (-4, 0, 4):
        for flip in (1, -1):
            turned = np.stack(
                [ndimage.rotate(x[:, ::flip], angle, reshape=False, order=1, mode="nearest") for x in half]
            )
            for down in (-2, 0, 2):
                for across in (-2, 0, 2):
                    window = half[:, 3 + down : 29 + down, 3 + across : 29 + across].reshape(40, -1)
                    alike = np.corrcoef(turned[:, 3:29, 3:29].reshape(40, -1), window)[:40, 40:]
                    rough = np.maximum(rough, alike)
    rough[groups[:, None] == groups] = -2
    expected = np.sort(rough, axis=1)
    assert np.sort(found.scores, axis=1) == pytest.approx(expected[:, -16:], abs=1e-4)
    assert found.typical == pytest.approx(expected[:, 30], abs=1e-4)
    assert np.take_along_axis(rough, found.rows, axis=1) == pytest.approx(found.scores, abs=1e-4)


def test_an_image_can_be_of_several_groups():
    groups, references = np.array([[0, 2], [1, -1]]), np.array([0, 1, 2, 0])
    assert alignment.related(groups, references).tolist() == [[True, False, True, True], [False, True, False, False]]
