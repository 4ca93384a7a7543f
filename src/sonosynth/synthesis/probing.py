"""The jobs that judge adapters on real images that they have not seen, and choose their steps and guidance by that."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sonosynth import disk, extensions, firewall, progress
from sonosynth.adapters.settings import Lora
from sonosynth.artefacts import Adapter, Artefact, CohortImages, Description, Split, group_names
from sonosynth.bases import sd1
from sonosynth.fidelity.comparison import Images
from sonosynth.fidelity.distances import kernel_distance, kernel_error
from sonosynth.fidelity.jobs import ALL, FEATURES, Measuring
from sonosynth.synthesis import requests
from sonosynth.synthesis.requests import Request
from sonosynth.synthesis.sampling import Sampler
from sonosynth.synthesis.settings import Synthesis

VERSION = 1
SHARES = (0.25, 0.5, 1.0)  # of `lora.steps`
GUIDANCES = (1.0, 1.5, 2.5)
EACH = 16  # images of a class
KERNEL = "kernel"
"""The metric that decides: it has no bias at small counts."""


def steps_of(lora: Lora) -> list[int]:
    """The numbers of steps after which a LoRA is probed."""
    return sorted({max(1, round(share * lora.steps)) for share in SHARES})


@dataclass(frozen=True)
class Probing:
    """How an adapter is probed.

    name: the adapter's. steps: those it took. guidances: what its images are sampled at, instead of the guidance of
    `synthesis`. prompts: each label's, with the learned token. measures: what images are described by. seed: of the
    images. draw, split: as in predictions.csv.
    """

    name: str
    steps: int
    guidances: tuple[float, ...]
    synthesis: Synthesis
    prompts: dict[str, str]
    base: sd1.Base
    precision: str
    resolution: int
    measures: tuple[Measuring, ...]
    seed: int
    draw: int
    split: int


def probe(
    settings: Probing, *, cohort: CohortImages, split: Split, block: Split, adapter: Adapter,
    real: tuple[Description, ...], work: Path,
) -> None:  # fmt: skip
    """Make a few images of each class and measure how far they are from the inner side of `split`: makes table.

    Its columns are adapter, draw, split, steps, guidance, features, class, metric, value and error. Of a feature
    network there is the kernel distance with its standard error, for each class and, as their mean, for all.

    Args:
        split: that of `cohort.held_back`. block: the one that it was made from. real: the images of the cohort,
            described by each of the measures.

    Raises:
        UserError: if the adapter was trained on an inner image, or an image that `block` scores has any part in this.
    """
    inner = split.inner
    rows = cohort.rows(inner["id"])
    firewall.check(adapter.origins, split.scored | block.scored, f"the trial adapter {adapter.folder}")
    firewall.check(cohort.origins(rows).all(), block.scored, "the images that trial adapters are compared with")
    wanted = requests.from_noise(dict.fromkeys(split.classes, EACH), settings.prompts, settings.seed)
    labels, files = (np.array([getattr(request, name) for request in wanted]) for name in ("label", "file_name"))
    groups = group_names(inner).to_numpy(str)
    found: list[dict[str, Any]] = []
    for guidance in settings.guidances:
        pixels = _sampled(settings, guidance, wanted, adapter.folder)
        for one, described in zip(settings.measures, real, strict=True):
            module = extensions.find("measures", one.measure)
            values = {name: x[rows] for name, x in described.values.items()}
            held_back = Images(values, inner["label"].to_numpy(str), groups)
            made = Images(module.describe(pixels, one), labels, files)
            about = {"guidance": guidance, "features": module.space(one)}
            found += [about | row for row in _distances(one, held_back, made, split.classes)]
    shared = {"adapter": settings.name, "draw": settings.draw, "split": settings.split, "steps": settings.steps}
    names = [*shared, "guidance", "features", "class", "metric", "value", "error"]
    disk.write_text(work / "table", pd.DataFrame([shared | row for row in found], columns=names).to_csv(index=False))


def _sampled(settings: Probing, guidance: float, wanted: Sequence[Request], folder: Path) -> np.ndarray:
    """Images (N, H, W) uint8 by an adapter, one for each request."""
    chosen = settings.synthesis.model_copy(update={"guidance": guidance})
    sampler = Sampler(settings.base, folder, settings.precision, settings.resolution, chosen)
    parts = []
    with progress.task(f"probing {settings.name} at guidance {guidance}", len(wanted)) as bar:
        for start in range(0, len(wanted), chosen.batch):
            part = wanted[start : start + chosen.batch]
            parts.append(sampler.generate([r.prompt for r in part], [r.seed for r in part]))
            bar.advance(len(part))
    return np.concatenate(parts)


def _distances(measuring: Measuring, real: Images, made: Images, classes: Sequence[str]) -> list[dict[str, Any]]:
    """class, metric, value and, of the kernel distance, error; the kernel distance for all classes, too."""
    sides = {label: (real.choose(real.labels == label), made.choose(made.labels == label)) for label in classes}
    if measuring.measure != FEATURES:
        compare = extensions.find("measures", measuring.measure).compare
        return [
            {"class": label, "metric": metric, "value": value}
            for label, (a, b) in sides.items() for metric, value in compare(a.values, b.values).items()
        ]  # fmt: skip
    values = [kernel_distance(a.values[FEATURES], b.values[FEATURES]) for a, b in sides.values()]
    errors = [kernel_error(a.values[FEATURES], b.values[FEATURES], a.groups) for a, b in sides.values()]
    rows: list[dict[str, Any]] = [
        {"class": label, "metric": KERNEL, "value": value, "error": error}
        for label, value, error in zip(sides, values, errors, strict=True)
    ]
    whole = {"value": np.mean(values), "error": np.linalg.norm(errors) / len(errors)}
    return [{"class": ALL, "metric": KERNEL} | whole, *rows]


def choose(_: None, *, probes: tuple[Artefact, ...], work: Path) -> None:
    """Choose the steps and the guidance of an adapter from its probes: makes table and about (JSON: steps, guidance).

    Chosen are the fewest steps, and for those the lowest guidance, whose kernel distance (mean over classes) is at most
    one standard error above the smallest (Breiman et al. 1984, section 3.4.3); that error is of images, not of
    trainings. The table has the rows of all probes, and the column chosen.
    """
    table = pd.concat([made.table("table", "adapter", "features", "class", "metric") for made in probes])
    deciding = table[(table["metric"] == KERNEL) & (table["class"] == ALL)].sort_values(["steps", "guidance"])
    best = deciding.iloc[deciding["value"].to_numpy().argmin()]
    chosen = deciding[deciding["value"] <= best["value"] + best["error"]].iloc[0]
    steps, guidance = int(chosen["steps"]), float(chosen["guidance"])
    table = table.assign(chosen=(table["steps"] == steps) & (table["guidance"] == guidance))
    disk.write_text(work / "table", table.to_csv(index=False))
    disk.write_json(work / "about", {"steps": steps, "guidance": guidance})
    progress.say(
        f"adapter {chosen['adapter']}: {steps} steps, guidance {guidance:g}, at a kernel distance of"
        f" {chosen['value']:.3g} (smallest: {best['value']:.3g}, error {best['error']:.2g})"
    )
