"""A lesion's mask, moved, turned, scaled and bent: another lesion of its kind."""

import numpy as np
from scipy import ndimage

TRIES = 20
TURN = np.deg2rad(15)  # at most, to either side
SCALE, STRETCH = 1.25, 1.1  # factors, at most, or at least their inverse: of both axes, of one against the other
SHIFT = 0.15  # of the side, at most, along each axis
BEND = 0.08  # standard deviation of the displacements, as a share of the lesion's radius
AREAS = (0.5, 2.0)  # of the mask's own


def deformed(mask: np.ndarray, rng: np.random.Generator, *, mirror: bool = True) -> np.ndarray:
    """A mask (S, S) bool like the given one, whole within the frame, in as many pieces, and of 0.5 to 2 times its area.

    The lesion is turned, scaled and stretched, and bent by a smooth random displacement (as in Simard et al., ICDAR
    2003); then it is moved, and with `mirror` mirrored every second time. Where `TRIES` draws find none that fits, as
    for a lesion that fills the frame, it is mirrored at most. An empty mask stays empty.
    """
    if not mask.any():
        return mask
    known = mask[:, ::-1] if mirror and rng.random() < 0.5 else mask
    pieces = ndimage.label(known)[1]
    for _ in range(TRIES):
        found = _moved(known, rng)
        if found is None or ndimage.label(found)[1] != pieces:
            continue
        if AREAS[0] <= found.sum() / known.sum() <= AREAS[1]:
            return found
    return known


def _moved(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """One draw, None if it is larger than the frame."""
    side, centre = len(mask), np.array(ndimage.center_of_mass(mask))
    radius = np.sqrt(mask.sum() / np.pi)
    turn, scale, stretch = rng.uniform(-1, 1, 3) * [TURN, np.log(SCALE), np.log(STRETCH)]
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    back = rotation.T * np.exp([[-scale - stretch], [-scale + stretch]])
    shift = rng.uniform(-SHIFT, SHIFT, 2) * side
    # In a frame of twice the side, so that a lesion at the edge is seen whole before it is moved into the frame.
    offsets = np.indices((2 * side, 2 * side)).reshape(2, -1) + 0.5 - side
    smooth = max(2.0, radius / 2)
    bend = np.stack([ndimage.gaussian_filter(x, smooth) for x in rng.standard_normal((2, 2 * side, 2 * side))])
    bend *= BEND * radius / bend.std()
    places = centre[:, None] + back @ offsets + bend.reshape(2, -1)
    values = ndimage.map_coordinates(mask.astype(np.float32), places, order=1).reshape(2 * side, 2 * side)
    return into_frame(values >= 0.5, centre + shift)


def into_frame(shape: np.ndarray, centre: np.ndarray) -> np.ndarray | None:
    """What is in the middle of a frame (2S, 2S) bool, in a frame (S, S) with its middle at `centre` (y, x), or as near
    to that as leaves it whole; None if it is empty or larger.
    """
    side = len(shape) // 2
    start = np.round(side - centre).astype(int)
    for axis in (0, 1):
        there = np.flatnonzero(shape.any(axis=1 - axis))
        if not len(there) or there[-1] - there[0] >= side:
            return None
        start[axis] = np.clip(start[axis], there[-1] - side + 1, there[0])
    y, x = start
    return shape[y : y + side, x : x + side]
