"""The job that makes a synthetic set, of whatever kind."""

from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from sonosynth import disk, progress
from sonosynth.artefacts import MASK_FILE, MASK_SOURCE, Adapter, Artefact, CohortImages, Split, SyntheticSet
from sonosynth.cohort import captions
from sonosynth.cohort.mask_jobs import CohortMasks
from sonosynth.errors import UserError
from sonosynth.firewall import Origins
from sonosynth.synthesis import strata, ways
from sonosynth.synthesis.composing import compose
from sonosynth.synthesis.described import COLUMN as DESCRIBED
from sonosynth.synthesis.making import Maker, make_set
from sonosynth.synthesis.provenance import Provenance
from sonosynth.synthesis.requests import Request
from sonosynth.synthesis.resolved import Making
from sonosynth.synthesis.selector import Selector

VERSION = 5
SOURCE_LABEL = "source_label"  # column of metadata.csv: the class of the image that one starts from, if another


def make(  # noqa: PLR0913 (whatever a set may be made from)
    settings: Making, *, split: Split, cohort: CohortImages | None = None,
    source: SyntheticSet | None = None, adapter: Adapter | None = None, choice: Artefact | None = None,
    masks: CohortMasks | None = None, drawn: tuple[Artefact, ...] = (), work: Path, selector: Selector | None = None,
) -> None:  # fmt: skip
    """Make a set from noise, from training images (`cohort`), from another set (`source`) or of given images.

    Makes images (a folder), samples (a folder), pixels (.npy) and origins (JSON).

    Args:
        choice: of the guidance: see `synthesis.probing.choose`. masks: of the cohort, for a condition. drawn: first
            attempts at its images, as `synthesis.shards.draw` makes them; none: they are drawn here. selector: of
            the images, but not of the samples; no artefact, but what another job passes on: see `tasks.selecting`.

    Raises:
        UserError: if a validation image is among the origins of what it is made from, the source has too few images, a
            given one can't be used, or images that are not drawn should be selected.
    """
    set_of = compose(
        settings, split=split, cohort=cohort, source=source, adapter=adapter, choice=choice, masks=masks
    )  # fmt: skip
    settings, needed = set_of.settings, set_of.needed
    for label, stratum in strata.missing(strata.members(split.train, settings.by)):
        values = ", ".join(f"{name}={value or '(unknown)'}" for name, value in zip(settings.by, stratum, strict=True))
        progress.warn(f"{settings.name}: no training image of {label} has {values}, so none is made that has")
    progress.say(f"{settings.name}: " + ", ".join(f"{n} {label}" for label, n in needed.items()))
    maker = set_of.maker()
    if selector and not maker.draws:
        raise undrawn(settings.name, selector.setting)
    real = bool(cohort) or bool(source and source.real)
    maker = _recording(maker, settings, split, adapter, real=real)
    batches = {int(path.stem): path for one in drawn for path in sorted(one.place("batches").glob("*.npy"))}

    def made(
        counts: Mapping[str, int], folder: str, first: Mapping[int, Path], selector: Selector | None = None
    ) -> tuple[np.ndarray, Origins, list[list[str]]]:
        wanted, initial, own = set_of.parts(counts)
        pixels = make_set(
            wanted, initial, maker, work / folder, name=settings.name, batch=settings.synthesis.batch, drawn=first,
            selector=selector,
        )  # fmt: skip
        return pixels, own, [sorted(request.mask_origins) for request in wanted]

    pixels, own, masks_of = made(needed, "images", batches, selector)
    disk.write_array(work / "pixels", pixels)
    sample_pixels, of_samples, masks_of_samples = made(set_of.samples, "samples", {})
    disk.write_array(work / "samples" / "pixels.npy", sample_pixels)
    stored = {
        "real": real,
        "shared": sorted(own.shared | of_samples.shared | set_of.shared),
        "own": [sorted(origins) for origins in own.own],
        "samples": [sorted(origins) for origins in of_samples.own],
    }
    stored |= {"masks": [masks_of, masks_of_samples]} if settings.condition else {}
    disk.write_json(work / "origins", stored)


def undrawn(name: str, key: str) -> UserError:
    """The error that images of the set `name` are to be chosen by what its `key` says, but are not drawn at random."""
    return UserError(
        f"sets.{name}.{key}: its images are not drawn at random, so none can be made again",
        "images from noise, or image to image with a strength above 0",
        f"remove sets.{name}.{key}",
    )


def _recording(maker: Maker, settings: Making, split: Split, adapter: Adapter | None, *, real: bool) -> Maker:
    """The same maker, with all columns of metadata.csv and the provenance of each image; `real`: as there."""
    columns = {
        **maker.columns, "resolution": settings.resolution, "precision": settings.precision if settings.base else "",
        "base": settings.base.digest if settings.base else "", "adapter": adapter.made.digest if adapter else "",
        "negative_control": settings.negative_control,
    }  # fmt: skip
    columns |= {"mirrored": False} if settings.mirror else {}
    way, software = ways.find(settings.kind), f"sonosynth {version('sonosynth')}"
    columns |= {SOURCE_LABEL: ""} if way.across else {}
    if settings.condition:
        columns |= {MASK_FILE: "", MASK_SOURCE: "", "keep": settings.condition.keep or ""}
    columns |= {DESCRIBED: ""} if captions.columns(settings.prompts.values()) else {}
    label_of = dict(zip(split.train["id"], split.train["label"], strict=True))

    def own(request: Request) -> dict[str, Any]:
        found = {
            "mirrored": request.mirrored, SOURCE_LABEL: label_of.get(request.source, ""),
            DESCRIBED: request.described, MASK_FILE: request.mask_file, MASK_SOURCE: request.mask_source,
            **maker.own(request),
        }  # fmt: skip
        return {name: value for name, value in found.items() if name in columns}

    def provenance(request: Request, seed: int | None) -> Provenance:
        return Provenance(
            synthetic=way.model or not real, software=software, set=settings.name, label=request.label,
            kind=settings.kind, prompt=settings.prompts[request.label], seed=seed, base=columns["base"],
            adapter=columns["adapter"], real=real,
        )  # fmt: skip

    return replace(maker, columns=columns, own=own, provenance=provenance)
