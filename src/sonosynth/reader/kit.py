"""The kit: a page that holds the images, to be handed out, and its key, which stays in the run."""

import base64
import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd
from PIL import Image

from sonosynth import disk
from sonosynth.artefacts import CohortImages, Split, SyntheticSet
from sonosynth.cohort.split import crossing, independent
from sonosynth.errors import UserError, first_line
from sonosynth.reader import answers
from sonosynth.reader.choosing import REAL, SYNTHETIC, choose
from sonosynth.reader.scoring import SEEN, UNKNOWN, UNSEEN

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]{0,59}")
SHORTCUTS = "123456789abcdefghijklmnopqtuvwxyz"  # of classes; r and s answer "real" and "synthetic"


@dataclass(frozen=True)
class Candidates:
    """Images that may be shown. rows: the columns of `answers.KEY` but image, and unit (see `choosing.choose`), array
    and row: where the pixels are. pixels: (N, H, W) uint8 by array.
    """

    rows: pd.DataFrame
    pixels: Mapping[str, np.ndarray]

    def images(self, chosen: pd.DataFrame) -> np.ndarray:
        """The pixels (N, H, W) of some of the rows."""
        return np.stack([self.pixels[array][row] for array, row in zip(chosen["array"], chosen["row"], strict=True)])


def candidates(
    cohort: CohortImages, split: Split, sets: Sequence[SyntheticSet], shown: Collection[str], *, unknown: bool
) -> Candidates:  # fmt: skip
    """The images of a run that its readers may be shown.

    Real ones are validation images without a near-duplicate among the training images; synthetic ones are those that
    training would use, and the samples of classes that a set lacks.

    Args:
        sets: all of the run. shown: the names of those whose images may be shown. unknown: whether nobody knows what a
            generator was trained on.

    Raises:
        UserError: if images differ in size, by which readers could tell them apart.
    """
    alike = {id for pair in crossing(split.rows, cohort.twins) for id in pair}
    real = split.validation[~split.validation["id"].isin(alike)]
    together = independent(cohort.images, cohort.twins)  # the split need not keep near-duplicates together
    origins = frozenset().union(*(x.origins.all() | x.sample_origins.all() for x in sets if x.name in shown))
    seen = real["sha256"].isin(origins).map({True: SEEN, False: UNKNOWN if unknown else UNSEEN})
    parts = [
        real[["label", "id", "sha256"]].assign(
            origin=REAL,
            set="",
            unit=[together.get(name, name) for name in real["id"]],
            seen=seen,
            array="",
            row=cohort.rows(real["id"]),
        )
    ]
    pixels, roots = {"": cohort.pixels}, _roots(sets)
    for made in sets:
        if made.name not in shown:
            continue
        usable = np.flatnonzero(~made.flawed)
        sides = (("images", made.rows.iloc[usable], made.pixels, usable),
                 ("samples", made.sample_rows, made.sample_pixels, np.arange(len(made.sample_rows))))  # fmt: skip
        for role, rows, stored, places in sides:
            names = rows["file_name"]
            hashes = [made.made.files[f"{role}/{name}"] for name in names]
            units = [roots[f"{made.name}/{name}"] for name in names]
            parts.append(
                rows[["label"]].assign(
                    origin=SYNTHETIC, set=made.name, unit=units, seen="", id=names, sha256=hashes,
                    array=f"{role}/{made.name}", row=places,
                )
            )  # fmt: skip
            if len(rows):
                pixels[f"{role}/{made.name}"] = stored
    if len(sizes := {stored.shape[1:] for stored in pixels.values()}) > 1:
        raise UserError(f"reader: images of different sizes, {first_line(sorted(sizes))}", "images of one size")
    return Candidates(pd.concat(parts, ignore_index=True), pixels)


def _roots(sets: Sequence[SyntheticSet]) -> dict[str, str]:
    """What each synthetic image, by set/file_name, comes from in the end: noise, by its seed, or a real image.

    The noise of images of one number in several sets is the same (`synthesis.requests`): they resemble each other.
    """
    sources: dict[str, str] = {}
    for made in sets:
        for rows in (made.rows, made.sample_rows):
            for name, label, seed, source in rows[["file_name", "label", "seed", "source"]].itertuples(index=False):
                noise = f"{made.name}/{name}" if pd.isna(seed) else f"noise {label} {int(seed)}"
                sources[f"{made.name}/{name}"] = source or noise

    def root(name: str) -> str:
        while sources.get(name, name) != name:
            name = sources[name]
        return name

    return {name: root(name) for name in sources}


def write(found: Candidates, root: Path, out: Path, each: int | None, seed: int) -> pd.DataFrame:
    """Write the page `out`, and its key in `reader/<stem of out>/` of the run `root`; returns the key.

    Raises:
        UserError: if `out` is no new .html file outside the run; if there is a kit of that name, or too few images.
    """
    if out.suffix != ".html" or not NAME.fullmatch(out.stem):
        raise UserError(
            f"--out {first_line(out)}: is not a name for a page", "NAME.html, with letters, digits, _, - or +"
        )
    if out.resolve().is_relative_to(root.resolve()):
        raise UserError(f"--out {out}: is in the run, beside the key", "a place outside, from where it is handed out")
    folder = root / answers.FOLDER / out.stem
    disk.check_regular(root, root / answers.FOLDER)
    for path, other in ((out, ""), (folder, f" (the key of an earlier kit called {out.stem})")):
        if path.exists():
            raise UserError(f"{path}: exists{other}", "a new kit under a new name", "give another --out")
    chosen = choose(found.rows, each, seed)
    key = chosen.assign(image=range(1, len(chosen) + 1))[answers.KEY]
    try:
        disk.write_text(folder / answers.KEY_FILE, key.to_csv(index=False))
        disk.write_text(out, page(answers.kit_id(folder), found.images(chosen), sorted(key["label"].unique())))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return key


def page(kit: str, images: np.ndarray, classes: Sequence[str]) -> str:
    """The page as HTML, which loads nothing from elsewhere; it holds nothing but pixels (N, H, W) and names of classes.

    Args:
        kit: its id.
    """
    loader = jinja2.PackageLoader("sonosynth.reader", "")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, loader=loader)
    keys = dict(zip(classes, SHORTCUTS, strict=False))
    held = {"id": kit, "classes": list(classes), "images": [base64.b64encode(png(x)).decode() for x in images]}
    return environment.get_template("page.html.j2").render(
        kit=held, size=images.shape[1:], questions={
            "origin": ("Real or synthetic?", {REAL: "r", SYNTHETIC: "s"}),
            "class": ("What does it show?", {label: keys.get(label, "") for label in classes}),
            "quality": ("Quality: 1 (useless) to 5 (excellent)", {x: x for x in answers.QUALITIES}),
        },
    )  # fmt: skip


def png(pixels: np.ndarray) -> bytes:
    """A grey PNG file without metadata, and uncompressed: its length tells nothing of its content.

    Args:
        pixels: (H, W) uint8.
    """
    data = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(data, format="PNG", compress_level=0)
    return data.getvalue()
