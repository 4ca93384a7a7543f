"""Tables of scores and differences: intervals hold their estimates, and the truth as often as they say."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from evidence_examples import CLASSES, drawn, predictions
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sonosynth.evidence.blocks import arranged, scored
from sonosynth.evidence.scores import macro_f1, mean_auc, recall
from sonosynth.evidence.tables import COMPARED, differences, interval, scores


def tables(frame, groups=None):
    """The tables of scores, and of the differences of all arms from the first."""
    design = arranged(frame, groups or {})
    arms = list(design.runs)
    wide, classes = scores(design, dict.fromkeys(arms, 5))
    return wide.set_index("arm"), classes, differences(design, {arm: arms[:1] for arm in arms[1:]}, 0.0)


def test_the_table_has_means_over_seeds_and_says_what_did_not_run():
    labels, _ = drawn()
    runs = [predictions("real", labels, drawn(seed=0, skill=s)[1], seed) for seed, s in enumerate((1, 2))]
    wide, classes = scores(arranged(pd.concat(runs), {}), {"real+sd": 7, "real": 5})
    got = wide.set_index("arm")
    right = [p["label"] == p.filter(like="p_").idxmax(axis=1).str[2:] for p in runs]
    assert list(got.index) == ["real+sd", "real"]
    assert got.loc["real", "accuracy"] == pytest.approx(np.mean(right))
    assert got.loc["real", "accuracy_sd"] == pytest.approx(np.std([x.mean() for x in right], ddof=1))
    assert got.loc["real", "accuracy_low"] < np.mean(right) < got.loc["real", "accuracy_high"]
    assert got.loc["real+sd", "status"] == "not run" and np.isnan(got.loc["real+sd", "accuracy"])
    row = classes[(classes["class"] == "malignant") & (classes["metric"] == "recall")].iloc[0]
    assert row["value"] == pytest.approx(np.mean([x[labels == 1].mean() for x in right]))
    assert row["low"] < row["value"] < row["high"] and set(classes["arm"]) == {"real"}


@pytest.mark.parametrize(
    "names",
    [
        ("low", "high", "sd"),
        ("nan", "None", "NA"),
        ("1", "01", "1e5"),
        ("all", "True", "arm"),
        ("f1", "f1_low", "p_f1"),
    ],
    ids=str,
)
def test_what_a_class_is_called_changes_no_score(names):
    def found(classes):
        labels, probabilities = drawn()
        parts = {"real": probabilities, "real+sd": drawn(skill=2)[1]}
        return tables(pd.concat([predictions(arm, labels, p, classes=classes) for arm, p in parts.items()]))

    renamed = dict(zip(CLASSES, names, strict=True))
    for one, other in zip(found(CLASSES), found(names), strict=True):
        if "class" in one:
            one["class"] = one["class"].map(lambda name: renamed.get(name, name))
        pd.testing.assert_frame_equal(one, other)


def test_intervals_know_of_groups():
    labels, probabilities = drawn()
    once = predictions("real", labels, probabilities)
    twice = pd.concat([once, once.assign(id="again " + once["id"])])
    pairs = {id: f"pair {id[-3:]}" for id in twice["id"]}
    rows = [tables(frame, groups)[0].loc["real"] for frame, groups in ((once, {}), (twice, pairs), (twice, {}))]
    widths = [row["accuracy_high"] - row["accuracy_low"] for row in rows]
    assert widths[1] == pytest.approx(widths[0], rel=0.02)
    assert widths[2] < 0.75 * widths[1]


@pytest.mark.parametrize(("seeds", "folds"), [(1, 1), (3, 1), (1, 5)])
def test_intervals_hold_the_truth_as_often_as_they_say(seeds, folds):
    rng, held = np.random.default_rng(0), []
    for _ in range(120):
        labels = rng.permutation(np.repeat([0, 1, 2], [75, 45, 30]))
        fold, common = np.arange(150) % folds, rng.normal(0, 1, (150, 3)) + 2 * np.eye(3)[labels]
        parts = []
        for seed in range(seeds):
            bias = rng.normal(0, 0.5 if seeds * folds > 1 else 0, (folds, 3))[fold]
            logits = common + bias + rng.normal(0, 0.5, (150, 3))
            p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            parts.append(predictions("real", labels, p, seed, folds=fold))
        design = arranged(pd.concat(parts), {})
        for score in (macro_f1, mean_auc, partial(recall, of=2)):
            own = scored(design, "real", score)
            held.append([own.value, *interval(design, own, 10)])
    for values, low, high in np.array(held).reshape(-1, 3, 3).transpose(1, 2, 0):
        coverage = ((low <= values.mean()) & (values.mean() <= high)).mean()
        assert coverage >= 0.9


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_score_of_1_has_an_interval_below_it(seeds):
    labels = np.repeat([0, 1, 2], [40, 20, 8])
    wide, classes, _ = tables(pd.concat([predictions("real", labels, np.eye(3)[labels], s) for s in range(seeds)]))
    assert (wide.loc["real", "f1"], wide.loc["real", "f1_high"]) == (1, 1)
    of_class = classes[classes["metric"] == "recall"].set_index("class")
    # Wilson's interval of 8 of 8, with the quantile of t for 68 groups of one image.
    assert of_class.loc[CLASSES[2], "low"] == pytest.approx(1 / (1 + 1.996**2 / 8), abs=1e-3)


def trained(rng, k, n, shown):
    """Labels (n,) of `shown` of k classes; and a function that draws probabilities (n, k), most of them tied."""
    labels = rng.integers(0, shown, n)

    def probabilities():
        if rng.random() < 0.2:
            return np.tile(rng.dirichlet(np.ones(k)), (n, 1))  # the same for every image
        coarse = np.round(rng.dirichlet(np.ones(k) / 2, n) + 0.3 * rng.random() * np.eye(k)[labels], 1) + 0.05
        return coarse / coarse.sum(axis=1, keepdims=True)

    return labels, probabilities


@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(2, 20), st.integers(1, 3), st.booleans())
@example(0, 3, 12, 2, True)
@settings(deadline=None, derandomize=True, max_examples=15)
def test_every_interval_in_the_tables_holds_its_estimate(seed, k, n, runs, folded):
    rng = np.random.default_rng(seed)
    classes = [f"class {i}" for i in range(k)]
    labels, probabilities = trained(rng, k, n, rng.integers(1, k + 1))
    folds = np.arange(n) % 2 if folded else None
    frame = pd.concat(
        predictions(arm, labels, probabilities(), s, classes=classes, folds=folds)
        for arm in ("real", "a", "b") for s in range(runs)
    )  # fmt: skip
    wide, by_class, found = tables(frame, {f"{i:03d}": f"group {i // 3}" for i in range(0, n, 2)})
    names = [name.removesuffix("_low") for name in wide if name.endswith("_low")]
    rows = [wide[[name, f"{name}_low", f"{name}_high"]] for name in names]
    for values in (*rows, by_class[["value", "low", "high"]], found[["difference", "low", "high"]]):
        value, low, high = values.to_numpy(float).T
        assert (np.isnan(low) == np.isnan(high)).all()
        assert ((low <= value) & (value <= high))[~np.isnan(low)].all()
    shares = by_class[by_class["metric"] != "excess"]
    assert ((shares["low"].dropna() >= 0) & (shares["high"].dropna() <= 1)).all()
    assert wide["calibration_error_low"].isna().all() and wide["accuracy_low"].notna().all()
    assert set(found["metric"]) == set(COMPARED)
