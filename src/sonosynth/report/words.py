"""Numbers, facts and findings in words."""

import pandas as pd

from sonosynth.evidence.verdicts import Finding, Verdict
from sonosynth.fidelity.copies import FALSE_POSITIVE_RATE
from sonosynth.fidelity.networks import EMBEDDED, INCEPTION
from sonosynth.report.facts import Counts, Facts

SELECTION = {
    "last": "last step scored",
    "inner": "best epoch on a fifth of the training images scored",
    "validation": "best epoch ON THE VALIDATION IMAGES scored, as in the original scripts: optimistic for all arms",
}
LEAK = "the generator was trained on the validation images, too (adapt.on=all): no score is evidence"


def number(value: float, form: str = "%.3f") -> str:
    """A number as text, a dash for none (NaN or None)."""
    return "–" if pd.isna(value) else form % value


def verdict(found: Verdict, reference: str) -> str:
    """One sentence on an arm."""
    if found.finding is Finding.NOT_RUN:
        return f"{found.arm}: not run."
    interval = "" if pd.isna(found.low) else f" 95% interval {found.low:+.3f} to {found.high:+.3f},"
    difference, p = number(found.difference, "%+.3f"), number(found.p_holm, "%.2g")
    numbers = f"macro F1 {difference},{interval} p = {p} after Holm's correction"
    phrase = {
        Finding.REFUSED: f"refused because {_reason(found)}",
        Finding.NO_EVIDENCE: f"no evidence of a difference from {reference}",
        Finding.IMPROVES: f"improves on {reference}",
        Finding.HARMS: f"harms compared with {reference}",
    }[found.finding]
    return f"{found.arm}: {phrase} ({numbers})."


def _reason(found: Verdict) -> str:
    if found.refusal and found.refusal.leaks:
        return "its generator has seen the validation images (adapt.on=all)"
    copied = found.refusal.copied if found.refusal else 0
    return f"{copied:.0%} of its images copy a training image ({FALSE_POSITIVE_RATE:.0%} of other real images would)"


def network(name: str) -> str:
    """The Fréchet distance on the features of a network: only Inception's is an FID."""
    if name == INCEPTION:
        return "Fréchet distance on Inception features (FID)"
    whose = "the embedded network's features" if name == EMBEDDED else f"the features of {name}"
    return f"Fréchet distance on {whose}; not an FID, not comparable with published ones"


def twins(counts: Counts) -> str:
    """Near-duplicates, and what they mean for the scores."""
    described = f"{counts.twins} pairs, {counts.crossing} across the split"
    if counts.crossing:
        described += "; the validation images are not independent of the training images"
    return described


def near_source(varied: pd.Series, near: pd.Series) -> str:
    """How many of the images that were made from a training image stay as near to it as a copy would."""
    if not varied.any():
        return "–"
    return f"{near.sum()} of {varied.sum()}" + ("; stays near its sources: not for sharing" if near.any() else "")


def adjacent(label: str) -> str:
    """A class whose images with consecutive file numbers are more alike than chance has it, and what to do."""
    return (
        f"Images of {label} with consecutive file numbers are more alike than others of that class: some may be of one"
        " patient, who then stands on both sides of a split. If the patients are known, give them as groups (a CSV with"
        " the column group)."
    )


def measured_on(facts: Facts, counts: Counts) -> dict[str, str]:
    """What the scores were measured on; printed beside them everywhere."""
    base = "the embedded small model, pretrained on simulated images" if facts.embedded else facts.base
    splits = f"{facts.times} x {facts.folds} grouped folds" if facts.folds else "one split"
    side = facts.classifier_resolution
    described = {
        "cohort": f"{facts.cohort}: {'simulated' if counts.simulated else 'as given'}, {counts.train} training and"
        f" {counts.validation} validation images",
        "near-duplicates": twins(counts),
        "repeats": f"{splits}, {facts.generators} generator(s) each, {facts.seeds} classifier seed(s)",
        "base": f"{base}, {facts.resolution} x {facts.resolution} pixels, {facts.precision}",
        "classifier": f"{facts.classifier}, {side} x {side} pixels, {SELECTION[facts.selection]}",
        "fidelity": network(facts.network),
    }
    if any(counts.made_again.values()):
        described["images made again"] = "; ".join(
            f"{name}: {n} showed nothing new at first, {counts.unusable[name]} remain unusable and are excluded from"
            " training" for name, n in counts.made_again.items() if n
        )  # fmt: skip
    if facts.leaks:
        described["LEAK"] = LEAK
    return described


def warnings(facts: Facts, counts: Counts, smallest: int, share: float) -> list[str]:
    """What a reader must know before the scores.

    Args:
        smallest: images by which an arm's accuracy has to differ to be significant. share: of the validation images
            above which that is worth a warning.
    """
    found = []
    if facts.leaks:
        found.append(f"Leak: {LEAK}.")
    if counts.crossing:
        found.append(f"Near-duplicates: {twins(counts)}.")
    if facts.selection == "validation":
        found.append("The epoch was chosen on the validation images: all scores are optimistic.")
    found += [adjacent(label) for label in counts.adjacent]
    if counts.simulated:
        found.append("The cohort is simulated: its scores say nothing about patients.")
    if facts.embedded:
        found.append("The base is the embedded small model: these are not Stable Diffusion's images.")
    if smallest / counts.validation > share:
        found.append(
            f"The validation set is small: a difference in accuracy below {smallest} of {counts.validation}"
            " images can't be significant here."
        )
    return found
