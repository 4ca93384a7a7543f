"""What each arm of a study is compared with, and whether its scores can be believed at all."""

from collections.abc import Mapping

from sonosynth.report.facts import Comparison, Fault, Refusal
from sonosynth.settings import REFERENCE, Settings


def comparisons(settings: Settings) -> dict[str, Comparison]:
    """What each arm adds, and what it has to beat: found by the arms' values, never by their names."""
    arms, generated = settings.declared_arms, _generated(settings)
    controls = controlling(settings)
    plain = {name: arm.alone for name, arm in arms.items() if not arm.sets}
    cheap = settings.compare.cheap if settings.compare.cheap in arms else None
    found = {}
    for name, arm in arms.items():
        without = next((other for other, values in plain.items() if values == arm.alone), None)
        control = not arm.real or controls >= set(arm.sets)
        found[name] = Comparison(arm.sets, control, without, cheap, bool(generated & set(arm.sets)))
    return found


def controlling(settings: Settings) -> set[str]:
    """The sets that are negative controls."""
    return {name for name, made in settings.declared_sets.items() if made.control}


def _generated(settings: Settings) -> set[str]:
    """The sets that an adapter has made, or that started from such a set."""
    found: set[str] = set()
    for name, made in settings.declared_sets.items():
        found |= {name} if made.adapter or made.start in found else set()
    return found


def refusals(settings: Settings, arms: Mapping[str, Comparison]) -> dict[str, Refusal]:
    """The arms on whose scores no verdict may rest, whatever their images show."""
    if settings.classifier.selection == "validation":
        return {name: Refusal(Fault.CHOSEN) for name in arms if name != REFERENCE}
    leaks = settings.adapt.on == "all"
    return {name: Refusal(Fault.LEAK) for name, arm in arms.items() if leaks and arm.generated}
