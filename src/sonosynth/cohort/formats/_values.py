"""Arrays of stored values to 8-bit grey."""

import numpy as np
from PIL import Image

from sonosynth.cohort.decoding import LARGE, MAX_PIXELS, Unusable
from sonosynth.cohort.settings import Reading

MASK = "mask"
"""The name of a part that is a mask: what is not 0 is white, whatever else the file says."""


def check_size(height: int, width: int) -> None:
    """Raise Unusable if a picture is empty, or has more pixels than an image file may have."""
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise Unusable(f"is {width} x {height} pixels, not 1 to {MAX_PIXELS:,} in all")


def as_stored(values: np.ndarray) -> tuple[np.ndarray, str]:
    """(H, W) uint8 grey of an array as it would be of an image file that holds it, and Pillow's name of its mode.

    Args:
        values: (H, W), or (H, W, 3) in colour; bool, uint8, or uint16 scaled from its full range.

    Raises:
        Unusable: if it is of any other kind.
    """
    colour = values.ndim == 3 and values.shape[2] == 3
    if not colour and values.ndim != 2:
        raise Unusable(f"has values of shape {values.shape}, not height x width, or that by 3 colours")
    check_size(*values.shape[:2])
    if values.dtype == bool:
        values = values * np.uint8(255)
    elif values.dtype == np.uint16:
        values = np.round(values / np.float32(257)).astype(np.uint8)
    elif values.dtype != np.uint8:
        raise Unusable(f"has values of type {values.dtype}, not of 8 or 16 bits without a sign")
    return (luma(values), "RGB") if colour else (np.ascontiguousarray(values), "L")


def luma(colours: np.ndarray) -> np.ndarray:
    """(H, W) uint8 ITU-R 601 luma of (H, W, 3) uint8."""
    return np.asarray(Image.fromarray(np.ascontiguousarray(colours)).convert("L"))


def stretch(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Values from `low` to `high` as 0 to 255 (uint8, rounded); what is beyond, or no number, is cut off or 0."""
    if not high > low:
        return np.zeros(values.shape, np.uint8)
    shares: np.ndarray = values.astype(np.float64 if values.size < LARGE else np.float32)
    shares = (shares - low) / (high - low)
    return np.round(255 * np.clip(np.nan_to_num(shares, nan=0.0), 0, 1)).astype(np.uint8)


def full_range(values: np.ndarray) -> np.ndarray:
    """uint8: the smallest finite value is 0, the largest 255."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise Unusable("has no finite value")
    return stretch(values, float(finite.min()), float(finite.max()))


def asked(values: np.ndarray, seen: np.ndarray, how: Reading) -> np.ndarray | None:
    """uint8 grey of values as the settings ask for it; None if they don't.

    Args:
        seen: the values whose percentiles count; those that are no numbers never do.
    """
    if how.window:
        centre, width = how.window
        return stretch(values, centre - width / 2, centre + width / 2)
    if how.percentiles:
        finite = seen[np.isfinite(seen)]
        return stretch(values, *np.percentile(finite, how.percentiles)) if finite.size else full_range(values)
    return None


def check_grey(how: Reading) -> None:
    """Raise Unusable if the settings ask for a scale of values, of a picture that is in colour."""
    if scale := [name for name in how.given if name != "frame"]:
        raise Unusable(f"is in colour, and has no scale of values for reading.{scale[0]}")


def frame_of(count: int, how: Reading) -> int:
    """The position, from 0, of the picture that is read of `count`; raises Unusable if there is none."""
    try:
        return how.index(count)
    except IndexError:
        raise Unusable(f"has {count} frames or slices, none with the number {how.frame} (reading.frame)") from None
