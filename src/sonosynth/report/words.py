"""Numbers, facts and findings in words."""

import json
from collections.abc import Sequence

import pandas as pd

from sonosynth.cohort.exclusions import Reason
from sonosynth.evidence.judging import Finding
from sonosynth.fidelity.across import Caricature
from sonosynth.fidelity.networks import EMBEDDED, INCEPTION
from sonosynth.modality import ULTRASOUND, WORDS
from sonosynth.report import traits
from sonosynth.report.facts import Counts, Excluded, Facts, Unsealed

SELECTION = {
    "last": "scored at the last step",
    "inner": "scored at the best epoch on the inner images, a fifth that nothing is trained on",
    "validation": "epoch chosen ON THE VALIDATION IMAGES, as in the original scripts: optimistic for all arms",
}
LEAK = "the generator was also trained on the validation images (adapt.on=all): no score is evidence"
EXCLUDED: dict[str, str] = {
    Reason.CONFLICT: "a near-duplicate has a different label",
    Reason.OUTVOTED: "most near-duplicates have a different label",
}
"""Reasons that need other words than those in which tables name them."""
SCORES = {"f1": "macro F1", "auc": "AUC", "dice": "Dice"}
"""The scores that decide."""
TASKS = {"f1": "Classification", "dice": "Segmentation"}
"""The tasks that they decide."""
FEW_GROUPS = 10  # on one side of a split
ON_COHORT = "on this data set"
ON_SEALED = "on the sealed images, given this cohort's training images"


MEANINGS = {
    Finding.IMPROVES: "significantly better than every arm that it has to beat",
    Finding.HARMS: "significantly worse than real images alone",
    Finding.NO_EVIDENCE: "neither benefit nor harm could be told from chance; the intervals show what remains possible",
    Finding.NO_RELEVANT_DIFFERENCE: "shown to be about as good as real images alone",
    Finding.NOT_ENOUGH_RUNS: "with so few repeats, a difference may be chance, however large it is",
    Finding.REFUSED: "its scores can't be trusted, for the reason given below the table",
    Finding.NOT_RUN: "it has no scores",
}


def comparator(name: str, reference: str, cheap: str | None) -> str:
    """What an arm is compared with: the arm `name`, by the part that it has in the comparison.

    Args:
        reference: the arm of real images alone. cheap: the simple baseline, if there is one.
    """
    if name == reference:
        return "real images alone"
    return "the simple baseline" if name == cheap else "the same arm without its synthetic images"


def number(value: float, form: str = "%.3f") -> str:
    """A number as text, a dash for none (NaN or None)."""
    return "–" if pd.isna(value) else form % value


def with_interval(value: float, low: float, high: float) -> str:
    """A score with its interval, a dash for none."""
    return number(value) + (f" ({low:.3f} to {high:.3f})" if pd.notna(low) else "")


def sealed(what: str, unsealed: Unsealed | None) -> str:
    """The state of the sealed part, which is `what`."""
    if unsealed is None:
        return f"{what}, held out of all splits; sonosynth unseal scores them once"
    if unsealed.spoiled:
        return (
            f"{what}, held out of all splits; spoiled: opened on {unsealed.date} with other settings,"
            " and its result may have influenced the current ones"
        )
    return (
        f"scored once, on {unsealed.date}, with these settings; {what};"
        f" {number_of(unsealed.looks, 'look')} at the validation images before that"
    )


def prior_shift(arm: str, other: str, label: str, difference: float) -> str:
    """What it means that an arm gives a class a higher or lower mean probability than another arm does."""
    return (
        f"Prior shift: the mean probability of {label} is {abs(difference):.2f}"
        f" {'higher' if difference > 0 else 'lower'} in {arm} than in {other}, the largest shift of any arm. Balanced"
        " classes teach a classifier that rare classes are common; choose thresholds separately for each arm."
    )


def network(name: str) -> str:
    """The Fréchet distance on the features of a network: only Inception's is an FID."""
    if name == INCEPTION:
        return "Fréchet distance on Inception features (FID)"
    whose = "the embedded network's features" if name == EMBEDDED else f"the features of {name}"
    return f"Fréchet distance on {whose}; not an FID, not comparable with published ones"


def fidelity(facts: Facts) -> str:
    """What distances are measured on."""
    text = "; ".join(map(network, facts.networks))
    if facts.embedded and EMBEDDED in facts.networks:
        text += (
            "; the embedded features were learned from the same simulated images as the base, and may favour its images"
        )
    return text


def distances(found: pd.DataFrame, classes: Sequence[str], features: str) -> str:
    """The Fréchet distance of each set at equal counts, its floor, and the classes that were left out.

    Args:
        found: rows of fidelity.csv, one for each set. classes: all there are.
    """
    if found.empty:
        return "No set has enough images for a Fréchet distance"
    parts = []
    for row in found.to_dict("records"):
        missing = sorted(set(classes) - set(json.loads(row["classes"])))
        without = f" without {', '.join(missing)}" if missing else ""
        parts.append(f"{row['set']} {row['matched']:.3g} against {row['floor']:.3g} ({row['n_matched']:.0f}{without})")
    return (
        f"Fréchet distance to training images, each set against held-out real images ({features} features; the same"
        f" number of images per class on all sides; in brackets: images, and classes left out): {'; '.join(parts)}"
    )


