"""Every interval that is given holds its estimate."""

import numpy as np
import pandas as pd
import pytest
from evidence_examples import CLASSES, predictions
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sonosynth.evidence.contrasts import Folds, differences
from sonosynth.evidence.scores import ACCURACY, BIASED, F1, Metric, Scored, class_table, holding, score_arm, table

NAN = float("nan")


@pytest.mark.parametrize(
    ("value", "given", "kept"),
    [
        (0.5, (0.4, 0.6), True),
        (0.4, (0.4, 0.6), True),
        (0.6, (0.4, 0.6), True),
        (0.39, (0.4, 0.6), False),
        (0.61, (0.4, 0.6), False),
        (NAN, (0.4, 0.6), False),
        (0.5, (NAN, NAN), False),
    ],
)
def test_an_interval_without_its_estimate_is_not_given(value, given, kept):
    assert holding(value, *given) == pytest.approx(given if kept else (NAN, NAN), nan_ok=True)


def test_a_biased_bootstrap_gives_no_interval_in_any_table():
    draws = np.linspace(0.4, 0.6, 500)
    names = (ACCURACY, F1, Metric("brier"), Metric("calibration_error"), *(Metric("recall", name) for name in CLASSES))

    def scored(values):
        point = dict(zip(names, values, strict=True))
        runs = {metric: np.array([value]) for metric, value in point.items()}
        return Scored(point, runs, dict.fromkeys(names, draws))

    arms = {"real": scored([0.5] * 7), "sd": scored([0.5, 0.1, 0.5, 0.5, 0.9, 0.5, 0.5])}
    rows = table(arms, dict.fromkeys(arms, 5), 120).set_index("arm")
    assert rows["accuracy_low"].notna().all() and rows["brier_high"].notna().all()
    assert list(rows["f1_low"].isna()) == list(rows["f1_high"].isna()) == [False, True]
    assert rows[["calibration_error_low", "calibration_error_high"]].isna().all(axis=None)
    classes = class_table(arms)
    assert list(classes[classes["low"].isna()][["arm", "class"]].itertuples(index=False)) == [("sd", CLASSES[0])]


def trained(rng, k, n, shown):
    """Labels (n,) of `shown` of k classes; and a function that draws probabilities (n, k), most of them tied."""
    labels = rng.integers(0, shown, n)

    def probabilities():
        if rng.random() < 0.2:
            return np.tile(rng.dirichlet(np.ones(k)), (n, 1))  # the same for every image
        coarse = np.round(rng.dirichlet(np.ones(k) / 2, n) + 0.3 * rng.random() * np.eye(k)[labels], 1) + 0.05
        return coarse / coarse.sum(axis=1, keepdims=True)

    return labels, probabilities


@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(2, 20), st.integers(1, 12), st.booleans())
@example(0, 3, 12, 2, True)
@settings(deadline=None, derandomize=True, max_examples=60)
def test_every_interval_in_the_tables_holds_its_estimate(seed, k, n, runs, folded):
    rng = np.random.default_rng(seed)
    classes = [f"class {i}" for i in range(k)]
    parts = []
    for repeat in range(2 if folded else 1):
        labels, probabilities = trained(rng, k, n, rng.integers(1, k + 1))
        for arm in ("real", "a", "b"):
            parts += [predictions(arm, labels, probabilities(), s, repeat, classes) for s in range(runs)]
    frame = pd.concat(parts)
    groups = {f"{i:03d}": f"group {i // 3}" for i in range(0, n, 2)}
    arms = {arm: score_arm(part, groups, 100) for arm, part in frame.groupby("arm", sort=False)}
    wide = table(arms, dict.fromkeys(arms, 5), n)
    by_class = class_table(arms)
    contrasts = differences(frame, arms, "real", Folds(0.5, {0: 0, 1: 1}) if folded else None)
    names = [name.removesuffix("_low") for name in wide if name.endswith("_low")]
    found = [
        *(wide[[name, f"{name}_low", f"{name}_high"]] for name in names),
        by_class[["value", "low", "high"]],
        contrasts[["difference", "low", "high"]],
    ]
    for rows in found:
        value, low, high = rows.to_numpy(float).T
        assert (np.isnan(low) == np.isnan(high)).all()
        assert ((low <= value) & (value <= high))[~np.isnan(low)].all()
    for name in names:
        assert name not in BIASED or wide[f"{name}_low"].isna().all()
    assert wide["accuracy_low"].notna().any()
