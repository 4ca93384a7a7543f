"""The balance plan, and the synthetic sets made after it."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from sonosynth import progress, seeding, store
from sonosynth.errors import UserError


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
    """Make the images of `wanted` into `folder`, with metadata.csv; images that are there already are kept.

    Args:
        make: requests to images (N, H, W) uint8.
        columns: further columns of metadata.csv, the same in every row.
    """
    missing = [r for r in wanted if not (folder / r.file_name).exists()]
    with progress.task(f"making {folder.name}", len(wanted), len(wanted) - len(missing)) as bar:
        for start in range(0, len(missing), batch):
            chosen = missing[start : start + batch]
            for request, image in zip(chosen, make(chosen), strict=True):
                _write_image(folder / request.file_name, image)
            bar.advance(len(chosen))
    names = ["file_name", "label", "prompt", "seed", "source"]
    rows = [[getattr(r, name) for name in names] + list(columns.values()) for r in wanted]
    table = pd.DataFrame(rows, columns=[*names, *columns])
    store.write_text(folder / "metadata.csv", table.to_csv(index=False))


def _write_image(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    Image.fromarray(image).save(partial, format="PNG")
    partial.replace(path)


def load_rows(folder: Path) -> pd.DataFrame:
    """metadata.csv of a set."""
    return pd.read_csv(folder / "metadata.csv", keep_default_na=False, dtype={"label": str, "file_name": str})


def load_set(folder: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """metadata.csv of a set (rows) and its images (N, H, W) uint8, in the order of the rows."""
    rows = load_rows(folder)
    return rows, load_images(folder, rows["file_name"])


def load_images(folder: Path, names: Iterable[str]) -> np.ndarray:
    """The images (N, H, W) uint8 of the files `names` in `folder`.

    Raises:
        UserError: if one of them is gone, broken, or not of the first one's kind and size.
    """
    images: list[np.ndarray] = []
    for name in names:
        try:
            images.append(np.asarray(Image.open(folder / name)))
        except OSError as error:
            raise UserError(f"{folder / name}: can't be read ({error})", fix=f"remove {folder} and run again") from None
        if images[-1].ndim != 2 or images[-1].shape != images[0].shape:
            raise UserError(f"{folder / name}: is {images[-1].shape}", f"{images[0].shape[:2]}, as the set's first")
    return np.stack(images) if images else np.empty((0, 1, 1), np.uint8)
