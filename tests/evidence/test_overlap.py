"""Dice, HD95 and lesions, against closed forms and other implementations."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.metrics import f1_score

from sonosynth.evidence.overlap import Lesions, dice, exchanged, hd95, lesions


def box(top, left, height, width, side=64):
    mask = np.zeros((side, side), bool)
    mask[top : top + height, left : left + width] = True
    return mask


def disc(radius, x=64, y=64, side=128):
    rows, columns = np.mgrid[:side, :side]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def blobs(seed, side=40):
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    mask = np.zeros((side, side), bool)
    for _ in range(3):
        y, x, r = rng.uniform((0, 0, 2), (side, side, 9))
        mask |= (rows - y) ** 2 + (columns - x) ** 2 <= r**2
    return mask


def by_hand(reference, predicted):
    """HD95 from all pairs of distances, with outlines found by looking at the four neighbours of each pixel."""
    points = []
    for mask in (reference, predicted):
        padded = np.pad(mask, 1)
        inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        points.append(np.argwhere(mask & ~inner))
    distances = cdist(*points)
    return max(np.percentile(distances.min(axis=axis), 95) for axis in (0, 1))


def test_a_square_that_is_shifted():
    for shift in (0, 1, 5, 20):
        one, other = box(10, 10, 20, 20), box(10, 10 + shift, 20, 20)
        assert dice(one, other) == pytest.approx((20 - shift) / 20)
        # 76 pixels of the outline, of which the 20 of one side (26%) are `shift` away from the other's.
        assert hd95(one, other) == shift


def test_concentric_discs_are_apart_by_the_difference_of_their_radii():
    assert hd95(disc(40), disc(30)) == pytest.approx(10, abs=0.6)
    assert dice(disc(40), disc(30)) == pytest.approx(2 * 30**2 / (40**2 + 30**2), abs=0.005)


def test_a_few_far_pixels_do_not_decide():
    one = disc(40)
    far = one | box(0, 0, 1, 2, 128)
    assert hd95(one, far) == 0


@pytest.mark.parametrize("seed", range(8))
def test_other_implementations_agree(seed):
    one, other = blobs(seed), blobs(seed + 100)
    assert dice(one, other) == pytest.approx(f1_score(one.ravel(), other.ravel()))
    assert hd95(one, other) == pytest.approx(by_hand(one, other))


@pytest.mark.parametrize("seed", range(4))
def test_monai_agrees(seed):
    metrics = pytest.importorskip("monai.metrics")
    import torch

    one, other = (torch.tensor(blobs(s))[None, None].float() for s in (seed, seed + 100))
    there = metrics.compute_hausdorff_distance(other, one, include_background=True, percentile=95)
    assert hd95(blobs(seed), blobs(seed + 100)) == pytest.approx(there.item())
    found = metrics.compute_dice(other, one, include_background=True)
    assert dice(blobs(seed), blobs(seed + 100)) == pytest.approx(found.item())


def test_without_a_lesion_there_is_no_overlap_and_without_a_prediction_the_worst_distance():
    empty, some = np.zeros((30, 40), bool), np.zeros((30, 40), bool)
    some[:3, :3] = True
    assert np.isnan([dice(empty, empty), dice(empty, some), hd95(empty, empty), hd95(empty, some)]).all()
    assert (dice(some, empty), hd95(some, empty)) == (0, 50)
    with pytest.raises(ValueError, match="one shape"):
        dice(some, some.T)


def test_lesions_are_found_missed_and_made_up():
    reference = box(5, 5, 10, 10) | box(40, 40, 10, 10)
    assert lesions(reference, reference) == Lesions(2, 2, 0)
    assert lesions(reference, box(5, 5, 10, 10)) == Lesions(2, 1, 0)
    assert lesions(reference, box(5, 5, 10, 10) | box(30, 5, 3, 3)) == Lesions(2, 1, 1)
    assert lesions(reference, np.zeros((64, 64), bool)) == Lesions(2, 0, 0)
    assert lesions(np.zeros((64, 64), bool), reference) == Lesions(0, 0, 2)
    assert lesions(np.zeros((64, 64), bool), np.zeros((64, 64), bool)) == Lesions(0, 0, 0)


def test_one_prediction_over_everything_finds_one_lesion_at_most():
    reference = box(5, 5, 20, 20) | box(35, 35, 20, 20)
    assert lesions(reference, box(5, 5, 50, 50)) == Lesions(2, 1, 0)
    assert lesions(box(5, 5, 4, 4), box(0, 0, 60, 60)) == Lesions(1, 0, 1)  # an IoU of 16/3600


def test_matching_is_the_best_of_all_not_greedy():
    # The upper prediction overlaps both lesions, the lower one the second alone: both can be found.
    reference = box(0, 0, 10, 10) | box(11, 0, 10, 10)
    predicted = box(0, 0, 16, 10)
    predicted[0:6] = False
    predicted |= box(18, 0, 3, 10)
    assert lesions(reference, predicted) == Lesions(2, 2, 0)


def test_pixels_that_touch_at_a_corner_are_one_lesion():
    assert lesions(box(0, 0, 3, 3) | box(3, 3, 3, 3), np.zeros((64, 64), bool)).reference == 1


def test_exchanged_masks_are_others_of_the_class_that_show_a_lesion_and_differ():
    masks = np.zeros((6, 4, 4), bool)
    masks[0, :, :2] = masks[1, :, 1:3] = masks[2, :, 2:] = masks[3, :, :2] = True  # the last as the first
    masks[5, 0, 0] = True
    labels = np.array(list("aaaaab"))
    found = exchanged(masks, masks[[0, 1, 2, 3, 0, 5]], labels)
    expected = [np.mean([0.5, 0]), np.mean([0.5, 0.5, 0.5]), np.mean([0, 0.5, 0]), np.mean([0.5, 0])]
    assert found[:4] == pytest.approx(expected)
    assert np.isnan(found[4:]).all()  # nothing was asked for; and there are no others


def test_no_image_has_no_exchanged_masks():
    assert exchanged(np.zeros((0, 8, 8), bool), np.zeros((0, 8, 8), bool), np.array([], str)).shape == (0,)
