"""The balance plan, and the synthetic sets made after it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sonosynth import interruption, progress, seeding, store
from sonosynth.errors import UserError
from sonosynth.parallel import in_threads

RETRIES = 3  # further seeds for an image that is useless
FLAT = 1.0  # grey levels of 255: a smaller standard deviation is no picture
SAME = 1.0  # grey levels of 255: a smaller mean difference is no other picture
SIDE, PARTS = 32, 4  # pixels of what is compared for that, and its parts a side whose means are compared first
ABOUT = ("seed", "attempts", "flaw")  # in the PNG itself, so that an interrupted set knows them


@dataclass(frozen=True)
class Request:
    """One image to make. `source` is the image that a refined one starts from, as set/file_name, or ""."""

    label: str
    file_name: str
    prompt: str
    seed: int
    source: str = ""


def plan(train_labels: Sequence[str], target: int | str) -> dict[str, int]:
    """How many synthetic images each class needs to reach `target` training images, or the largest class's count.

    Classes that have as many or more get none; none are taken away.
    """
    counts = Counter(train_labels)
    goal = max(counts.values()) if target == "largest" else int(target)
    return {label: max(0, goal - count) for label, count in sorted(counts.items())}


def requests(needed: Mapping[str, int], prompts: Mapping[str, str], seed: int) -> list[Request]:
    """The text-to-image requests of a plan. The n-th image of a class has the same seed in every model's set."""
    return [
        Request(label, f"{label}/{n:05d}.png", prompts[label], seeding.derive(seed, "text-to-image", label, n))
        for label, count in needed.items()
        for n in range(count)
    ]


def refinements(wanted: Sequence[Request], source_set: str, seed: int) -> list[Request]:
    """The image-to-image requests that refine the images of `source_set`, one by one.

    Their seeds are new: noise that made the image would not be independent of it.
    """
    return [
        replace(r, seed=seeding.derive(seed, "image-to-image", r.file_name), source=f"{source_set}/{r.file_name}")
        for r in wanted
    ]


def make_set(
    wanted: Sequence[Request],
    make: Callable[[Sequence[Request]], np.ndarray],
    folder: Path,
    *,
    batch: int,
    columns: Mapping[str, Any],
) -> None:
    """Make the images of `wanted` into `folder`, with metadata.csv; whole batches that are there are kept.

    An image that shows nothing, or what an earlier one of its class shows, is made again with another seed, `RETRIES`
    times at most. The column `attempts` counts, and `flaw` says what is still wrong then. Batches are the same ones
    after an interruption, so that even rounding is.

    Args:
        make: requests to images (N, H, W) uint8.
        columns: further columns of metadata.csv, the same in every row.

    Raises:
        KeyboardInterrupt: on SIGINT or SIGTERM, once the batch is written.
    """
    rows: list[list[Any]] = []
    counts = Counter(request.label for request in wanted)
    earlier = {label: _Earlier(count) for label, count in counts.items()}
    with progress.task(f"making {folder.name}", len(wanted)) as bar, interruption.held_back() as interrupted:
        for start in range(0, len(wanted), batch):
            chosen = wanted[start : start + batch]
            kept = [_read_made(folder / request.file_name) for request in chosen]
            images = np.empty(0) if None not in kept else make(chosen)
            for i, request in enumerate(chosen):
                before = earlier[request.label]
                made = kept[i] if not len(images) else _with_retries(request, images[i], make, before)
                assert made is not None
                if len(images):
                    _write_image(folder / request.file_name, made)
                before.add(made.image)
                rows.append([request.file_name, request.label, request.prompt, made.seed, request.source])
                rows[-1] += [made.attempts, made.flaw, *columns.values()]
            bar.advance(len(chosen))
            if interrupted():
                break
    names = ["file_name", "label", "prompt", "seed", "source", "attempts", "flaw", *columns]
    table = pd.DataFrame(rows, columns=names)
    store.write_text(folder / "metadata.csv", table.to_csv(index=False))
    if (table["attempts"] > 1).any():
        again, flawed = int((table["attempts"] > 1).sum()), int((table["flaw"] != "").sum())
        progress.say(f"{folder.name}: {again} images made again, since they showed nothing new; {flawed} stay useless")


