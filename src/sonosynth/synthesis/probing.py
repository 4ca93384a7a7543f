"""The jobs that judge adapters on real images that they have not seen, and choose their steps and guidance by that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd

from sonosynth import disk, extensions, firewall, progress
from sonosynth.adapters.settings import Lora
from sonosynth.artefacts import Adapter, Artefact, CohortImages, Description, Split, group_names
from sonosynth.bases import sd1
from sonosynth.fidelity.comparison import Images
from sonosynth.fidelity.distances import kernel_distance, kernel_influences
from sonosynth.fidelity.jobs import ALL, FEATURES, Measuring
from sonosynth.section import NO_EFFECT
from sonosynth.synthesis import requests
from sonosynth.synthesis.described import described
from sonosynth.synthesis.requests import Request
from sonosynth.synthesis.sampling import Sampler
from sonosynth.synthesis.settings import Synthesis

VERSION = 2
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
    images. draw, split: as in predictions.csv. tokens: the learned token at the end of each prompt.
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
    tokens: Annotated[Mapping[str, str | None], NO_EFFECT] = field(default_factory=dict)


def probe(
    settings: Probing, *, cohort: CohortImages, split: Split, block: Split, adapter: Adapter,
    real: tuple[Description, ...], work: Path,
) -> None:  # fmt: skip
    """Make a few images of each class and measure how far they are from the inner side of `split`.

    Makes table, with the columns adapter, draw, split, steps, guidance, features, class, metric and value: of a feature
    network there is the kernel distance, for each class and, as their mean, for all. And influences (.npy), a row for
    each guidance: those on the latter (see `kernel_influences`).

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
    wanted = described(
        requests.from_noise(dict.fromkeys(split.classes, EACH), settings.prompts, settings.seed), split.train,
        settings.seed, settings.tokens, {},
    )  # fmt: skip
    labels, files = (np.array([getattr(request, name) for request in wanted]) for name in ("label", "file_name"))
    groups = group_names(inner).to_numpy(str)
    found: list[dict[str, Any]] = []
    influences: list[np.ndarray] = []
    for guidance in settings.guidances:
        pixels = _sampled(settings, guidance, wanted, adapter.folder)
        for one, of_real in zip(settings.measures, real, strict=True):
            module = extensions.find("measures", one.measure)
            values = {name: x[rows] for name, x in of_real.values.items()}
            held_back = Images(values, inner["label"].to_numpy(str), groups)
            made = Images(module.describe(pixels, one), labels, files)
            about = {"guidance": guidance, "features": module.space(one)}
            sides = {
                label: (held_back.choose(held_back.labels == label), made.choose(made.labels == label))
                for label in split.classes
            }
            found += [about | row for row in _distances(one, sides)]
            if one.measure == FEATURES:
                influences.append(_influences(sides))
    shared = {"adapter": settings.name, "draw": settings.draw, "split": settings.split, "steps": settings.steps}
    names = [*shared, "guidance", "features", "class", "metric", "value"]
    disk.write_text(work / "table", pd.DataFrame([shared | row for row in found], columns=names).to_csv(index=False))
    disk.write_array(work / "influences", np.stack(influences))


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


_Sides = Mapping[str, tuple[Images, Images]]
"""The real and the synthetic images of each class."""


def _distances(measuring: Measuring, sides: _Sides) -> list[dict[str, Any]]:
    """class, metric and value; the kernel distance for all classes, too."""
    if measuring.measure != FEATURES:
        compare = extensions.find("measures", measuring.measure).compare
        return [
            {"class": label, "metric": metric, "value": value}
            for label, (a, b) in sides.items() for metric, value in compare(a.values, b.values).items()
        ]  # fmt: skip
    values = {label: kernel_distance(a.values[FEATURES], b.values[FEATURES]) for label, (a, b) in sides.items()}
    every = {ALL: float(np.mean([*values.values()]))} | values
    return [{"class": label, "metric": KERNEL, "value": value} for label, value in every.items()]


def _influences(sides: _Sides) -> np.ndarray:
    """Those of groups of real images, and of synthetic ones, on the kernel distance, mean over classes."""
    pairs = [kernel_influences(a.values[FEATURES], b.values[FEATURES]) for a, b in sides.values()]
    of_real, of_made = (np.concatenate(parts) / len(pairs) for parts in zip(*pairs, strict=True))
    groups = np.concatenate([a.groups for a, _ in sides.values()])
    return np.concatenate([np.bincount(np.unique(groups, return_inverse=True)[1], of_real), of_made])


def choose(_: None, *, probes: tuple[Artefact, ...], work: Path) -> None:
    """Choose the steps and the guidance of an adapter from its probes: makes table and about (JSON: steps, guidance).

    Chosen are the fewest steps, and for those the lowest guidance, whose kernel distance (mean over classes) is at most
    one standard error above the smallest (Breiman et al. 1984, section 3.4.3): that of the difference, since all are
    compared with the same images, from the same noise. It is an error of images, not of trainings. The table has the
    rows of all probes, and the columns error (of that difference, where it decides) and chosen.
    """
    parts = [made.table("table", "adapter", "features", "class", "metric") for made in probes]
    deciding = pd.concat([part[(part["metric"] == KERNEL) & (part["class"] == ALL)] for part in parts])
    influences = np.concatenate([made.array("influences") for made in probes])
    smallest = int(deciding["value"].to_numpy().argmin())
    errors = np.linalg.norm(influences - influences[smallest], axis=1)
    best = deciding["value"].iloc[smallest]
    deciding = deciding.assign(error=errors).sort_values(["steps", "guidance"])
    chosen = deciding[deciding["value"] <= best + deciding["error"]].iloc[0]
    steps, guidance = int(chosen["steps"]), float(chosen["guidance"])
    table = pd.concat(parts).merge(deciding, "left", validate="1:1")
    table = table.assign(chosen=(table["steps"] == steps) & (table["guidance"] == guidance))
    disk.write_text(work / "table", table.to_csv(index=False))
    disk.write_json(work / "about", {"steps": steps, "guidance": guidance})
    progress.say(
        f"adapter {chosen['adapter']}: {steps} steps, guidance {guidance:g}, at a kernel distance of"
        f" {chosen['value']:.3g} (smallest: {best:.3g}, error of the difference {chosen['error']:.2g})"
    )
