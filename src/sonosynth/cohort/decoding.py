"""Image files of any kind to 8-bit grey."""

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from sonosynth import extensions
from sonosynth.cohort.kinds import HEAD, kind_of, kind_of_bytes
from sonosynth.cohort.places import Part, Place
from sonosynth.cohort.settings import Reading
from sonosynth.errors import first_line

EXTENSIONS = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif"}
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF")
"""The formats that Pillow may open: others run programs (PostScript) or read further files."""
MAX_PIXELS = 100_000_000
MAX_BYTES = 500_000_000
LARGE = 10_000_000  # pixels; larger images are decoded one at a time, or memory would grow with the number of cores
BITS, PHOTOMETRIC = 258, 262  # tags of TIFF
ROWS = 256  # that are converted at a time
SPREAD = 32  # grey levels between the channels of a pixel that is coloured: JPEG tints grey by less
ONE_LARGE = threading.Lock()
AS_STORED = Reading()


class Unusable(Exception):
    """A file that can't be used as a grey image; the message says why."""


class Picture(NamedTuple):
    """grey: (H, W) uint8, upright. mode: the name of what is stored: Pillow's, if Pillow reads it. colour: the share of
    pixels (every second one, both ways) whose channels differ by `SPREAD` or more, which is lost.
    """

    grey: np.ndarray
    mode: str
    colour: float = 0.0


def read_grey(place: Place) -> np.ndarray:
    """(H, W) uint8 grey of a picture, upright; see `decode`."""
    return decode(place).grey


def decode(place: Place, how: Reading = AS_STORED) -> Picture:
    """A picture; a format that has no colour to measure may leave that out.

    Raises:
        Unusable, MemoryError: see `decode_file`; Unusable also if something is asked for that its format can't do.
    """
    if how.given and not scaled(place):
        asked = " or ".join(f"reading.{name}" for name in how.given)
        raise Unusable(f"has one picture of 8 or 16 bits, and no scale: {asked} is for DICOM and NIfTI")
    if isinstance(place, Part):
        module, given = extensions.find("formats", place.format), (how,) * bool(how.given)
        return Picture(*module.decode(place.file, place.name, *given))
    return decode_file(place)


def scaled(place: Place) -> bool:
    """Whether a picture is of a format that can do what `settings.Reading` asks for."""
    return isinstance(place, Part) and getattr(extensions.find("formats", place.format), "SCALED", False)


def decode_file(file: Path) -> Picture:
    """The picture in an image file.

    Colour is weighted as ITU-R 601 luma; transparency is set on black, the background of ultrasound images;
    16-bit files are scaled from their full range; the EXIF orientation is applied.

    Raises:
        Unusable: if the file is not an image, is damaged, is animated or is too large.
        MemoryError: if memory runs out, which must not make an image unusable.
    """
    return _decode(file)


def decode_bytes(content: bytes) -> Picture:
    """As `decode_file`, of the content of a file."""
    return _decode(io.BytesIO(content))


def _decode(file: Path | io.BytesIO) -> Picture:
    with opened(file) as image:
        if image.width * image.height > LARGE:
            with ONE_LARGE:
                return _picture(image)
        return _picture(image)


@contextmanager
def opened(file: Path | io.BytesIO) -> Iterator[Image.Image]:
    """An image file as Pillow opens it; whatever goes wrong with it is `Unusable`, also while it is used.

    Raises:
        Unusable, MemoryError: as `decode_file`.
    """
    try:
        size = file.stat().st_size if isinstance(file, Path) else file.getbuffer().nbytes
        if size > MAX_BYTES:
            raise Unusable(f"has {size:,} bytes, more than {MAX_BYTES:,}")
        with warnings.catch_warnings(action="ignore"), Image.open(file, formats=FORMATS) as image:
            _check_tiff(image)
            if image.width * image.height > MAX_PIXELS:
                raise Unusable(f"is {image.width} x {image.height} pixels, more than {MAX_PIXELS:,} in all")
            frames = getattr(image, "n_frames", 1)
            if frames > 1:
                raise Unusable(f"has {frames} frames; one image is expected")
            yield image
    except (Unusable, MemoryError):
        raise
    except UnidentifiedImageError:
        kind = kind_of(file) if isinstance(file, Path) else kind_of_bytes(file.getvalue()[:HEAD])
        what = "is empty" if not size else "is not a PNG, JPEG, BMP, TIFF, WebP or GIF image"
        raise Unusable(f"{what}, but {kind}" if kind else what) from None
    except Exception as error:  # on broken files, Pillow's decoders raise errors of any kind
        if "out of memory" in str(error):  # as some decoders report it
            raise MemoryError from None
        raise Unusable(f"can't be decoded ({first_line(error)})") from None


def _check_tiff(image: Image.Image) -> None:
    """Pillow reads 12 bits as if they were 16, and 16 bits with white as zero inverted."""
    if image.format == "TIFF" and image.mode.startswith("I"):
        tags = image.tag_v2  # type: ignore[attr-defined]
        bits, photometric = max(tags.get(BITS, (1,))), tags.get(PHOTOMETRIC, 1)
        if bits not in (16, 32) or photometric != 1:
            raise Unusable(f"is a TIFF of {bits} bits with photometric interpretation {photometric}, not 16 and 1")


def _picture(image: Image.Image) -> Picture:
    """Convert `ROWS` rows at a time: a small file can hold a hundred million pixels, in wide values."""
    mode = image.mode
    ImageOps.exif_transpose(image, in_place=True)
    grey = np.empty((image.height, image.width), np.uint8)
    coloured = looked_at = 0
    for top in range(0, image.height, ROWS):
        part = _levels(image.crop((0, top, image.width, min(top + ROWS, image.height))))
        grey[top : top + ROWS] = np.asarray(part.convert("L"))
        if part.mode == "RGB":
            some = np.asarray(part)[::2, ::2]
            coloured += int((some.max(axis=2) - some.min(axis=2) >= SPREAD).sum())
            looked_at += some.shape[0] * some.shape[1]
    return Picture(grey, mode, coloured / max(looked_at, 1))


def _levels(image: Image.Image) -> Image.Image:
    """An image with one or three channels of 8 bits or fewer."""
    if image.mode.startswith("I"):  # 16-bit, or 32-bit that holds 16-bit values
        values = np.asarray(image).astype(np.int64)
        if values.size and (values.min() < 0 or values.max() > 65535):
            raise Unusable("has values outside 0 to 65535")
        return Image.fromarray(np.round(values / 257).astype(np.uint8))
    if image.mode == "F":
        raise Unusable("has floating-point values of unknown range")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(ground, image).convert("RGB")
    return image if image.mode in ("L", "1", "RGB") else image.convert("RGB")


def to_square(image: np.ndarray, side: int) -> np.ndarray:
    """(side, side) uint8: the whole image, resized with antialiasing (the paper resizes, it does not crop)."""
    if image.shape == (side, side):
        return image
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


def resize(images: np.ndarray, side: int) -> np.ndarray:
    """(N, side, side) uint8 of square images (N, H, H)."""
    return (
        np.stack([to_square(image, side) for image in images]) if len(images) else np.empty((0, side, side), np.uint8)
    )
