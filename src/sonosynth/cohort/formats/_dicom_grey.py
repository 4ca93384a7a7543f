"""From DICOM's stored values to 8-bit grey, as a viewer shows them: PS3.3 C.7.6.3, C.11.1 and C.11.2."""

from typing import Any

import numpy as np

from sonosynth.cohort.decoding import Unusable
from sonosynth.cohort.formats._values import asked, check_grey, full_range, luma, stretch
from sonosynth.cohort.settings import Reading
from sonosynth.errors import first_line, inert

Dataset = Any
"""A `pydicom.Dataset`; pydicom is an extra."""


def grey_of(stored: np.ndarray, header: Dataset, frame: int, how: Reading) -> tuple[np.ndarray, str]:
    """(H, W) uint8 grey of one frame, and what Pillow would call its mode.

    Grey values are rescaled, then mapped by the window or the percentiles of `how`, or if it has none by the first VOI
    table or window that the file has, else from their full range; 8 bits without any of these stay as they are. White
    as zero is inverted, padding is black. Colour is weighted as ITU-R 601 luma.

    Args:
        stored: (H, W), or (H, W, 3) in RGB.
        header: of the file, with the functional groups of a multi-frame one.
        frame: its number, from 0.

    Raises:
        Unusable: if the photometric interpretation is none of these, or of colour where `how` asks for values.
    """
    kind, bits = header.PhotometricInterpretation, int(header.get("BitsStored", 32))
    if kind == "PALETTE COLOR" or (stored.ndim == 3 and stored.shape[2] == 3):
        check_grey(how)
    if kind == "PALETTE COLOR":
        from pydicom.pixels import apply_color_lut

        colours = apply_color_lut(stored, header)
        return luma(_eight_bits(colours, 8 * colours.dtype.itemsize)), "P"
    if stored.ndim == 3 and stored.shape[2] == 3:
        return luma(_eight_bits(stored, bits)), "RGB"
    if stored.ndim != 2 or kind not in ("MONOCHROME1", "MONOCHROME2"):
        raise Unusable(f"has the photometric interpretation {inert(first_line(kind))}, of shape {stored.shape}")
    grey = _shown(stored, header, frame, bits, how)
    if kind == "MONOCHROME1":
        grey = 255 - grey
    grey[_padding(stored, header)] = 0
    return grey, "1" if bits == 1 else "L" if bits <= 8 else "I;16"


def _shown(stored: np.ndarray, header: Dataset, frame: int, bits: int, how: Reading) -> np.ndarray:
    rescale = _where(header, frame, "PixelValueTransformationSequence", "RescaleSlope")
    window = _where(header, frame, "FrameVOILUTSequence", "WindowWidth")
    values: np.ndarray = stored
    if header.get("ModalityLUTSequence"):
        values, _ = _looked_up(values, header.ModalityLUTSequence[0], header)
    elif "RescaleSlope" in rescale and "RescaleIntercept" in rescale:
        slope, intercept = float(rescale.RescaleSlope), float(rescale.RescaleIntercept)
        if (slope, intercept) != (1, 0):
            values = stored * slope + intercept
    shown = ~_padding(stored, header)
    grey = asked(values, values[shown], how)
    if grey is None:
        grey = _in_window(values, header, window)
    if grey is None and values is stored and stored.dtype == np.uint8 and bits == 8:
        grey = stored.copy()
    if grey is not None:
        return grey
    seen = values[shown & np.isfinite(values)]
    return stretch(values, float(seen.min()), float(seen.max())) if seen.size else full_range(values)


def _in_window(values: np.ndarray, header: Dataset, window: Dataset) -> np.ndarray | None:
    """uint8 grey of rescaled values by the first table or window that the file has, None if it has neither."""
    if header.get("VOILUTSequence"):
        values, depth = _looked_up(values, header.VOILUTSequence[0], header)
        return stretch(values, 0, 2**depth - 1)
    if window.get("WindowWidth") is not None and window.get("WindowCenter") is not None:
        width, centre = _first(window.WindowWidth), _first(window.WindowCenter)
        function = str(window.get("VOILUTFunction") or "LINEAR").upper()
        if function == "SIGMOID" and width > 0:
            return stretch(1 / (1 + np.exp(-4 * (values - centre) / width)), 0, 1)
        if function == "LINEAR_EXACT" and width > 0:
            return stretch(values, centre - width / 2, centre + width / 2)
        if function == "LINEAR" and width > 1:
            return stretch(values, centre - width / 2, centre + width / 2 - 1)
    return None


def _where(header: Dataset, frame: int, group: str, keyword: str) -> Dataset:
    """What has a value for this frame: its own functional group, that shared by all frames, or the header."""
    own = (header.get("PerFrameFunctionalGroupsSequence") or [])[frame : frame + 1]
    shared = (header.get("SharedFunctionalGroupsSequence") or [])[:1]
    for groups in (*own, *shared):
        macros = groups.get(group)
        if macros and keyword in macros[0]:
            return macros[0]
    return header


def _looked_up(values: np.ndarray, table: Dataset, header: Dataset) -> tuple[np.ndarray, int]:
    """The values in a table, whose ends go on beyond it, and the bits of its entries: PS3.3 C.11.1.1.1."""
    entries, first, depth = (int(number) for number in table.LUTDescriptor)
    data = table.LUTData
    if isinstance(data, bytes):
        big = not header.file_meta.TransferSyntaxUID.is_little_endian
        data = np.frombuffer(data[: len(data) // 2 * 2], ">u2" if big else "<u2")
    found = np.asarray(data, np.int64)[: entries or 65536]
    positions = np.clip(np.floor(values.astype(np.float64)) - first, 0, len(found) - 1)
    return found[positions.astype(np.int64)], depth


def _padding(stored: np.ndarray, header: Dataset) -> np.ndarray:
    """(H, W) bool: pixels that only fill the rectangle."""
    one = header.get("PixelPaddingValue")
    if one is None:
        return np.zeros(stored.shape, bool)
    other = header.get("PixelPaddingRangeLimit")
    low, high = sorted((int(one), int(one if other is None else other)))
    return (stored >= low) & (stored <= high)


def _eight_bits(values: np.ndarray, bits: int) -> np.ndarray:
    return values if values.dtype == np.uint8 and bits == 8 else stretch(values, 0, 2**bits - 1)


def _first(value: Any) -> float:
    """A number, or the first of several."""
    return float(value[0] if hasattr(value, "__getitem__") and not isinstance(value, str) else value)
