"""An .npz as of MedMNIST: train_images and train_labels, and the same of val and test; labels are numbers.

Yang et al., MedMNIST v2, Scientific Data 10, 41 (2023). Images are (N, H, W), or (N, H, W, 3) in colour, uint8; of
volumes (N, D, H, W), the middle slice is read.
"""

import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from sonosynth.cohort.decoding import Unusable
from sonosynth.cohort.formats._given import side_of, with_both_sides
from sonosynth.cohort.formats._kept import kept
from sonosynth.cohort.formats._values import as_stored
from sonosynth.cohort.places import Part
from sonosynth.cohort.sources import By, Listing, Source, Taken
from sonosynth.errors import UserError, first_line

PARTS = ("train", "val", "test")
LARGEST = 4_000_000_000  # bytes of a compressed array, which is held in memory
EXPECTED = "train_images, train_labels and the like for val and test, as in MedMNIST's files"
DAMAGED = (OSError, ValueError, KeyError, EOFError, RuntimeError, struct.error, zlib.error, zipfile.BadZipFile)
"""What is raised for archives that are damaged, encrypted or compressed in another way."""

Header = tuple[tuple[int, ...], bool, np.dtype]
"""Shape, whether in Fortran's order, and type of an array."""


def reads(path: Path) -> bool:
    """Whether this format reads what is at `path`."""
    return path.suffix.lower() == ".npz" and path.is_file()


def listing(path: Path) -> Listing:
    """The images in the arrays of the file at `path`.

    Raises:
        UserError: if it isn't such a file, or has several labels for each image.
    """
    found = Listing(path.parent, [])
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {name.removesuffix(".npy") for name in archive.namelist()}
        parts = [part for part in PARTS if {f"{part}_images", f"{part}_labels"} <= arrays]
        if not parts:
            shown = first_line(", ".join(sorted(arrays)) or "nothing")
            raise UserError(f"cohort {path}: has the arrays {shown}", EXPECTED)
        for part in parts:
            images, labels = _array(path, f"{part}_images"), _array(path, f"{part}_labels")
            if labels.ndim == 2 and labels.shape[1] == 1:
                labels = labels[:, 0]
            if labels.ndim != 1 or len(labels) != len(images):
                raise UserError(
                    f"cohort {path}: {part}_labels has the shape {labels.shape} for {len(images)} images",
                    "one label for each image",
                    "several labels for one image can't be used: write an .npz or a table with one of them",
                )
            width = len(str(len(images)))
            found.sources.extend(
                Source(f"{part}/{n:0{width}}", Part(path, "medmnist", f"{part}/{n}"), str(label), given=side_of(part))
                for n, label in enumerate(labels.tolist())
            )
    except (Unusable, *DAMAGED) as error:
        raise UserError(f"cohort {path}: can't be read as .npz ({first_line(error)})", EXPECTED) from None
    found.taken.update(label=Taken(By.ARRAY), split=Taken(By.ARRAY))
    return with_both_sides(found)


def decode(file: Path, name: str) -> tuple[np.ndarray, str]:
    """(H, W) uint8 grey of the image that `name` (train/0) names, and Pillow's name of its mode.

    Raises:
        Unusable: if it is no image of 8 or 16 bits, or the file is damaged.
    """
    part, _, number = name.partition("/")
    try:
        values = _array(file, f"{part}_images")[int(number)]
    except (IndexError, *DAMAGED) as error:
        raise Unusable(f"can't be read from its .npz ({first_line(error)})") from None
    if values.ndim == 3 and values.shape[-1] != 3:
        values = values[len(values) // 2]
    return as_stored(values)


@kept(3)
def _array(file: Path, name: str) -> np.ndarray:
    """An array of the archive: memory-mapped if it is not compressed, else as a whole."""
    with zipfile.ZipFile(file) as archive:
        about = archive.getinfo(f"{name}.npy")
        if about.compress_type == zipfile.ZIP_STORED:
            with file.open("rb") as raw:
                raw.seek(about.header_offset + 26)  # PKZIP's local header: the lengths of what is before the content
                start = about.header_offset + 30 + sum(struct.unpack("<HH", raw.read(4)))
                raw.seek(start)
                shape, fortran, kind = _header(raw, about.file_size)
                return np.memmap(file, kind, "r", raw.tell(), shape, "F" if fortran else "C")
        if about.file_size > LARGEST:
            raise Unusable(f"{name} has {about.file_size:,} bytes, compressed: save it by np.savez, not compressed")
        with archive.open(about) as stream:
            shape, fortran, kind = _header(stream, about.file_size)
            content = stream.read()
    return np.frombuffer(content, kind, int(np.prod(shape))).reshape(shape, order="F" if fortran else "C")


def _header(stream: IO[bytes], size: int) -> Header:
    """The header of a .npy of `size` bytes. It must fit into them, or a small file could ask for any memory."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, kind = read(stream)
    if kind.hasobject:
        raise ValueError("holds Python objects")
    count = 1
    for length in shape:
        count *= length
    if count < 1 or count * kind.itemsize > size:
        raise ValueError("is empty, or its header doesn't fit its size")
    return shape, fortran, kind
