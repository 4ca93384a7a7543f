"""Masks: which pixels of an image are lesion.

Whatever is not black is: 1 or 255, grey or coloured. In a lossy file, where black is only nearly so, it is what is
brighter than half of the brightest pixel.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from sonosynth.cohort.decoding import AS_STORED, Unusable, decode, opened, scaled
from sonosynth.cohort.places import Part, Place, file_of
from sonosynth.cohort.settings import Reading

LOSSY = ("JPEG", "WEBP")
NOISE = 16  # grey levels that the noise of a lossy file may have where all is black


def read_mask(places: Sequence[Place], shape: tuple[int, int], how: Reading = AS_STORED) -> np.ndarray:
    """(H, W) bool union of the masks of one image of size `shape`, which was read as `how` says; one of another size is
    scaled to it.

    Raises:
        Unusable: if a mask can't be read, or its sides are not as those of its image.
    """
    union = np.zeros(shape, bool)
    for place in places:
        name = file_of(place).name
        try:
            mask = _of_part(place, how) if isinstance(place, Part) else read_file(place)
        except Unusable as reason:
            raise Unusable(f"mask {name} {reason}") from None
        if mask.shape != shape:
            mask = _scaled(mask, shape, name)
        union |= mask
    return union


def _of_part(place: Part, how: Reading) -> np.ndarray:
    return decode(place, how if scaled(place) else AS_STORED).grey > 0


def read_file(file: Path) -> np.ndarray:
    """(H, W) bool: the lesion in a mask, with the file's own values, whatever their depth."""
    with opened(file) as image:
        values = np.asarray(_with_colours(image))
        lossy = image.format in LOSSY
    if values.ndim == 3:
        values = values.max(axis=2)
    return values > max(NOISE, values.max(initial=0) / 2) if lossy else values != 0


def _with_colours(image: Image.Image) -> Image.Image:
    """An image whose values are those of its colours: black is 0 in all of them, and so is what is transparent."""
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        ground = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")
    return image if image.mode in ("1", "L", "RGB", "F") or image.mode.startswith("I") else image.convert("RGB")


def _scaled(mask: np.ndarray, shape: tuple[int, int], name: str) -> np.ndarray:
    """A mask as large as its image, if that has the same sides, to a pixel."""
    (height, width), (h, w) = shape, mask.shape
    if abs(h * width / w - height) > 1 or abs(w * height / h - width) > 1:
        raise Unusable(f"mask {name} is {w} x {h}, its image {width} x {height}")
    return np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))


def to_square(mask: np.ndarray, side: int) -> np.ndarray:
    """(side, side) bool of a mask (H, W), resized as its image: where the lesion covers half of a pixel or more.

    Of a lesion that covers half of none, the pixel remains that it covers most of: an image with a lesion never turns
    into one without.
    """
    if mask.shape == (side, side):
        return mask.astype(bool)
    covered = np.asarray(Image.fromarray(mask.astype(np.float32)).resize((side, side), Image.Resampling.BOX))
    square: np.ndarray = covered >= 0.5
    return square if square.any() or not mask.any() else covered == covered.max()


def resized(masks: np.ndarray, side: int) -> np.ndarray:
    """(N, side, side) uint8, 1 where a lesion is, of square masks (N, H, H)."""
    found = np.zeros((len(masks), side, side), np.uint8)
    for place, mask in enumerate(masks):
        found[place] = to_square(mask, side)
    return found
