"""The jobs of fidelity: the measures of every image, the comparison of each set with real images, and the tables."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.numpy

from sonosynth import disk, extensions, firewall, progress, seeding
from sonosynth.artefacts import Artefact, CohortImages, Description, Split, SyntheticSet, group_names
from sonosynth.cost import Effort
from sonosynth.fidelity import across, comparison, probe, recognition
from sonosynth.fidelity.comparison import Images, Sides
from sonosynth.fidelity.distances import frechet_distance
from sonosynth.fidelity.networks import Network

VERSION = 4
FEATURES = "features"  # the measure that the search for copies also uses
ALL = ""  # classes together
TRAINING, ACROSS, PROBE, RECOGNITION, MIX = (
    "training images", "across classes", "real or synthetic", "trained on real", "scripts' mix"
)  # fmt: skip
"""Protocols: against the training images; each class against each class of them; a linear classifier that tells the set
from them; one of the classes that they alone trained; or, as in the original scripts, all real images against a mix of
the same and the synthetic ones."""

COLUMNS = [
    "set", "class", "against", "features", "protocol", "metric", "value", "low", "high", "matched", "floor",
    "excess_low", "excess_high", "n_real", "n_synthetic", "n_matched", "classes",
]  # fmt: skip
"""The columns of fidelity.csv."""


@dataclass(frozen=True)
class Measuring:
    """measure: its file in `measures/`, and that file's version. network: for the measure "features", else None."""

    measure: str
    measure_version: int
    network: Network | None

    @property
    def effort(self) -> Effort:
        """The time goes by what is measured."""
        return Effort((self.measure, self.network and self.network.name))


def measuring(measures: Sequence[str], networks: Sequence[Network]) -> dict[str, Measuring]:
    """What images are described by, by the name in their jobs; "features" is there in any case, with the first network.

    Further networks get a number: "features-2".
    """
    used = networks if FEATURES in measures else networks[:1]
    version = extensions.find("measures", FEATURES).VERSION
    found = {
        FEATURES if i == 1 else f"{FEATURES}-{i}": Measuring(FEATURES, version, network)
        for i, network in enumerate(used, 1)
    }
    others = [name for name in measures if name != FEATURES]
    return found | {name: Measuring(name, extensions.find("measures", name).VERSION, None) for name in others}


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
    firewall.check(
        cohort.origins(cohort.rows(split.train["id"])).all(), split.scored, "the comparison with real images"
    )
    rows: list[dict[str, Any]] = []
    with progress.task(f"measuring {images.name}", (len(split.classes) + 1) * len(measures)) as bar:
        for one, of_real, of_set in zip(measures, real, synthetic, strict=True):
            module = extensions.find("measures", one.measure)
            space = module.space(one)
            sides = _sides(cohort, split, images, of_real, of_set)
            found = []
            for label in (ALL, *split.classes):
                part = sides if label == ALL else sides.of(label)
                rng = seeding.numpy_generator(0, "fidelity", label, space)
                distances = comparison.compare(module.compare, part, rng)
                found += [{"class": label, "protocol": TRAINING} | row for row in distances]
                found.append({"class": label, "protocol": PROBE} | probe.compare(part, rng))
                bar.advance()
            found += [{"protocol": RECOGNITION} | row for row in recognition.compare(sides)]
            if "features" in of_real.values:
                found += [{"protocol": ACROSS} | row for row in across.compare(sides, space)]
                features = of_real.values["features"][cohort.rows(split.used["id"])]
                found.append({"class": ALL, "protocol": MIX} | _mix(features, sides.made.values["features"]))
            rows += [{"set": images.name, "features": space, "against": ""} | row for row in found]
    table = pd.DataFrame(rows)[COLUMNS]
    # A list in one cell, whatever the names of classes are.
    table["classes"] = [json.dumps(names, ensure_ascii=False) for names in table["classes"]]
    disk.write_text(work / "table", table.to_csv(index=False))


def _sides(
    cohort: CohortImages, split: Split, images: SyntheticSet, of_real: Description, of_set: Description
) -> Sides:  # fmt: skip
    """What a measure found, of the training images, the usable images of the set, and the validation images."""
    used = split.used
    groups = group_names(used)
    group_of = dict(zip(used["sha256"], groups, strict=True))

    def of(side: pd.DataFrame) -> Images:
        values = {name: x[cohort.rows(side["id"])] for name, x in of_real.values.items()}
        return Images(values, side["label"].to_numpy(str), groups[side.index].to_numpy(str))

    usable = ~images.flawed
    made = Images(
        {name: x[usable] for name, x in of_set.values.items()} or {name: x[:0] for name, x in of_real.values.items()},
        images.rows["label"].to_numpy(str)[usable],
        # A variation of a real image belongs with it; what was made from noise stands alone.
        np.array([
            group_of.get(min(own), name) if own else name
            for own, name in zip(images.origins.own, images.rows["file_name"], strict=True)
        ], str)[usable],
    )  # fmt: skip
    return Sides(of(split.train), made, of(split.validation))


def _mix(real: np.ndarray, made: np.ndarray) -> dict[str, Any]:
    mix = np.concatenate([real, made])
    return {
        "metric": "frechet", "value": frechet_distance(real, mix), "n_real": len(real), "n_synthetic": len(mix),
        "n_matched": 0, "classes": (),
    }  # fmt: skip


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
    sides = {"training": split.train, "inner": split.inner, "validation": split.validation}
    for name, side in sides.items():
        rows = cohort.rows(side["id"])
        numbers = {key: real.values[key][rows].round(4) for key in names}
        about = {"set": f"real {name}", "image": side["id"].to_numpy(), "label": side["label"].to_numpy()}
        parts.append(pd.DataFrame(about | numbers))
    for images, found in zip(sets, synthetic, strict=True):
        numbers = {key: found.values[key].round(4) if found.values else [] for key in names}
        about = {"set": images.name, "image": images.rows["file_name"], "label": images.rows["label"]}
        parts.append(pd.DataFrame(about | numbers))
    disk.write_text(work / "table", pd.concat(parts).to_csv(index=False))
