"""Whether the declared sets and arms can be made of a cohort, as far as that is known before anything is decoded."""

from collections.abc import Mapping, Sequence

from sonosynth.errors import UserError
from sonosynth.section import AUTO
from sonosynth.settings import Settings
from sonosynth.synthesis import requests, ways
from sonosynth.synthesis.jobs import undrawn
from sonosynth.synthesis.settings import FILES, IMAGES, NOISE, REAL, Set
from sonosynth.synthesis.ways import Way
from sonosynth.tasks.arms import Arm
from sonosynth.tasks.assembling import without_class, without_share

OF_A_MODEL = ("adapter", "strength", "synthesis", "refine")  # keys of a set
OF_A_FOLDER = ("folder", "trained_on")
LARGEST = None  # whichever class has the most training images

Counts = Mapping[str, Sequence[Mapping[str, int]]]
"""The images of each class in the folders of a set, by set and repeat."""


def check(settings: Settings, labels: Sequence[str], taken: Counts) -> None:
    """Check the sets and arms of a cohort with these labels; `taken` is of the sets that take images from a folder.

    Raises:
        UserError: if a set can't start from what it starts from, lacks a folder or takes no such setting, has a
            guidance that nothing chooses, selects images that are not drawn, or counts a class that isn't there; if an
            arm without real images has none of a class; or if an arm has a share, and a set lacks a class, or replaces
            real images by those of a set that has none for each.
    """
    for name, made in settings.declared_sets.items():
        way = ways.find(made.way)
        fits = made.start != NOISE if way.start == IMAGES else made.start == (REAL if way.start == REAL else NOISE)
        if not fits:
            raise UserError(f"sets.{name}: {made.way} makes images from {way.start}, not from {made.start}")
        _check_folder(name, made, way)
        _check_condition(settings, name, made, way)
        given = [key for key in OF_A_MODEL if getattr(made, key) is not None]
        if given and not way.model:
            what = f"sets.{name}: {made.way} uses no model, and takes no {', '.join(given)}"
            raise UserError(what, fix=f"remove {', '.join(f'sets.{name}.{key}' for key in given)}")
        drawn = way.model and (made.start == NOISE or settings.strength_of(name) != 0)
        if made.selected and not drawn:
            raise undrawn(name, "select" if made.select else "obey")
        if drawn and settings.synthesis_of(name).guidance == AUTO and made.adapter not in settings.probed_adapters:
            raise UserError(
                f"synthesis.guidance: auto, for the set {name}, whose images no probed adapter makes",
                "a number, or an adapter with a LoRA and adapt.stop=probe",
                f"give adapt.stop=probe, or sets.{name}.synthesis.guidance=1",
            )
        if way.across and made.each:
            raise UserError(f"sets.{name}.each: {made.way} starts from images of other classes", fix="give a count")
        if isinstance(made.count, dict):
            requests.declared(made.count, labels, name)
    for name, arm in settings.declared_arms.items():
        _check_arm(settings, name, arm, labels, taken)


def _check_arm(settings: Settings, name: str, arm: Arm, labels: Sequence[str], taken: Counts) -> None:
    if not arm.real:
        missing = set.intersection(*(_never_made(settings, other, labels, taken) for other in arm.sets))
        if missing:
            raise without_class(name, [label or "the largest class" for label in missing], arm.sets[0])
    for other in arm.sets if arm.replace else ():
        made = settings.declared_sets[other]
        if made.start != REAL or not made.each or ways.find(made.way).across:
            raise UserError(
                f"arms.{name}.replace: the set {other} does not have images made from each real one, of its class",
                "sets from: real, with each: 1 or more",
                f"give sets.{other}.each=1, or another set",
            )
    for other in arm.sets if arm.share else ():
        if missing := _never_made(settings, other, labels, taken):
            raise without_share(name, [label or "the largest class" for label in missing], other)


def _check_folder(name: str, made: Set, way: Way) -> None:
    """Raise UserError unless a set has a folder if it takes images from one, and otherwise nothing about one."""
    given = [key for key in OF_A_FOLDER if getattr(made, key) is not None]
    if way.start == FILES and made.folder is None:
        raise UserError(
            f"sets.{name}: {made.way} takes images from a folder, and none is given",
            "a folder with one folder of images for each class",
            f"give sets.{name}.folder",
        )
    if given and way.start != FILES:
        raise UserError(
            f"sets.{name}: {made.way} takes no images from a folder, and no {', '.join(given)}",
            fix=f"give sets.{name}.kind=folder, or remove {', '.join(f'sets.{name}.{key}' for key in given)}",
        )


def _check_condition(settings: Settings, name: str, made: Set, way: Way) -> None:
    """Raise UserError if a set can't be made under masks, or starts from images without any."""
    if made.condition and not way.condition:
        raise UserError(f"sets.{name}: {made.way} takes no condition", fix=f"remove sets.{name}.condition")
    start = settings.declared_sets.get(made.start)
    if made.condition and start and not start.condition:
        raise UserError(
            f"sets.{name}.condition: the images of {made.start} have no masks",
            "a set that has a condition, too, or from: noise or real",
            f"give sets.{made.start}.condition=mask",
        )


def _never_made(settings: Settings, name: str, labels: Sequence[str], taken: Counts) -> set[str | None]:
    """The classes of which a set has no image, whatever the split; of one with folders, what some folder lacks."""
    made = settings.declared_sets[name]
    if made.each:
        return set()
    if name in taken:
        return {label for label in labels if not all(counts.get(label) for counts in taken[name])}
    if made.count is None and made.start not in (NOISE, REAL):
        return _never_made(settings, made.start, labels, taken)
    if made.count is None:
        return {LARGEST} if settings.balance.target == "largest" and not settings.balance.by else set()
    return {label for label, count in requests.declared(made.count, labels, name).items() if not count}