class _Earlier:
    """The images of a class that were made so far, `most` at most, reduced: thousands stay quick and small."""

    def __init__(self, most: int) -> None:
        self.images = np.empty((most, SIDE, SIDE), np.float32)
        self.means = np.empty((most, PARTS, PARTS), np.float32)
        self.count = 0

    def add(self, image: np.ndarray) -> None:
        """Keep an image (H, W) uint8."""
        self.images[self.count], self.means[self.count] = self._reduced(image)
        self.count += 1

    def shows(self, image: np.ndarray) -> bool:
        """Whether one of them shows what the image (H, W) uint8 does."""
        small, means = self._reduced(image)
        # The means of parts differ by no more than their pixels: few images are compared pixel by pixel.
        near = np.abs(self.means[: self.count] - means).mean(axis=(1, 2)) < SAME
        alike = np.abs(self.images[: self.count][near] - small).mean(axis=(1, 2)) < SAME
        return bool(alike.any())

    @staticmethod
    def _reduced(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        small = np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BOX), np.float32)
        part = SIDE // PARTS
        return small, small.reshape(PARTS, part, PARTS, part).mean(axis=(1, 3))


@dataclass(frozen=True)
class _Made:
    """An image (H, W) uint8, the seed it came from, how many seeds were tried, and what is wrong with it, or ""."""

    image: np.ndarray
    seed: int
    attempts: int
    flaw: str


def _with_retries(
    request: Request, image: np.ndarray, make: Callable[[Sequence[Request]], np.ndarray], earlier: _Earlier
) -> _Made:
    made = _Made(image, request.seed, 1, _flaw(image, earlier))
    while made.flaw and made.attempts <= RETRIES:
        seed = seeding.derive(request.seed, "again", made.attempts)
        image = make([replace(request, seed=seed)])[0]
        made = _Made(image, seed, made.attempts + 1, _flaw(image, earlier))
    return made


def _flaw(image: np.ndarray, earlier: _Earlier) -> str:
    """What makes an image (H, W) uint8 useless, or "": no contrast, or the contents of an earlier one."""
    if image.std() < FLAT:
        return "constant"
    return "repeats an earlier image" if earlier.shows(image) else ""


def _write_image(path: Path, made: _Made) -> None:
    about = PngInfo()
    for name in ABOUT:
        about.add_text(name, str(getattr(made, name)))
    data = BytesIO()
    Image.fromarray(made.image).save(data, format="PNG", pnginfo=about)
    store.write_bytes(path, data.getvalue())


def _read_made(path: Path) -> _Made | None:
    """The image that an interrupted process wrote to `path`, None if there is none or it is not whole."""
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image)
            seed, attempts, flaw = (image.info[name] for name in ABOUT)
        return _Made(pixels, int(seed), int(attempts), flaw)
    except (OSError, SyntaxError, KeyError, ValueError):
        return None


def load_rows(folder: Path) -> pd.DataFrame:
    """metadata.csv of a set."""
    return pd.read_csv(folder / "metadata.csv", keep_default_na=False, dtype={"label": str, "file_name": str})


def load_set(folder: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """metadata.csv of a set (rows) and its images (N, H, W) uint8, in the order of the rows."""
    rows = load_rows(folder)
    return rows, load_images(folder, list(rows["file_name"]))


def load_images(folder: Path, names: Sequence[str]) -> np.ndarray:
    """The images (N, H, W) uint8 of the files `names` in `folder`.

    Raises:
        UserError: if one of them is gone, broken, or not of the first one's kind and size.
    """
    images: list[np.ndarray] = []
    inside = folder.resolve()
    for name, image in zip(names, in_threads(partial(_read_inside, folder, inside), names), strict=True):
        images.append(image)
        if image.ndim != 2 or image.shape != images[0].shape:
            raise UserError(f"{folder / name}: is {image.shape}", f"{images[0].shape[:2]}, as the set's first")
    return np.stack(images) if images else np.empty((0, 1, 1), np.uint8)


def _read_inside(folder: Path, inside: Path, name: str) -> np.ndarray:
    if not (folder / name).resolve().is_relative_to(inside):
        raise UserError(f"{folder / name}: lies outside of the set", "files in the set's own folder")
    try:
        with Image.open(folder / name) as image:
            return np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{folder / name}: can't be read ({error})", fix=f"remove {folder} and run again") from None
