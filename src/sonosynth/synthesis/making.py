"""Sets on disk: images are made in batches, unusable ones made again, and written with what they were made from."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sonosynth import disk, interruption, progress
from sonosynth.synthesis import selector as selection
from sonosynth.synthesis.provenance import Provenance
from sonosynth.synthesis.requests import Request
from sonosynth.synthesis.selector import Selector

RETRIES = 3  # further seeds for an unusable image
FLAT = 1.0  # grey levels of 255: below this standard deviation an image shows nothing
SAME = 1.0  # grey levels of 255: below this mean difference two images show the same
SIDE, PARTS = 32, 4  # pixels per side of what is compared, and parts per side whose means are compared first
ABOUT = ("seed", "attempts", "flaw")  # kept in the PNG itself, so that an interrupted set can resume
DROPPED = "dropped"  # so are, with a selector, the reasons for which earlier attempts were dropped (JSON)
CHECK = "check"  # so is a digest of all that, of the pixels and of the name
CONSTANT, REPEATS = "constant", "repeats an earlier image"
"""What makes any image unusable."""


@dataclass(frozen=True)
class Maker:
    """How the images of a set are made.

    make: turns N requests and, unless they start from noise, their starting images (N, H, W) uint8, into as
    many images (N, H, W) uint8. columns: further columns of metadata.csv, and what most rows have in them. draws:
    whether an image is drawn at random, by the seed of its request; if not, it follows from its starting image, and may
    repeat another. own: what the row of a request has in some of the columns. provenance: what the file says of a
    request's image, given the seed it was drawn with, or None.
    """

    make: Callable[[Sequence[Request], np.ndarray | None], np.ndarray]
    columns: Mapping[str, Any]
    draws: bool = True
    own: Callable[[Request], Mapping[str, Any]] = lambda _: {}
    provenance: Callable[[Request, int | None], Provenance | None] = lambda *_: None


def unchanged() -> Maker:
    """Each image is the one that it starts from."""

    def starts_of(wanted: Sequence[Request], starts: np.ndarray | None) -> np.ndarray:
        assert starts is not None
        return starts

    return Maker(starts_of, {}, draws=False)


def make_set(
    wanted: Sequence[Request], starts: np.ndarray | None, maker: Maker, folder: Path, *, name: str, batch: int,
    drawn: Mapping[int, Path] = MappingProxyType({}), selector: Selector | None = None,
) -> np.ndarray:  # fmt: skip
    """Make the images of `wanted` into `folder`, with metadata.csv; complete batches found there are kept.

    A drawn image that shows nothing, or what an earlier one of its class shows, is made again with another seed,
    `RETRIES` times at most. The column `attempts` counts them, and `flaw` says what is still wrong in the end; `seed`
    is empty for an image that was not drawn. Batches are the same after an interruption, so that even rounding is.

    With a `selector`, an image that it does not keep is made again likewise, `selection.RETRIES` times at most.

    Args:
        starts: the images (N, H, W) uint8 that they start from, None for noise. name: of the set, for messages.
        drawn: the arrays (.npy) of batches whose first attempts are made, by the number of their first image.
        selector: of a set whose images are drawn; it is told what became of each.

    Returns:
        The images (N, H, W) uint8; (0, 1, 1) without requests.

    Raises:
        KeyboardInterrupt: on SIGINT or SIGTERM, once the batch is written.
    """
    rows: list[list[Any]] = []
    images: list[np.ndarray] = []
    counts = Counter(request.label for request in wanted)
    earlier = {label: _Earlier(count) for label, count in counts.items()}
    with progress.task(f"making {name}", len(wanted)) as bar, interruption.held_back() as interrupted:
        for start in range(0, len(wanted), batch):
            place = slice(start, start + batch)
            chosen, initial = wanted[place], None if starts is None else starts[place]
            kept = [_read_made(folder / request.file_name, selected=selector is not None) for request in chosen]
            new = np.empty(0)
            if None in kept:
                new = np.load(drawn[start], allow_pickle=False) if start in drawn else maker.make(chosen, initial)
            for i, request in enumerate(chosen):
                before, own = earlier[request.label], None if initial is None else initial[i : i + 1]
                made = kept[i] if not len(new) else _with_retries(request, own, new[i], maker, before, selector)
                assert made is not None
                seed = made.seed if maker.draws else None
                _write_image(folder / request.file_name, made, maker.provenance(request, seed))
                if request.mask is not None:
                    _write_mask(folder / request.mask_file, request.mask)
                before.add(made.image)
                if selector:
                    selector.add(request, made.image, [*(made.dropped or ()), made.flaw])
                images.append(made.image)
                shown = "" if seed is None else seed
                rows.append([request.file_name, request.label, request.prompt, shown, request.source])
                rows[-1] += [made.attempts, made.flaw, *{**maker.columns, **maker.own(request)}.values()]
            bar.advance(len(chosen))
            if interrupted():
                break
    expected = {folder / request.file_name for request in wanted}
    expected |= {folder / request.mask_file for request in wanted if request.mask is not None}
    for path in folder.rglob("*"):  # of a process that was stopped, or of somebody else
        if path.is_file() and path not in expected:
            path.unlink()
    names = ["file_name", "label", "prompt", "seed", "source", "attempts", "flaw", *maker.columns]
    table = pd.DataFrame(rows, columns=names)
    disk.write_text(folder / "metadata.csv", table.to_csv(index=False))
    again, flawed = int((table["attempts"] > 1).sum()), int((table["flaw"] != "").sum())
    if again or flawed:
        why = "by selection" if selector else "since they showed nothing new"
        progress.say(
            f"{name}: {again} images made again, {why}; {flawed} remain unusable and are excluded from training"
        )
    return np.stack(images) if images else np.empty((0, 1, 1), np.uint8)


class _Earlier:
    """The images of a class made so far, `most` at most, reduced, so that thousands are fast and small."""

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
    """An image (H, W) uint8, the seed it came from, how many seeds were tried, and what is wrong with it, or "".

    dropped: what was wrong with the earlier attempts; None without a selector.
    """

    image: np.ndarray
    seed: int
    attempts: int
    flaw: str
    dropped: tuple[str, ...] | None = None


def _with_retries(
    request: Request, start: np.ndarray | None, image: np.ndarray, maker: Maker, earlier: _Earlier,
    selector: Selector | None,
) -> _Made:  # fmt: skip
    if not maker.draws:
        return _Made(image, request.seed, 1, _flaw(image, request, None, None))
    made = _Made(image, request.seed, 1, _flaw(image, request, earlier, selector))
    dropped: list[str] = []
    while made.flaw and made.attempts <= (selection.RETRIES if selector else RETRIES):
        dropped.append(made.flaw)
        attempt = made.attempts + 1
        image = maker.make([replace(request, seed=request.seed_of(attempt))], start)[0]
        made = _Made(image, request.seed_of(attempt), attempt, _flaw(image, request, earlier, selector))
    return replace(made, dropped=tuple(dropped)) if selector else made


def _flaw(image: np.ndarray, request: Request, earlier: _Earlier | None, selector: Selector | None) -> str:
    """What makes an image (H, W) uint8 unusable, or "": no contrast, or the contents of one of the `earlier` ones."""
    if image.std() < FLAT:
        return CONSTANT
    if earlier and earlier.shows(image):
        return REPEATS
    return selector.flaw(image, request) if selector else ""


def _write_image(path: Path, made: _Made, provenance: Provenance | None) -> None:
    about = PngInfo()
    for name in ABOUT:
        about.add_text(name, str(getattr(made, name)))
    if made.dropped is not None:
        about.add_text(DROPPED, json.dumps(made.dropped))
    about.add_text(CHECK, _digest(path, made))
    if provenance:
        provenance.add_to(about)
    data = BytesIO()
    Image.fromarray(made.image).save(data, format="PNG", pnginfo=about)
    disk.write_bytes(path, data.getvalue())


def _write_mask(path: Path, mask: np.ndarray) -> None:
    data = BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(data, format="PNG")
    disk.write_bytes(path, data.getvalue())


def _read_made(path: Path, *, selected: bool) -> _Made | None:
    """The image that an interrupted process wrote to `path`, None if there is none or it is not what was written."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            seed, attempts, flaw = (image.info[name] for name in ABOUT)
            dropped = tuple(json.loads(image.info[DROPPED])) if selected else None
            made = _Made(np.asarray(image), int(seed), int(attempts), flaw, dropped)
            return made if image.info[CHECK] == _digest(path, made) else None
    except (OSError, SyntaxError, KeyError, ValueError):
        return None


def _digest(path: Path, made: _Made) -> str:
    about = (path.parent.name, path.name, made.image.shape, *(getattr(made, name) for name in ABOUT))
    about += () if made.dropped is None else (made.dropped,)
    return hashlib.sha256(repr(about).encode() + made.image.tobytes()).hexdigest()
