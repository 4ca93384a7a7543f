"""The jobs of fidelity: the measures of every image, the comparison of each set with real images, and the tables."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.numpy

from sonosynth import disk, extensions, progress, seeding
from sonosynth.artefacts import Artefact, CohortImages, Description, Split, SyntheticSet
from sonosynth.fidelity import comparison
from sonosynth.fidelity.distances import frechet_distance
from sonosynth.fidelity.networks import Network

VERSION = 1
ALL = ""  # classes together
TRAINING, MIX = "training images", "scripts' mix"
"""Protocols: against the training images; or, as in the original scripts, all real images against a mix of the same and
the synthetic ones."""


@dataclass(frozen=True)
class Measuring:
    """measure: its file in `measures/`, and that file's version. network: for the measure "features", else None."""

    measure: str
    measure_version: int
    network: Network | None


def describe(
    settings: Measuring, *, cohort: CohortImages | None = None, images: SyntheticSet | None = None, work: Path
) -> None:
    """The values of a measure for every image of the cohort or of a set: makes values (safetensors)."""
    source = images or cohort
    assert source is not None
    pixels = np.array(source.pixels)  # a copy: torch wants a writable array
    values = extensions.find("measures", settings.measure).describe(pixels, settings) if len(pixels) else {}
    stored = {name: np.ascontiguousarray(found) for name, found in values.items()}
    disk.write_bytes(work / "values", safetensors.numpy.save(stored))


def compare(
    measures: tuple[Measuring, ...], *, cohort: CohortImages, split: Split, images: SyntheticSet,
    real: tuple[Description, ...], synthetic: tuple[Description, ...], work: Path,
) -> None:  # fmt: skip
    """A set against the training images, overall and class by class: makes table, rows of fidelity.csv.

    Args:
        measures: those that the descriptions in `real` and `synthetic` come from, in that order.
    """
    sides = (split.train, split.validation)
    train, held_out = (cohort.rows(side["id"]) for side in sides)
    real_labels, held_out_labels = (side["label"].to_numpy(str) for side in sides)
    labels = images.rows["label"].to_numpy(str)
    rows: list[dict[str, Any]] = []
    everything = (ALL, *split.classes)
    with progress.task(f"measuring {images.name}", len(everything) * len(measures)) as bar:
        for measuring, of_real, of_set in zip(measures, real, synthetic, strict=True):
            module = extensions.find("measures", measuring.measure)
            space = module.space(measuring)
            made = of_set.values or {key: values[:0] for key, values in of_real.values.items()}
            for label in everything:
                a, b, c = (
                    {key: values[rows_][(of == label) | (label == ALL)] for key, values in known.items()}
                    for known, rows_, of in (
                        (of_real.values, train, real_labels),
                        (made, slice(None), labels),
                        (of_real.values, held_out, held_out_labels),
                    )
                )
                rng = seeding.numpy_generator(0, "fidelity", label, space)
                about = {"set": images.name, "class": label, "features": space, "protocol": TRAINING}
                rows += [about | row for row in comparison.compare(module.compare, a, b, c, rng)]
                bar.advance()
            if "features" in of_real.values:
                both = of_real.values["features"][np.concatenate([train, held_out])]
                mix = np.concatenate([both, made["features"]])
                rows.append(
                    {
                        "set": images.name, "class": ALL, "features": space, "protocol": MIX,
                        "metric": "frechet", "value": frechet_distance(both, mix),
                        "n_real": len(both), "n_synthetic": len(mix),
                    }
                )  # fmt: skip
    disk.write_text(work / "table", pd.DataFrame(rows).to_csv(index=False))


def join(_: None, *, parts: tuple[Artefact, ...], work: Path) -> None:
    """Concatenate tables: makes table."""
    # As text, so that no digit changes on the way.
    tables = [pd.read_csv(part.place("table"), dtype=str, keep_default_na=False) for part in parts]
    disk.write_text(work / "table", pd.concat(tables).to_csv(index=False))


def single_images(
    names: tuple[str, ...], *, cohort: CohortImages, split: Split, sets: tuple[SyntheticSet, ...], real: Description,
    synthetic: tuple[Description, ...], work: Path,
) -> None:  # fmt: skip
    """The values of a measure, image by image: makes table, real images first.

    Args:
        names: those of the measure's values that are one number per image.
    """
    parts = []
    for name, side in (("real training", split.train), ("real validation", split.validation)):
        rows = cohort.rows(side["id"])
        numbers = {key: real.values[key][rows].round(4) for key in names}
        about = {"set": name, "image": side["id"].to_numpy(), "label": side["label"].to_numpy()}
        parts.append(pd.DataFrame(about | numbers))
    for images, found in zip(sets, synthetic, strict=True):
        numbers = {key: found.values[key].round(4) if found.values else [] for key in names}
        about = {"set": images.name, "image": images.rows["file_name"], "label": images.rows["label"]}
        parts.append(pd.DataFrame(about | numbers))
    disk.write_text(work / "table", pd.concat(parts).to_csv(index=False))
