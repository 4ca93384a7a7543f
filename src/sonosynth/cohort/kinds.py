"""What a file is, by its first bytes, whatever it is called: for messages."""

from pathlib import Path

HEAD = 600  # bytes
DICOM = "a DICOM file: pip install 'sonosynth[dicom]', and name it .dcm"
NIFTI = "a NIfTI file: pip install 'sonosynth[nifti]', and name it .nii"
SIGNATURES = (
    (128, b"DICM", DICOM),
    (344, b"n+1\0", NIFTI),
    (344, b"ni1\0", NIFTI),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file itself: git lfs pull"),
    (0, b"%PDF", "a PDF"),
    (0, b"%!PS", "a PostScript file"),
    (0, b"MATLAB 5.0", "a MATLAB file"),
    (0, b"\x89HDF", "an HDF5 file, as MATLAB and Keras write them"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"PK\x03\x04", "a zip archive, or a file of Office"),
    (0, b"\xd0\xcf\x11\xe0", "an old file of Office (.xls, .doc): save it as .xlsx"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"7z\xbc\xaf", "a 7-Zip archive"),
    (0, b"\x1f\x8b", "a gzip archive, perhaps NIfTI: then name it .nii.gz"),
    (257, b"ustar", "a tar archive"),
    (0, b"NRRD", "an NRRD volume"),
    (0, b"ObjectType", "a MetaImage header"),
    (4, b"ftypheic", "a HEIC photo"),
    (4, b"ftypavif", "an AVIF image"),
    (4, b"ftyp", "a video"),
    (0, b"\x1a\x45\xdf\xa3", "a video"),
    (8, b"AVI ", "a video"),
    (0, b"\0\0\x01\xba", "a video"),
    (0, b"\0\0\0\x0cjP", "a JPEG 2000 image"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (0, b"PAR1", "a parquet table"),
    (0, b"SQLite format 3", "an SQLite database"),
    (0, b"\x80\x04\x95", "a Python pickle"),
)
"""Where a signature stands, what it is, and the kind of file."""
BEGINNINGS = (
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<?xml", "an XML file"),
    (b"<svg", "an SVG drawing"),
)


def kind_of(file: Path) -> str:
    """What the file is, with its article, and what to do about it; "" if that is not known."""
    try:
        with file.open("rb") as opened:
            return kind_of_bytes(opened.read(HEAD))
    except OSError:
        return ""


def kind_of_bytes(head: bytes) -> str:
    """As `kind_of`, by the first bytes."""
    for place, signature, kind in SIGNATURES:
        if head[place : place + len(signature)] == signature:
            return kind
    start = head.lstrip().lower()
    for beginning, kind in BEGINNINGS:
        if start.startswith(beginning):
            return kind
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # a character may be cut off at the end
            return ""
        text = head[: error.start].decode("utf-8")
    return "a text file" if text and not any(c < " " and c not in "\t\r\n\f" for c in text) else ""
