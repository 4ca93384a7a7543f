"""A model of shapes: what it learned comes back, and what it draws is a lesion."""

import numpy as np
import pytest
from scipy import ndimage

from sonosynth.synthesis.shapes import FEWEST, Shapes, largest

SIDE = 64
Y, X = np.indices((SIDE, SIDE)) + 0.5


def ellipse(y, x, height, width):
    return ((Y - y) / height) ** 2 + ((X - x) / width) ** 2 <= 1


def drawn(masks, count=150):
    model = Shapes.of(np.stack(masks))
    return np.stack([model.draw(np.random.default_rng(n)) for n in range(count)])


def overlap(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize(
    "mask",
    [
        ellipse(30, 25, 12, 12),
        ellipse(22, 40, 7, 18),
        (abs(Y - 30) < 12) & (abs(X - 36) < 9),
        np.hypot(Y - 32, X - 32) < 14 + 4 * np.cos(5 * np.arctan2(Y - 32, X - 32)),
    ],
    ids=["disc", "ellipse", "box", "star"],
)
def test_a_shape_that_is_always_the_same_is_drawn_as_it_is(mask):
    found = drawn([mask] * FEWEST, 2)
    assert all(overlap(one, mask) > 0.9 for one in found)


def test_sizes_and_places_are_those_of_the_class():
    rng = np.random.default_rng(0)
    values = [(rng.normal(25, 3), rng.normal(36, 4), rng.normal(8, 1)) for _ in range(60)]
    found = drawn([ellipse(y, x, r, 1.5 * r) for y, x, r in values])
    centres = np.array([ndimage.center_of_mass(one) for one in found]) + 0.5
    known = np.array(values)
    assert centres.mean(axis=0) == pytest.approx(known[:, :2].mean(axis=0), abs=1)
    assert centres.std(axis=0) == pytest.approx(known[:, :2].std(axis=0), rel=0.3)
    radii = np.sqrt(found.sum(axis=(1, 2)) / np.pi / 1.5)
    assert radii.mean() == pytest.approx(known[:, 2].mean(), rel=0.05)
    assert radii.std() == pytest.approx(known[:, 2].std(), rel=0.3)
    widths, heights = (found.any(axis=axis).sum(axis=1) for axis in (1, 2))
    assert (widths / heights).mean() == pytest.approx(1.5, rel=0.05)


def test_every_drawn_lesion_is_in_one_piece_and_whole_within_the_frame():
    rng = np.random.default_rng(1)
    spiky = []
    for _ in range(20):
        y, x, radius, spikes = rng.uniform(8, 56), rng.uniform(8, 56), rng.uniform(3, 18), rng.integers(3, 9)
        angles, distances = np.arctan2(Y - y, X - x), np.hypot(Y - y, X - x)
        spiky.append(distances < radius * (1 + 0.5 * np.cos(spikes * angles)))
    found = drawn([*spiky, spiky[0] | ellipse(60, 60, 2, 2)])
    assert {ndimage.label(one)[1] for one in found} == {1}
    assert len({one.tobytes() for one in found}) == len(found)


def test_a_class_has_as_many_images_without_a_lesion_as_its_masks_say():
    empty = np.zeros((SIDE, SIDE), bool)
    found = drawn([ellipse(30, 30, 9, 9)] * 6 + [empty] * 6, 200)
    assert found.any(axis=(1, 2)).mean() == pytest.approx(0.5, abs=0.12)
    assert not drawn([empty] * 3, 5).any()


def test_too_few_lesions_are_no_model():
    with pytest.raises(ValueError, match="4 masks show a lesion; a model of shapes needs 5"):
        Shapes.of(np.stack([ellipse(30, 30, 9, 9)] * 4 + [np.zeros((SIDE, SIDE), bool)]))


def test_of_several_pieces_the_largest_counts():
    small, large = ellipse(10, 10, 3, 3), ellipse(40, 40, 9, 9)
    assert np.array_equal(largest(small | large), large)
    assert overlap(drawn([small | large] * 5, 1)[0], large) > 0.9
