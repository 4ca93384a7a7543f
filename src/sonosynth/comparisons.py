"""What each arm of a study is compared with, and whether its scores can be believed at all."""

from collections.abc import Callable, Mapping, Sequence

from sonosynth.errors import UserError, first_line
from sonosynth.report.facts import Comparison, Fault, Refusal
from sonosynth.settings import CLASSIFICATION, REFERENCE, Settings
from sonosynth.synthesis import ways
from sonosynth.synthesis.settings import Set


def comparisons(settings: Settings) -> dict[str, Comparison]:
    """What each arm adds, and what it has to beat: found by the arms' values, never by their names."""
    arms, generated = settings.declared_arms, with_those_from(settings, _of_a_generator)
    controls = controlling(settings)
    plain = {name: arm.alone for name, arm in arms.items() if not (arm.sets or arm.best_of)}
    cheap = settings.compare.cheap if settings.compare.cheap in arms else None
    found = {}
    for name, arm in arms.items():
        without = next((other for other, values in plain.items() if values == arm.alone), None)
        control = not arm.real or controls >= set(arm.sets)
        found[name] = Comparison(arm.sets, control, without, cheap, bool(generated & set(arm.sets)))
    return found | {name: _of_all([found[x] for x in arm.best_of]) for name, arm in arms.items() if arm.best_of}


def _of_all(candidates: Sequence[Comparison]) -> Comparison:
    """What an arm that may be any of these adds, and what it has to beat."""
    sets = dict.fromkeys(name for one in candidates for name in one.sets)
    shared, *others = {one.without for one in candidates}
    return Comparison(
        tuple(sets), all(one.control for one in candidates), None if others else shared, candidates[0].cheap,
        any(one.generated for one in candidates),
    )  # fmt: skip


def candidates(settings: Settings) -> frozenset[str]:
    """The arms that some arm chooses among."""
    return frozenset(name for arm in settings.declared_arms.values() for name in arm.best_of)


def check_choices(settings: Settings, arms: Mapping[str, Comparison]) -> None:
    """Check that arms which are chosen among can be compared: in every split, with equally many trainings.

    Raises:
        UserError: if some have a generator of their own in every repeat and others don't; if seeds, or anything but the
            synthetic images, differ; if the inner images choose the epoch, too; if nothing repeats the choice.
    """
    declared = settings.declared_arms
    for name, arm in declared.items():
        if not arm.best_of:
            continue
        if settings.classifier.selection == "inner":
            raise UserError(
                f"arms.{name}.best_of: the inner images would choose the epoch and the arm",
                "inner images that make one choice: what was fitted to them can't be compared on them",
                "classifier.selection=last",
            )
        first = arm.best_of[0]
        if other := next((other for other in arm.best_of if declared[other].alone != declared[first].alone), None):
            raise UserError(
                f"arms.{name}.best_of: {first} and {other} differ in more than synthetic images",
                "arms that are the same without their sets, or the gain of the best could be of anything else",
                "give all of them the same balance, augmentation, mixup, real and settle",
            )
        if not settings.repeats.folds and not any(arms[other].generated for other in arm.best_of):
            raise UserError(
                f"arms.{name}.best_of: one split makes one choice",
                "several splits or generators, so that a verdict can count the chance in the choice",
                "repeats.folds=5",
            )
        made = {arms[other].generated for other in arm.best_of}
        if len(made) > 1:
            plain = [other for other in arm.best_of if not arms[other].generated]
            raise UserError(
                f"arms.{name}.best_of: {', '.join(plain)} use no generator, but the others do",
                "a generator behind all of these arms or behind none, since generators are repeated and judged",
                f"choose among the others: the verdict compares {name} with arms that use none",
            )
        if len({settings.seeds_of(other) for other in arm.best_of}) > 1:
            seeds = ", ".join(f"{other}: {list(settings.seeds_of(other))}" for other in arm.best_of)
            raise UserError(
                f"arms.{name}.best_of: the seeds of its arms differ ({seeds})",
                "the same seeds for all, since a mean over more training runs varies less",
                f"give arms.{arm.best_of[0]} and the others the same seeds",
            )


def kept(settings: Settings) -> tuple[str, ...]:
    """The arms whose trained classifiers are kept for other cohorts: the reference and others, or none.

    Raises:
        UserError: if one of those that `test.arms` names is not declared.
    """
    declared, named = settings.declared_arms, settings.test.arms
    if CLASSIFICATION not in settings.tasks:
        return ()
    if named is None:
        named = tuple(name for name in (settings.compare.cheap, settings.compare.primary) if name in declared)
    elif not named:
        return ()
    if unknown := [name for name in named if name not in declared]:
        raise UserError(
            f"test.arms: there is no arm {first_line(', '.join(unknown))}", f"some of {', '.join(declared)}, or []"
        )
    return tuple(name for name in declared if name in {REFERENCE, *named})


def controlling(settings: Settings) -> set[str]:
    """The sets that are negative controls."""
    return {name for name, made in settings.declared_sets.items() if made.control}


def _of_a_generator(made: Set) -> bool:
    """Whether each repeat has images of a generator of its own: an adapter, or somebody else's."""
    return made.adapter is not None or ways.find(made.way).generator


def _of_unknown_origin(made: Set) -> bool:
    """Whether nobody said what the generator of its images has seen."""
    return made.folder is not None and made.trained_on is None


def with_those_from(settings: Settings, holds: Callable[[Set], bool]) -> set[str]:
    """The sets for which something holds, and those that started from such a set."""
    found: set[str] = set()
    for name, made in settings.declared_sets.items():
        found |= {name} if holds(made) or made.start in found else set()
    return found


def refusals(settings: Settings, arms: Mapping[str, Comparison]) -> dict[str, Refusal]:
    """The arms on whose classifiers' scores no verdict may rest, whatever their images show."""
    chosen = settings.classifier.selection == "validation"
    return seen(settings, arms) | {name: Refusal(Fault.CHOSEN) for name in arms if chosen and name != REFERENCE}


def seen(settings: Settings, arms: Mapping[str, Comparison]) -> dict[str, Refusal]:
    """The arms with images of a generator that has, or may have, seen the scored images."""
    leaks, unknown = settings.adapt.on == "all", with_those_from(settings, _of_unknown_origin)
    leaking = {name: Refusal(Fault.LEAK) for name, arm in arms.items() if leaks and arm.generated}
    return leaking | {name: Refusal(Fault.UNKNOWN) for name, arm in arms.items() if unknown & set(arm.sets)}
