"""A deformed mask is another lesion of its kind: whole, inside the frame, in one piece, of a bounded area."""

import numpy as np
import pytest
from scipy import ndimage

from sonosynth.synthesis.deforming import AREAS, SHIFT, deformed, into_frame

Y, X = np.indices((64, 64))
DISC = np.hypot(Y - 30, X - 40) < 9
AT_THE_EDGE = np.hypot(Y - 3, X - 60) < 12
HOOK = ((abs(Y - 30) < 12) & (abs(X - 20) < 3)) | ((abs(Y - 40) < 3) & (X > 17) & (X < 36))
TWO = DISC | (np.hypot(Y - 50, X - 15) < 6)


def draws(mask, count=60, **how):
    return [deformed(mask, np.random.default_rng(n), **how) for n in range(count)]


@pytest.mark.parametrize("mask", [DISC, AT_THE_EDGE, HOOK, TWO], ids=["disc", "at the edge", "hook", "two"])
def test_a_lesion_stays_in_as_many_pieces_and_of_a_bounded_area(mask):
    pieces = ndimage.label(mask)[1]
    found = draws(mask)
    assert all(one.shape == mask.shape and one.dtype == bool for one in found)
    assert {ndimage.label(one)[1] for one in found} == {pieces}
    shares = np.array([one.sum() / mask.sum() for one in found])
    assert AREAS[0] <= shares.min() < 0.85 and 1.15 < shares.max() <= AREAS[1]
    assert len({one.tobytes() for one in found}) > 0.9 * len(found)


def test_no_part_of_a_lesion_is_cut_off_by_the_frame():
    """A disc that is moved past the edge would lose the part beyond it, and be less round."""
    disc = np.hypot(Y - 9, X - 9) < 9  # it nearly touches two edges
    for one in draws(disc):
        y, x = (np.ptp(np.flatnonzero(one.any(axis=axis))) + 1 for axis in (1, 0))
        assert 0.7 < y / x < 1.4
        assert one.sum() / (y * x) == pytest.approx(np.pi / 4, abs=0.15)


def test_it_is_moved_around_its_place_and_mirrored_every_second_time_only_if_it_may():
    found = draws(DISC, 100, mirror=False)
    centres = np.array([ndimage.center_of_mass(one) for one in found])
    assert centres.mean(axis=0) == pytest.approx([30, 40], abs=2)
    assert centres.std(axis=0) == pytest.approx(SHIFT * 64 / 3**0.5 * np.ones(2), rel=0.25)
    sides = np.array([ndimage.center_of_mass(one)[1] > 32 for one in draws(DISC, 60)])
    assert sides.mean() == pytest.approx(0.5, abs=0.2)


def test_a_mask_is_repeated_by_its_seed_and_an_empty_one_stays_empty():
    assert np.array_equal(*(deformed(HOOK, np.random.default_rng(3)) for _ in range(2)))
    assert not deformed(HOOK & False, np.random.default_rng(0)).any()


def test_where_no_draw_fits_a_mask_is_mirrored_at_most():
    board = (X + Y) % 2 == 0  # of pieces of a pixel each, which no draw leaves apart
    assert all(np.array_equal(one, board) or np.array_equal(one, board[:, ::-1]) for one in draws(board, 3))


def test_what_is_put_into_a_frame_is_moved_until_it_is_whole():
    shape = np.zeros((16, 16), bool)
    shape[7:9, 6:11] = True
    assert np.argwhere(into_frame(shape, np.array([3.0, 4.0]))).min(axis=0).tolist() == [2, 2]
    for centre, corner in (([-20.0, 4.0], [0, 2]), ([3.0, 50.0], [2, 3]), ([50.0, -9.0], [6, 0])):
        found = into_frame(shape, np.array(centre))
        assert found.sum() == 10 and np.argwhere(found).min(axis=0).tolist() == corner
    shape[7, 3:12] = True
    assert into_frame(shape, np.array([4.0, 4.0])) is None and into_frame(shape & False, np.zeros(2)) is None
