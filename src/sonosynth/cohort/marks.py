"""Marks that can give the answer away: burnt-in text, calipers and borders, found by three rules on grey levels.

A classifier that reads what was written on an image has learned nothing of the disease (Winkler et al., JAMA Dermatol.
155:1135, 2019; DeGrave et al., Nat. Mach. Intell. 3:610, 2021). Text and calipers are drawn with thin bright strokes;
a *stroke* here is a pixel at least `STEP` grey levels brighter than the morphological opening of its surroundings.

- text: `GLYPHS` or more groups of connected strokes side by side that have one top and one bottom line, as the
  characters of a word have and speckle has not.
- calipers: two or more crosses (+ or ×) of one size: strokes in four directions, and none between these. The line
  between two crosses belongs to them if it stands out from what lies beside it.
- border: lines at an edge of the image that are constant and end abruptly. What fades to black is no border.

Not found: dark or single characters, strokes of `WINDOW` pixels or more, pictograms, dotted lines without crosses.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product

import numpy as np
from PIL import Image
from scipy import ndimage

from sonosynth.cohort.twins import components

TEXT, CALIPERS, BORDER = "text", "calipers", "border"
KINDS = (TEXT, CALIPERS, BORDER)
LARGEST = 1024  # pixels per side; larger images are reduced first
WINDOW, STEP = 9, 70  # pixels; grey levels
SHIFTS = 1, 2, 4, 1  # by which the extremes of 2, 4, 8 and `WINDOW` pixels follow from one another
GLYPHS, LOWEST, HIGHEST = 3, 6, 60  # characters of a word; height of one, pixels
WORD, SPACE = 10, 1.25  # in heights of a character: width of a group, and between groups
ARM, LONGEST_ARM = 3, 16  # pixels from the centre of a cross
STANDS_OUT = 25  # grey levels: a line from what lies beside it
FLAT, ABRUPT = 3, 16  # grey levels: within a border, and where it ends
MARGIN = 2  # pixels around a mark that are filled in with it, as strokes are blurred
TEXTURE = 1000, 16  # more groups of strokes of the size of a character, and more crosses, than anybody draws
SIDES: tuple[tuple[int, int], ...] = ((-1, 0), (1, 0), (0, -1), (0, 1))
CORNERS: tuple[tuple[int, int], ...] = ((-1, -1), (-1, 1), (1, -1), (1, 1))


def find(image: np.ndarray) -> dict[str, np.ndarray]:
    """The marks in `image` (H, W) uint8: of each of `KINDS` that it has, the pixels (H, W) bool."""
    height, width = image.shape
    factor = math.ceil(max(image.shape) / LARGEST)
    small = np.asarray(Image.fromarray(image).reduce(factor)) if factor > 1 else image
    raised = small - _opened(small)
    strokes = raised >= STEP
    found = {TEXT: _text(strokes), CALIPERS: _calipers(strokes, raised), BORDER: _border(small)}
    return {
        kind: pixels.repeat(factor, axis=0).repeat(factor, axis=1)[:height, :width]
        for kind, pixels in found.items() if pixels.any()
    }  # fmt: skip


def fill(image: np.ndarray, found: Mapping[str, np.ndarray]) -> np.ndarray:
    """`image` (H, W) uint8 with the marks that were `found` filled in.

    By the pixel as far on the other side of their outline, so that the texture goes on; where that is a mark, too, by
    the nearest pixel that is none.
    """
    if not found:
        return image
    square = np.ones((2 * MARGIN + 1, 2 * MARGIN + 1), bool)
    masked = ndimage.binary_dilation(np.logical_or.reduce([*found.values()]), square)
    if masked.all():
        return image
    nearest = ndimage.distance_transform_edt(masked, return_distances=False, return_indices=True)[:, masked]
    across = np.clip(2 * nearest - np.array(np.nonzero(masked)), 0, np.array(image.shape)[:, None] - 1)
    filled = image.copy()
    filled[masked] = image[tuple(np.where(masked[tuple(across)], nearest, across))]
    return filled


def _opened(image: np.ndarray) -> np.ndarray:
    """The opening of `image` by a square of `WINDOW` pixels: a tenth of the time that `ndimage.grey_opening` takes."""
    found = np.pad(image, WINDOW - 1, mode="symmetric")
    for extreme, axis in product((np.minimum, np.maximum), (0, 1)):
        found = found.swapaxes(0, axis)
        for shift in SHIFTS:
            found = extreme(found[:-shift], found[shift:])
        found = found.swapaxes(0, axis)
    return found


def _text(strokes: np.ndarray) -> np.ndarray:
    """The characters of all words."""
    named, _ = ndimage.label(strokes, np.ones((3, 3)))
    boxes = np.array([(y.start, y.stop, x.start, x.stop) for y, x in ndimage.find_objects(named)], int).reshape(-1, 4)
    height, width = boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 2]
    highest = min(HIGHEST, len(strokes) // 4)
    likely = np.flatnonzero((height >= LOWEST) & (height <= highest) & (width > 1) & (width <= WORD * height))
    single = width[likely] <= 2 * height[likely]  # further ones may be characters that touch
    if not GLYPHS <= len(likely) <= TEXTURE[0]:
        return np.zeros_like(strokes)
    top, bottom, left, right = boxes[likely].T
    height = np.minimum.outer(bottom - top, bottom - top)
    slack, gap = 1 + height // 12, left - right[:, None]
    beside = (gap >= 0) & (gap <= SPACE * height)
    for edge in (top, bottom):
        beside &= np.abs(np.subtract.outer(edge, edge)) <= slack
    words = [
        rows for rows in components(len(likely), zip(*np.nonzero(beside), strict=True)) if single[rows].sum() >= GLYPHS
    ]
    found: np.ndarray = np.isin(named, [likely[row] + 1 for rows in words for row in rows])
    return found


def _calipers(strokes: np.ndarray, raised: np.ndarray) -> np.ndarray:
    """Crosses, the strokes around them (their numbers), and the lines between them."""
    found = np.zeros_like(strokes)
    for arms, gaps in ((SIDES, CORNERS), (CORNERS, SIDES)):
        crosses = [*_crosses(strokes, arms, gaps)]
        for (p, size), (q, other) in combinations(crosses, 2) if len(crosses) <= TEXTURE[1] else ():
            if abs(size - other) > 2:
                continue
            for place in (p, q):
                near = tuple(slice(max(0, at - 3 * size), at + 3 * size + 1) for at in place)
                found[near] |= _inside(strokes[near])
                cross = tuple(slice(max(0, at - size), at + size + 1) for at in place)
                found[cross] |= strokes[cross]
            found[_line(raised, np.array(p), np.array(q), size)] = True
    return found


def _inside(strokes: np.ndarray) -> np.ndarray:
    """The groups of strokes of at least `LOWEST` rows that don't touch the edges."""
    named, _ = ndimage.label(strokes, np.ones((3, 3)))
    named[np.isin(named, np.concatenate([named[0], named[-1], named[:, 0], named[:, -1]]))] = 0
    high = [i for i, box in enumerate(ndimage.find_objects(named), 1) if box and box[0].stop - box[0].start >= LOWEST]
    found: np.ndarray = np.isin(named, high)
    return found


