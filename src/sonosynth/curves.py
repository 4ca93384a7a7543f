"""Which arms of a study make a curve: over the share of synthetic images, or over their strength."""

from collections import defaultdict
from collections.abc import Mapping

from sonosynth.report.facts import Comparison, Curve, Varied
from sonosynth.settings import REFERENCE, Settings
from sonosynth.synthesis import ways
from sonosynth.synthesis.settings import NOISE

FEWEST = 3  # values of a curve


def curves(settings: Settings, arms: Mapping[str, Comparison]) -> tuple[Curve, ...]:
    """The arms that are equal but for their share, or but for the strength of their one set: found by their values.

    Seeds may differ. The same arm without its sets, where it is declared, is the share 0; it is no strength.
    """
    groups: dict[tuple[Varied, str], list[tuple[float, str]]] = defaultdict(list)
    for name, arm in settings.declared_arms.items():
        if arm.share is not None:
            rest = arm.model_copy(update={"seeds": None, "share": None})
            groups["share", rest.model_dump_json()].append((arm.share, name))
        if len(arm.sets) == 1 and (varied := _strength(settings, arm.sets[0])):
            strength, same = varied
            rest = arm.model_copy(update={"seeds": None, "sets": ()})
            groups["strength", rest.model_dump_json() + same].append((strength, name))
    found = []
    for (variable, _), points in groups.items():
        comparison = arms[points[0][1]]
        without = comparison.without
        if without not in (REFERENCE, *comparison.against(REFERENCE)):
            without = None  # there is no such difference in the verdicts
        if variable == "share" and without is not None:
            points.append((0.0, without))
        if len({value for value, _ in points}) >= FEWEST:
            found.append(Curve(variable, without, tuple(sorted(points))))
    return tuple(found)


def _strength(settings: Settings, name: str) -> tuple[float, str] | None:
    """The strength of a set, and all else that makes it; None unless a model varies images at one strength."""
    made, strength = settings.declared_sets[name], settings.strength_of(name)
    if made.start == NOISE or not ways.find(made.way).model or isinstance(strength, tuple):
        return None
    rest = made.model_copy(update={"strength": None, "refine": None})
    return strength, rest.model_dump_json() + settings.refine_of(name).model_dump_json(exclude={"strength"})
