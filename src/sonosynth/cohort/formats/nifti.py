"""A folder of class folders with NIfTI files in them, at any depth; X_gt or X_mask beside X is its mask. Needs nibabel.

Of a volume one axial slice is read, the middle one unless settings say another, as radiologists see it: the patient's
right on the left, front on top. Where the header gives no orientation, the slice is across the third axis, with the
first axis to the right and the second down. Of further axes, such as time, the middle is read, too.
"""

from pathlib import Path
from typing import Any

import numpy as np

from sonosynth.cohort.decoding import AS_STORED, MAX_BYTES, Unusable
from sonosynth.cohort.formats import _class_folders
from sonosynth.cohort.formats._values import MASK, as_stored, asked, check_grey, check_size, frame_of, full_range
from sonosynth.cohort.places import Part
from sonosynth.cohort.settings import Reading
from sonosynth.cohort.sources import Listing
from sonosynth.errors import UserError, first_line

SCALED = True  # `decode` takes settings
SUFFIXES = (".nii", ".nii.gz")
INSTALL = "pip install 'sonosynth[nifti]'"
SHOWN = {"R": "L", "L": "L", "A": "P", "P": "P", "S": "I", "I": "I"}
"""The direction in which an axis is shown, to the right or down, by the one in which it is stored."""
ACROSS = ("RL", "AP", "SI")
"""Axes of the body, in the order in which they are shown from left to right rather than downwards."""


def is_one(file: Path) -> bool:
    """Whether a file is NIfTI, by its name."""
    return file.name.lower().endswith(SUFFIXES)


def parts(file: Path) -> list[Part]:
    """The pictures in a NIfTI file: its middle slice."""
    return [Part(file, "nifti")]


def reads(path: Path) -> bool:
    """Whether this format reads what is at `path`."""
    return path.is_dir() and _class_folders.mostly(path, is_one)


def listing(root: Path) -> Listing:
    """The images in the class folders of the folder `root`.

    Raises:
        UserError: if nibabel is not installed.
    """
    try:
        import nibabel  # noqa: F401
    except ImportError:
        raise UserError(f"cohort {root}: holds NIfTI files, and nibabel is not installed", fix=INSTALL) from None
    return _class_folders.listing(root)


def decode(file: Path, name: str, how: Reading = AS_STORED) -> tuple[np.ndarray, str]:
    """(H, W) uint8 grey of the slice that `how` says, and what Pillow would call its mode.

    Values are mapped by the window or the percentiles of `how`; if it has none, 8 bits without a scale stay as they
    are, and others are mapped from the full range of the slice. If `name` is `MASK`, what is not 0 is white.

    Raises:
        Unusable: if it can't be read, or nibabel is not installed.
    """
    try:
        import nibabel
    except ImportError:
        raise Unusable(f"is a NIfTI file: {INSTALL}") from None
    try:
        size = file.stat().st_size
        if size > MAX_BYTES:
            raise Unusable(f"has {size:,} bytes, more than {MAX_BYTES:,}")
        image: Any = nibabel.load(file)
        values = _slice(image, how)
    except (Unusable, MemoryError):
        raise
    except Exception as error:  # of any kind, if the file is damaged
        raise Unusable(f"can't be decoded as NIfTI ({first_line(error).replace(str(file), file.name)})") from None
    if values.dtype.names == ("R", "G", "B"):
        check_grey(how)
        return as_stored(np.stack([values[colour] for colour in "RGB"], -1))
    if values.dtype.kind not in "buif":
        raise Unusable(f"has values of type {values.dtype}, which are no grey values")
    if name == MASK:
        return as_stored(np.nan_to_num(values) != 0)
    if (grey := asked(values, values, how)) is not None:
        return grey, "F"
    return as_stored(values) if values.dtype == np.uint8 else (full_range(values), "F")


def _slice(image: Any, how: Reading) -> np.ndarray:
    """(H, W) values of the slice that `how` says, of one slice the frame; only these are held in memory."""
    import nibabel

    shape = image.shape
    known = bool(image.header["sform_code"] or image.header["qform_code"])
    codes = nibabel.aff2axcodes(image.affine) if known else ("L", "P", "I")
    if len(shape) < 2 or None in codes:
        raise Unusable(f"has values of shape {shape}, or no valid orientation")
    axes = list(range(min(len(shape), 3)))
    if len(axes) == 3:  # one slice across an axis is that slice, whatever the axis
        single = [axis for axis in axes if shape[axis] == 1]
        across = single[0] if single else next(axis for axis in axes if codes[axis] in "SI")
        axes.remove(across)
    check_size(shape[axes[1]], shape[axes[0]])
    if 0 in shape:
        raise Unusable(f"has values of shape {shape}")
    further = [axis for axis in range(len(shape)) if axis not in axes]
    chosen = {axis: shape[axis] // 2 for axis in further}
    several = [axis for axis in further if shape[axis] > 1][:1]  # of the others, such as time, the middle
    number = frame_of(shape[several[0]] if several else 1, how)
    for axis in several:
        downwards = how.frame != AS_STORED.frame and axis < 3 and codes[axis] == "I"
        chosen[axis] = shape[axis] - 1 - number if downwards else number
    index = tuple(chosen.get(axis, slice(None)) for axis in range(len(shape)))
    values: np.ndarray = np.asanyarray(image.dataobj[index])
    turned = [codes[axis] for axis in axes]
    for position, code in enumerate(turned):
        if code != SHOWN[code]:
            values = np.flip(values, position)
    rank = [next(n for n, ends in enumerate(ACROSS) if code in ends) for code in turned]
    return values.T if rank[0] < rank[1] else values