def caricature(name: str, features: str, found: Sequence[Caricature]) -> str:
    """One sentence on a set whose classes are further apart than real ones."""
    parts = [f"{x.label} from {x.against} ({x.distance:.3g} against {x.real_distance:.3g})" for x in found]
    return (
        f"Caricatures in {name}: further from the other classes than real images are ({features} features, Fréchet"
        f" distance at equal counts): {', '.join(parts)}."
    )


def reason(one: Excluded) -> str:
    """Why images are in no split."""
    return EXCLUDED.get(one.reason, one.reason)


def excluded(found: Sequence[Excluded]) -> str:
    """Which images are in no split, and why."""
    parts = []
    for why in dict.fromkeys(map(reason, found)):
        own = [f"{one.images} {one.label or 'files'}" for one in found if reason(one) == why]
        parts.append(f"{', '.join(own)} ({why})")
    return "; ".join(parts) or "no image"


def _of_groups(counts: Counts) -> str:
    return f", of {counts.groups[0]} and {counts.groups[1]} groups" if any(counts.groups) else ""


def twins(counts: Counts) -> str:
    """Near-duplicates, and what they mean for the scores."""
    described = f"{counts.twins} pairs, {counts.crossing} across the split"
    return described + f"; {counts.left_out} validation images are left out of all scores" * bool(counts.left_out)


def near_source(varied: pd.Series, near: pd.Series) -> str:
    """How many of the images that were made from a training image stay as near to it as a copy would."""
    if not varied.any():
        return "–"
    return f"{near.sum()} of {varied.sum()}" + ("; stays near its sources: not for sharing" if near.any() else "")


def adjacent(label: str) -> str:
    """A class whose images with consecutive file numbers are more alike than chance has it, and what to do."""
    return (
        f"Images of {label} with consecutive file numbers are more alike than others of that class: some may show the"
        " same patient, who may then be on both sides of a split. If the patients are known, give them as groups (a"
        " CSV with the column group)."
    )


def measured_on(facts: Facts, counts: Counts) -> dict[str, str]:
    """What the scores were measured on; printed beside them everywhere."""
    base = "the small embedded model, pretrained on simulated images" if facts.embedded else facts.base
    single = "the cohort's own split" if facts.own_split else "one split"
    splits = f"{facts.draws} x {facts.folds} grouped folds" if facts.folds else single
    if facts.leave_out:
        splits = f"each of the {facts.folds} values of {facts.leave_out} held out in turn"
    generators, seeds = number_of(facts.generators, "generator"), number_of(facts.seeds, "seed")
    side = facts.classifier_resolution
    inner = f", {counts.inner} inner" if counts.inner else ""
    kind = "" if facts.modality == ULTRASOUND else f"{WORDS[facts.modality]} "
    described = {
        "cohort": f"{facts.cohort}{' (simulated images)' * counts.simulated}: {counts.train} training{inner} and"
        f" {counts.validation} validation {kind}images{_of_groups(counts)}",
        "excluded": excluded(counts.excluded),
        "near-duplicates": twins(counts),
        "repeats": f"{splits}, {generators} each, {seeds} unless an arm has its own",
        "base": f"{base}, {facts.resolution} x {facts.resolution} pixels, {facts.precision}",
        "classifier": f"{facts.classifier}, {side} x {side} pixels, {SELECTION[facts.selection]}",
        "fidelity": fidelity(facts),
        "settings tried": f"{facts.looks} (the number of different settings scored so far on these validation images in"
        " this folder; every further one makes a chance finding more likely)",
    }
    if counts.sealed:
        described["sealed part"] = sealed(number_of(counts.sealed, "image"), facts.unsealed)
    if counts.draws_left_out:
        described["draws left out"] = f"{number_of(counts.draws_left_out, 'draw')} of folds not finished by every arm"
    if any(counts.made_again.values()):
        described["images made again"] = "; ".join(
            f"{name}: {n} {'were dropped' if name in counts.selected else 'showed nothing new'} at first,"
            f" {counts.unusable[name]} remain unusable and are excluded from training"
            for name, n in counts.made_again.items() if n
        )  # fmt: skip
    if facts.leaks:
        described["LEAK"] = LEAK
    return described


def number_of(count: int, name: str) -> str:
    """A number of things, in the singular or the plural."""
    return f"{count} {name}{'s' * (count != 1)}"


def warnings(facts: Facts, counts: Counts) -> list[str]:
    """What a reader must know before the scores."""
    found = []
    if facts.leaks:
        found.append(f"Leak: {LEAK}.")
    if counts.crossing:
        found.append(f"Near-duplicates: {twins(counts)}.")
    if facts.selection == "validation":
        found.append(
            "The epoch was chosen on the validation images: all scores are optimistic, and no verdict is given."
        )
    if not facts.folds and 0 < min(counts.groups) < FEW_GROUPS:
        found.append(
            f"Few groups: the {counts.validation} validation images come from {counts.groups[1]} groups (patients), the"
            f" training images from {counts.groups[0]}; a single one may decide the scores. Folds validate every group"
            " once: --set repeats.folds=5."
        )
    found += [adjacent(label) for label in counts.adjacent] + traits.warnings(counts.traits, filled=facts.marks_filled)
    if counts.simulated:
        found.append("The cohort is simulated: its scores say nothing about patients.")
    if facts.embedded:
        other = " It was pretrained on simulated images of another modality." * (facts.modality != ULTRASOUND)
        found.append(f"The base is the small embedded model: these are not Stable Diffusion's images.{other}")
    return found