def _crosses(
    strokes: np.ndarray, arms: Sequence[tuple[int, int]], gaps: Sequence[tuple[int, int]]
) -> Iterator[tuple[tuple[int, int], int]]:
    """Centre (y, x) and length of the arms of each cross with strokes in the directions `arms`, none in `gaps`."""
    height, width = strokes.shape
    room = LONGEST_ARM + 3
    padded = np.pad(strokes, room)

    def moved(direction: tuple[int, int], by: int) -> np.ndarray:
        y, x = room + by * direction[0], room + by * direction[1]
        return padded[y : y + height, x : x + width]

    centres = strokes.copy()
    for arm, by in product(arms, range(1, ARM + 1)):
        centres &= moved(arm, by)
    centres &= sum(moved(gap, ARM).astype(np.uint8) for gap in gaps) <= 1  # a number may be in one of them
    for box in ndimage.find_objects(ndimage.label(centres, np.ones((3, 3)))[0]):
        y, x = ((side.start + side.stop - 1) // 2 for side in box)

        def along(direction: tuple[int, int], y: int = y, x: int = x) -> np.ndarray:
            steps = np.arange(1, room)
            return padded[y + room + steps * direction[0], x + room + steps * direction[1]]

        lengths = sorted(int(np.append(along(arm), False).argmin()) for arm in arms)
        if lengths[0] < ARM:
            continue
        between = sorted(along(gap)[ARM - 1 : lengths[1]].mean() for gap in gaps)
        # One arm may go on into a line, and there may be a number in one gap; but grains of speckle look like that.
        occupied = between[3] if lengths[1] == ARM else between[2]
        if lengths[2] <= min(LONGEST_ARM, lengths[0] + 2) and not occupied:
            yield (y, x), lengths[1]


def _line(raised: np.ndarray, p: np.ndarray, q: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The pixels (rows, columns) between two crosses if they stand out from those beside them, else none."""
    length = float(np.hypot(*(q - p)))
    ends = (size + 2) / max(length, 1)
    along = p + np.linspace(ends, 1 - ends, round(max(length, 2)))[:, None] * (q - p)
    across = np.array([p[1] - q[1], q[0] - p[0]]) / max(length, 1)

    def pixels(offset: float) -> tuple[np.ndarray, np.ndarray]:
        places = np.clip((along + offset * across).round().astype(int), 0, np.array(raised.shape) - 1)
        return places[:, 0], places[:, 1]

    def level(*offsets: int) -> float:
        return float(np.max([raised[pixels(offset)] for offset in offsets], axis=0).mean())

    if length < 4 * size or level(-1, 0, 1) - max(level(-6, -5, -4), level(4, 5, 6)) < STANDS_OUT:
        return np.empty(0, int), np.empty(0, int)
    return pixels(0)


def _border(image: np.ndarray) -> np.ndarray:
    """The constant lines at the four edges, where they end abruptly."""
    found = np.zeros(image.shape, bool)
    for turns in range(4):
        lines, mask = np.rot90(image, turns).astype(np.int16), np.rot90(found, turns)  # views: the mask is written to
        apart = np.abs(lines - np.median(lines[0]))
        constant = (apart <= FLAT).mean(axis=1) >= 0.98
        count = int(constant.argmin())
        if 0 < count < len(lines) // 2 and (apart[count + 1] > ABRUPT).mean() >= 0.5:
            mask[:count] = True
    return found
