"""Is an arm better than real images alone? Differences with intervals and tests, and one sentence for each arm."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sonosynth.evaluation.scores import Scored, class_names, quantiles
from sonosynth.evaluation.significance import delong, holm, mcnemar, nadeau_bengio

PRIMARY = "f1"
ALPHA = 0.05
IMPROVES, HARMS, NO_EVIDENCE, REFUSED, NOT_RUN = (
    "improves", "harms", "no evidence of a difference", "refused", "not run",
)  # fmt: skip


def differences(
    predictions: pd.DataFrame, scored: Mapping[str, Scored | None], reference: str, test_share: float | None
) -> pd.DataFrame:
    """Every arm against the arm `reference`: the columns arm, against, metric, difference, low, high, test, p, p_holm.

    Macro F1 (the primary one), accuracy and every class's recall by the paired bootstrap; on one split, accuracy by the
    exact McNemar test, too, and each class's AUC by DeLong's, both on the mean probabilities over runs; over several
    splits, F1 and accuracy by the corrected t test of Nadeau and Bengio instead. p_holm is adjusted over the arms, by
    metric and test.

    Args:
        predictions: the columns arm, repeat, seed, id, label and p_<class>.
        scored: arm to its scores, None if it did not run.
        test_share: validation over training images of a split where the repeats are splits, else None.
    """
    base = scored[reference]
    assert base is not None, "the reference ran, or there is nothing to compare"
    classes = class_names(predictions)
    rows: list[dict[str, object]] = []
    for arm, found in scored.items():
        if arm == reference or found is None:
            continue
        for metric in (PRIMARY, "accuracy", *(f"recall_{name}" for name in classes)):
            gaps = found.draws[metric] - base.draws[metric]
            low, high = quantiles(gaps)
            rows.append(_row(arm, reference, metric, found, base, low, high, "bootstrap", _two_sided(gaps)))
        if test_share is not None:
            for metric in (PRIMARY, "accuracy"):
                gaps = _by_repeat(predictions, found, metric, arm) - _by_repeat(predictions, base, metric, reference)
                low, high, p = nadeau_bengio(gaps, test_share)
                rows.append(_row(arm, reference, metric, found, base, low, high, "nadeau-bengio", p))
            continue
        labels, ours = _ensemble(predictions, arm, classes)
        _, theirs = _ensemble(predictions, reference, classes)
        p = mcnemar(ours.argmax(axis=1) == labels, theirs.argmax(axis=1) == labels)
        rows.append(_row(arm, reference, "accuracy", found, base, np.nan, np.nan, "mcnemar", p))
        for k, name in enumerate(classes):
            if min((labels == k).sum(), (labels != k).sum()) >= 2:
                p = delong(labels == k, ours[:, k], theirs[:, k])[3]
                rows.append(_row(arm, reference, f"auc_{name}", found, base, np.nan, np.nan, "delong", p))
    table = pd.DataFrame(rows)
    if len(table):
        table["p_holm"] = table.groupby(["metric", "test"])["p"].transform(lambda p: holm(p.to_numpy()))
    return table


def _row(
    arm: str, reference: str, metric: str, found: Scored, base: Scored, low: float, high: float, test: str, p: float
) -> dict[str, object]:
    return {
        "arm": arm, "against": reference, "metric": metric, "difference": found.point[metric] - base.point[metric],
        "low": low, "high": high, "test": test, "p": p,
    }  # fmt: skip


def _two_sided(gaps: np.ndarray) -> float:
    """p of the bootstrap: twice the smaller share of draws on either side of 0; never 0, since draws are finite."""
    gaps = gaps[np.isfinite(gaps)]
    tail = min((gaps <= 0).sum(), (gaps >= 0).sum())
    return float(min(1.0, 2 * (tail + 1) / (len(gaps) + 1)))


def _ensemble(predictions: pd.DataFrame, arm: str, classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Labels (N,) int and mean probabilities over seeds (N, K), ordered by id."""
    columns = [f"p_{name}" for name in classes]
    of_arm = predictions[predictions["arm"] == arm].groupby("id")
    chances = of_arm[columns].mean()
    return of_arm["label"].first().map(classes.index).to_numpy(), chances.to_numpy()


def _by_repeat(predictions: pd.DataFrame, scored: Scored, metric: str, arm: str) -> np.ndarray:
    """(J,): the mean of a score over the seeds of each repeat."""
    keys = predictions[predictions["arm"] == arm][["repeat", "seed"]].drop_duplicates().sort_values(["repeat", "seed"])
    return pd.Series(scored.runs[metric]).groupby(keys["repeat"].to_numpy()).mean().to_numpy()


def smallest_visible(n_validation: int, comparisons: int) -> int:
    """The fewest images that an arm has to win, losing none, for McNemar's exact p to pass Holm's first hurdle.

    2 (1/2)^n < 0.05 / comparisons. No smaller difference in accuracy can be significant, however many were tried.
    """
    wins = 1
    while 2 * 0.5**wins >= ALPHA / max(comparisons, 1):
        wins += 1
    return min(wins, n_validation)


@dataclass(frozen=True)
class Verdict:
    """What the evidence allows to say of an arm: `finding` is one of the constants above, `sentence` says why."""

    arm: str
    finding: str
    sentence: str


def verdicts(
    contrasts: pd.DataFrame, scored: Mapping[str, Scored | None], reference: str, refusals: Mapping[str, str]
) -> list[Verdict]:
    """One verdict for every arm but the reference, by macro F1.

    Args:
        contrasts: of `differences`. refusals: arm to the reason why its scores must not be believed.
    """
    found = []
    for arm, scores in scored.items():
        if arm == reference:
            continue
        if scores is None:
            found.append(Verdict(arm, NOT_RUN, f"{arm}: not run."))
            continue
        own = contrasts[(contrasts["arm"] == arm) & (contrasts["metric"] == PRIMARY)].iloc[-1]
        numbers = (
            f"macro F1 {own['difference']:+.3f}, 95% interval {own['low']:+.3f} to {own['high']:+.3f},"
            f" p = {own['p_holm']:.2g} after Holm's correction"
        )
        if arm in refusals:
            finding = REFUSED
            sentence = f"{arm}: refused, {refusals[arm]} ({numbers})."
        elif own["p_holm"] >= ALPHA:
            finding = NO_EVIDENCE
            sentence = f"{arm}: no evidence of a difference from {reference} ({numbers})."
        else:
            finding = IMPROVES if own["difference"] > 0 else HARMS
            said = f"improves on {reference}" if finding == IMPROVES else f"harms, it is worse than {reference}"
            sentence = f"{arm}: {said} ({numbers})."
        found.append(Verdict(arm, finding, sentence))
    return found
