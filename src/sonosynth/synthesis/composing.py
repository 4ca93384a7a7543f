"""What a set is composed of: how many images of each class, from which requests, starting images and masks."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from sonosynth import extensions, firewall
from sonosynth.artefacts import Adapter, Artefact, CohortImages, Split, SyntheticSet
from sonosynth.cohort.mask_jobs import CohortMasks
from sonosynth.errors import UserError
from sonosynth.firewall import Origins
from sonosynth.synthesis import conditioning, requests, strata, ways
from sonosynth.synthesis import starts as starting
from sonosynth.synthesis.conditioning import Draw
from sonosynth.synthesis.described import described
from sonosynth.synthesis.making import Maker
from sonosynth.synthesis.requests import Request
from sonosynth.synthesis.resolved import Making
from sonosynth.synthesis.settings import Balance
from sonosynth.synthesis.starts import Starts

SAMPLES = 4  # images of each class that the set lacks


@dataclass(frozen=True)
class Composition:
    """What a set is composed of.

    settings: with the guidance that was chosen. split, adapter: that it is made with. needed: how many images of each
    class are wanted. samples: of the classes of which none is, how many samples there are. shared: the origins of the
    adapter, or of the generator whose images are taken. starts: what images start from. train: the training images to
    start from. masks: draws new ones. excused: whether a starting image may be one that the adapter was allowed to see.
    """

    settings: Making
    split: Split
    adapter: Adapter | None
    needed: Mapping[str, int]
    samples: Mapping[str, int]
    shared: frozenset[str]
    starts: Starts | None
    train: pd.DataFrame
    masks: Draw | None
    excused: bool

    def maker(self) -> Maker:
        """How its images are made; loads the model, if there is one."""
        folder: Path | None = self.adapter.folder if self.adapter else None
        found: Maker = extensions.find("sets", self.settings.kind).open(self.settings, folder)
        return found

    def parts(self, counts: Mapping[str, int]) -> tuple[list[Request], np.ndarray | None, Origins]:
        """The requests of so many images of each class, the images (N, H, W) uint8 that they start from, and origins.

        Raises:
            UserError: if one starts from a validation image, or nothing of one would change.
        """
        settings, starts = self.settings, self.starts
        wanted = described(
            _requests(settings, counts, starts, self.train), self.split.train, settings.seed, settings.tokens,
            starts.described if starts else {}, settings.by,
        )  # fmt: skip
        rows = np.array([starts.place[r.source] for r in wanted], int) if starts else None
        mirrored = np.array([request.mirrored for request in wanted], bool)[:, None, None]
        initial, outlines = (
            None if x is None else np.where(mirrored, x[rows][:, :, ::-1], x[rows])
            for x in ((starts.pixels, starts.masks) if starts else (None, None))
        )
        own = starts.origins.choose(rows) if starts and rows is not None else Origins(frozenset(), ())
        firewall.check(own.all(), self.split.forbidden(leaks=self.excused), f"a starting image of {settings.name}")
        if starts:
            wanted = [replace(one, origins=origins) for one, origins in zip(wanted, own.own, strict=True)]
        if settings.condition:
            drawn = starts.drawn if starts else {}
            wanted, others = conditioning.under_masks(
                settings.condition, settings.name, wanted, outlines, drawn, self.masks
            )  # fmt: skip
            # Not of each image: what its mask comes from excuses no copy of that.
            own = Origins(own.shared | others, own.own)
        return wanted, initial, own


def compose(
    settings: Making, *, split: Split, cohort: CohortImages | None = None, source: SyntheticSet | None = None,
    adapter: Adapter | None = None, choice: Artefact | None = None, masks: CohortMasks | None = None,
) -> Composition:  # fmt: skip
    """What a set is composed of, given what `jobs.make` is given.

    Raises:
        UserError: if a validation image is among the origins of what it is made from, or the source has too few images.
    """
    if choice:
        guided = settings.synthesis.model_copy(update={"guidance": choice.json("about")["guidance"]})
        settings = replace(settings, synthesis=guided)
    shared = adapter.origins if adapter else frozenset()
    if adapter:
        firewall.check(shared, split.forbidden(leaks=settings.leaks), str(adapter.folder))
    if settings.given:
        shared = frozenset(settings.given.trained_on or ())
        firewall.check(shared, split.forbidden(leaks=settings.leaks), f"sets.{settings.name}: {settings.given.root}")
    train = split.train[masks.known(split.train["id"])] if cohort and masks else split.train
    starts, needed, samples = _planned(settings, split, train, cohort, source, masks)
    asked = [label for label in split.classes if needed[label] or samples.get(label)]
    draw = None
    if settings.condition and masks:
        draw = conditioning.drawing(
            settings.condition, settings.name, settings.seed, settings.depth, masks, split, asked
        )  # fmt: skip
    excused = settings.leaks and not cohort  # excuses no starting image that leaks itself
    return Composition(settings, split, adapter, needed, samples, shared, starts, train, draw, excused)


def _planned(
    settings: Making, split: Split, train: pd.DataFrame, cohort: CohortImages | None, source: SyntheticSet | None,
    masks: CohortMasks | None,
) -> tuple[Starts | None, dict[str, int], dict[str, int]]:  # fmt: skip
    """What images start from, how many of each class are wanted, and how many samples of those of which none is.

    Args:
        train: the training images to start from. masks: of the cohort, known of all of those; None without a condition.
    """
    starts, samples = None, dict.fromkeys(split.classes, SAMPLES)
    if source:
        starts, available = starting.of_set(source, split.classes)
        needed = _counts_of_set(settings, available, source.name, split)
    elif settings.given:
        starts = starting.of_given(settings.given, settings.resolution, settings.name, split.classes)
        needed = {label: len(of_class) for label, of_class in starts.names.items()}
    else:
        if cohort:
            across = ways.find(settings.kind).across
            starts = starting.of_training_images(settings.seed, cohort, train, masks, across=across)
        needed = _counts(settings, split, train)
    if source or settings.given:
        assert starts
        samples = {label: min(SAMPLES, len(starts.names[label])) for label in samples}
    if settings.condition and not isinstance(settings.count, Balance):
        samples = {}  # there may be no masks of a class that is not asked for
    for label, count in needed.items():
        if count and starts and not starts.names.get(label):
            raise UserError(
                f"sets.{settings.name}: no training image of {label} has a mask",
                "masks of some training images of every class",
                f"add masks, or give sets.{settings.name}.count, without {label}",
            )
    return starts, needed, {label: n for label, n in samples.items() if not needed[label]}


def _counts(settings: Making, split: Split, train: pd.DataFrame) -> dict[str, int]:
    """How many images of each class are asked for; train: the training images to start from."""
    if settings.each:
        return {label: settings.each * int((train["label"] == label).sum()) for label in split.classes}
    if isinstance(settings.count, Balance):
        return strata.plan(strata.members(split.train, settings.by), settings.count.target)
    return requests.declared(settings.count or 0, split.classes, settings.name)


def _requests(
    settings: Making, counts: Mapping[str, int], starts: Starts | None, train: pd.DataFrame
) -> list[Request]:  # fmt: skip
    if starts is None:
        return requests.from_noise(counts, settings.prompts, settings.seed)
    names = starts.names
    if settings.by:
        of = strata.members(train, settings.by)
        names = {label: strata.in_turn(of, label, names[label], count) for label, count in counts.items()}
    return requests.from_images(
        counts, settings.prompts, settings.seed, names, settings.depth, strengths=settings.strengths,
        mirror=settings.mirror,
    )  # fmt: skip


def _counts_of_set(settings: Making, available: Mapping[str, int], source: str, split: Split) -> dict[str, int]:
    """How many images of each class are wanted of a set that starts from the set `source`."""
    wanted = dict(available) if settings.count is None else _counts(settings, split, split.train)
    for label, count in wanted.items():
        if count > available[label]:
            raise UserError(
                f"sets.{settings.name}.count: {count} of {label}",
                f"at most {available[label]}, as many usable ones as {source} has",
            )
    return wanted
