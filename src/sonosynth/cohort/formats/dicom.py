"""A folder of class folders with DICOM files in them, at any depth; X_mask beside X is its mask. Needs pydicom.

Of a file with several frames, one is read, the middle one unless settings say another. Messages of pydicom are not
quoted: they may quote the header.
"""

import warnings
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from sonosynth.cohort.decoding import AS_STORED, EXTENSIONS, MAX_BYTES, Unusable
from sonosynth.cohort.formats import _class_folders, _dicom_grey, _dicom_people
from sonosynth.cohort.formats._dicom_people import Person
from sonosynth.cohort.formats._values import MASK, as_stored, check_size, frame_of
from sonosynth.cohort.places import Part
from sonosynth.cohort.settings import Reading
from sonosynth.cohort.sources import Listing
from sonosynth.errors import UserError, first_line, inert

SCALED = True  # `decode` takes settings
SUFFIXES = (".dcm", ".dicom", ".ima")
INSTALL = "pip install 'sonosynth[dicom]'"
DECODERS = "pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg"
DEFLATED = "1.2.840.10008.1.2.1.99"
NOT_AN_IMAGE = "is a DICOM file without an image"


def is_one(file: Path) -> bool:
    """Whether a file is DICOM by its name, or, if the name says nothing, by its first bytes."""
    suffix = file.suffix.lower()
    if suffix in SUFFIXES:
        return True
    if suffix in EXTENSIONS or suffix in (".gz", ".nii"):
        return False
    try:
        with file.open("rb") as opened:
            return opened.read(132)[128:] == b"DICM"
    except OSError:
        return False


def parts(file: Path) -> list[Part]:
    """The pictures in a DICOM file: its only or its middle frame."""
    return [Part(file, "dicom")]


def reads(path: Path) -> bool:
    """Whether this format reads what is at `path`."""
    return path.is_dir() and _class_folders.mostly(path, is_one)


def listing(root: Path) -> Listing:
    """The images in the class folders of the folder `root`, see `with_people`."""
    return with_people(_class_folders.listing(root))


def with_people(found: Listing) -> Listing:
    """The listing, with DICOM images of one patient as one group, and without DICOM files that hold no image. Personal
    data in headers is counted among what is ignored.

    Raises:
        UserError: if there are DICOM files, and pydicom is not installed.
    """
    parts = [source.file for source in found.sources if isinstance(source.file, Part)]
    files = [part.file for part in parts if part.format == "dicom"]
    if not files:
        return found
    people, without_image = about(files)
    for file in without_image:
        shown = file.relative_to(found.root) if file.is_relative_to(found.root) else file
        found.ignored[shown.as_posix()] = NOT_AN_IMAGE
    if said := _dicom_people.counted(people):
        found.ignored["personal data in DICOM headers"] = said
    return _class_folders.with_groups(found, _dicom_people.groups(people), leave_out=without_image)


def about(files: Iterable[Path]) -> tuple[dict[Path, Person], set[Path]]:
    """What the headers of files say of persons, and the files that hold no image; damaged ones are in neither.

    Raises:
        UserError: if pydicom is not installed.
    """
    try:
        import pydicom  # noqa: F401
    except ImportError:
        raise UserError("DICOM files: pydicom is not installed", fix=INSTALL) from None
    read = {file: _person(file) for file in files}
    people = {file: person for file, person in read.items() if isinstance(person, Person)}
    return people, {file for file, person in read.items() if person == NOT_AN_IMAGE}


def _person(file: Path) -> Person | str | None:
    try:
        with warnings.catch_warnings(action="ignore"):  # they quote the header
            header = _read(file, [*_dicom_people.TAGS, "Rows"])
            return _dicom_people.person_of(header) if "Rows" in header else NOT_AN_IMAGE
    except Exception:  # of any kind, if a header is damaged; decoding says what
        return None


def decode(file: Path, name: str, how: Reading = AS_STORED) -> tuple[np.ndarray, str]:
    """(H, W) uint8 grey, and what Pillow would call the mode, of a frame.

    Args:
        file: the DICOM file.
        name: the frame's number, from 1; "": the one that `how` says; `MASK`: of that, what is not 0 is white.
        how: also the values that are shown, see `_dicom_grey.grey_of`.

    Raises:
        Unusable: if it can't be read, or pydicom is not installed.
    """
    try:
        import pydicom.pixels
    except ImportError:
        raise Unusable(f"is a DICOM file: {INSTALL}") from None
    with warnings.catch_warnings(action="ignore"):
        image = _read(file)
        if "Rows" not in image:
            raise Unusable(NOT_AN_IMAGE)
        syntax = image.file_meta.get("TransferSyntaxUID")
        if syntax is None:
            raise Unusable("is a DICOM file that doesn't say how its pixels are stored (transfer syntax)")
        kind = inert(first_line(syntax.name))
        compressed = f"is a DICOM file compressed as {kind}, which no installed decoder reads: {DECODERS}"
        try:
            if not pydicom.pixels.get_decoder(syntax).is_available:
                raise Unusable(compressed)
            check_size(int(image.Rows), int(image.Columns))
            frames = int(image.get("NumberOfFrames") or 1)
            frame = frame_of(frames, how) if name in ("", MASK) else int(name) - 1
            if not 0 <= frame < frames:
                raise Unusable(f"has {frames} frames, none with the number {name}")
            stored = pydicom.pixels.pixel_array(image, index=frame)
            if name == MASK:
                return as_stored(stored.any(-1) if stored.ndim == 3 else stored != 0)
            return _dicom_grey.grey_of(stored, image, frame, how)
        except (Unusable, MemoryError):
            raise
        except NotImplementedError:
            raise Unusable(f"is a DICOM file stored as {kind}, which pydicom doesn't read") from None
        except Exception as error:
            if syntax.is_encapsulated and isinstance(error, RuntimeError):
                raise Unusable(f"{compressed}; or it is damaged") from None
            raise Unusable(
                f"can't be decoded as DICOM: its header or pixels are damaged ({type(error).__name__})"
            ) from None


def _read(file: Path, tags: list[str] | None = None) -> Any:
    """A file, or if `tags` are given these of its header.

    Raises:
        Unusable: if it can't be read.
    """
    import pydicom

    try:
        _check_bytes(file)
        return pydicom.dcmread(file, stop_before_pixels=tags is not None, specific_tags=tags)
    except (Unusable, MemoryError, OSError):
        raise
    except pydicom.errors.InvalidDicomError:
        raise Unusable("is not a DICOM file, or lacks its preamble") from None
    except Exception as error:
        raise Unusable(f"can't be read as DICOM ({type(error).__name__})") from None


def _check_bytes(file: Path) -> None:
    """Refuse what is too large, also once it is inflated: pydicom inflates without any bound."""
    import pydicom

    size = file.stat().st_size
    if size > MAX_BYTES:
        raise Unusable(f"has {size:,} bytes, more than {MAX_BYTES:,}")
    meta = pydicom.filereader.read_file_meta_info(file)
    if meta.get("TransferSyntaxUID") != DEFLATED:
        return
    inflate, inflated = zlib.decompressobj(-zlib.MAX_WBITS), 0
    rest = file.read_bytes()[
        144 + int(meta.FileMetaInformationGroupLength) :
    ]  # preamble, DICM, this element: PS3.10, 7.1
    while rest and not inflate.eof:
        inflated += len(inflate.decompress(rest, 1 << 20))
        rest = inflate.unconsumed_tail
        if inflated > MAX_BYTES:
            raise Unusable(f"inflates to more than {MAX_BYTES:,} bytes")
