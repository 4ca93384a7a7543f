"""How often verdicts are right, in a few simulated studies and in the stored result of many."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sonosynth.evidence import judge

ROOT = Path(__file__).parents[2]


@pytest.fixture
def simulated(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return import_module("simulated")


@pytest.fixture
def verdicts(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return import_module("verdicts")


@pytest.fixture
def stored():
    return pd.read_csv(ROOT / "docs" / "results" / "verdicts.csv")


def findings(simulated, gains, scatter, studies, seed):
    """The finding of each set in each study, and the mean difference of the first one with its standard error."""
    world, plan = simulated.World(counts=(120, 60, 40)), simulated.Plan(2, 5, real_seeds=2)
    rng, found, differences = np.random.default_rng(seed), [], []
    for _ in range(studies):
        table, groups = simulated.predictions(*simulated.trained(world, plan, scatter, gains, rng))
        verdict = judge(table, groups=groups).set_index("arm")
        found.append(verdict["finding"])
        differences.append(verdict.loc["set 1", "difference"])
    return pd.DataFrame(found), np.mean(differences), np.std(differences) / np.sqrt(studies)


def test_generators_that_scatter_are_not_taken_for_effects(simulated, monkeypatch):
    monkeypatch.setattr(simulated, "COHORTS", 20)
    small = simulated.World(counts=(120, 60, 40))
    none, some = simulated.calibrated(small, 5, 2.0, (0, 0.15), "f1", np.random.default_rng(1))
    found, difference, error = findings(simulated, [none, none], 2.0, 50, seed=2)
    assert abs(difference) < 3 * error + 0.005  # the calibration's own error
    assert found.isin(["improves", "harms"]).any(axis=1).sum() <= 6  # with a rate of 0.05, 7 or more in 4% of tests
    found, difference, error = findings(simulated, [some, none], 2.0, 20, seed=3)
    assert abs(difference - 0.15) < 3 * error + 0.005
    assert (found["set 1"] == "improves").sum() >= 14
    assert found[["comparator", "set 2"]].isin(["improves", "harms"]).any(axis=1).sum() <= 3


def test_simulated_runs_differ_as_stated(simulated):
    world, rng = simulated.World(), np.random.default_rng(0)
    pooled, between, of_image = [], [], []
    for _ in range(12):
        at, arms = simulated.trained(world, simulated.Plan(real_seeds=1), 0.0, [0], rng)
        pooled.append([simulated.scores(at, arms["real"], score).item() for score in ("f1", "auc")])
        at, arms = simulated.trained(world, simulated.Plan(folds=1, real_seeds=8), 0.0, [0], rng)
        between.append(simulated.scores(at, arms["real"], "f1").var(ddof=1))
        right = arms["real"].argmax(axis=-1)[0, 0] == at.labels
        of_image.append(np.corrcoef(right)[np.triu_indices(8, 1)].mean())
    assert np.mean(pooled, axis=0) == pytest.approx([0.755, 0.930], abs=0.015)
    assert np.sqrt(np.mean(between)) == pytest.approx(0.037, abs=0.006)
    assert np.mean(of_image) == pytest.approx(0.37, abs=0.06)


def test_the_documented_tables_are_those_of_the_stored_result(verdicts, stored):
    text = (ROOT / "docs" / "verdicts.md").read_text(encoding="utf-8")
    tables = [table.strip() for table in verdicts.tables(stored).split("\n\n")]
    assert len(tables) == 7
    assert all(table in text for table in tables)


def test_everything_planned_was_simulated_and_nothing_is_surely_wrong_more_often_than_said(verdicts, stored):
    cells = pd.DataFrame(list(verdicts.cells()))
    assert len(stored.merge(cells)) == len(stored) == len(cells)
    known = (stored["design"] == verdicts.ONE_SPLIT) & (stored["world"] == verdicts.FOLDS_MATTER)  # said in the text
    assert (stored["false_low"][~known] <= 0.05).all()
    at_the_margin = stored["others"] > 0
    assert at_the_margin.sum() == 6 and (stored["irrelevant_low"][at_the_margin] <= 0.05).all()
    none = stored[stored["gain"] == 0]
    assert (none["difference"].abs() < 4 * none["error"] + 0.005).all()  # the calibration's own error


def test_what_is_said_of_an_arm_that_chooses(verdicts, stored):
    text = " ".join((ROOT / "docs" / "verdicts.md").read_text(encoding="utf-8").split())
    cells = stored[stored["gain"].isin([0, 0.05])].set_index(["design", "gain"]).sort_index()
    none, best, named = (
        cells.loc[key] for key in ((verdicts.BEST, 0), (verdicts.BEST, 0.05), (verdicts.PRIMARY, 0.05))
    )

    def told(shares):
        return f"{100 * shares.min():.3g} to {100 * shares.max():.2g}%"

    assert f"find one falsely in {told(none['false'])}" in text
    assert "has {:.3f} to {:.3f}, as".format(*best["difference"].agg(["min", "max"])) in text
    assert f"found in {told(best['improves'])} of studies, but in {told(named['improves'])} if that set" in text


def test_the_set_that_is_chosen_is_the_best_on_inner_images_alone(simulated):
    """A set whose gain is large is chosen in every block; without gains, what is chosen is no better than the rest."""
    world, plan, rng = simulated.World(counts=(120, 60, 40)), simulated.Plan(2, 5), np.random.default_rng(3)
    at, arms = simulated.trained(world, plan, 0.0, [3.0, 0.0, 0.0], rng, chosen=0.0)
    assert len(at.labels) == arms["real"].shape[3] == 220
    score = {arm: simulated.scores(at, logits, "f1").mean() for arm, logits in arms.items()}
    assert score["chosen"] == pytest.approx(score["set 1"], abs=0.02) and score["set 2"] < score["chosen"] - 0.1
    gaps = []
    for _ in range(20):
        at, arms = simulated.trained(world, plan, 0.0, [0.0] * 3, rng, chosen=0.0)
        chosen, first = (simulated.scores(at, arms[arm], "f1").mean() for arm in ("chosen", "set 1"))
        gaps.append(chosen - first)
    assert abs(np.mean(gaps)) < 3 * np.std(gaps) / np.sqrt(20)


def test_the_readme_tells_the_same_shares(verdicts, stored):
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    sound = stored[
        (stored["design"] == verdicts.SOUND) & (stored["world"] == verdicts.BUSI) & (stored["score"] == "f1")
    ]

    def told(gain, share):
        of_gain = sound.loc[sound["gain"] == gain, share] * 100
        return f"{np.floor(of_gain.min()):.0f} to {np.ceil(of_gain.max()):.0f}%"

    assert f"{told(0, 'false')} of studies in which no set has an effect falsely find one" in text
    found = f"is found in {told(0.07, 'improves')} of studies"
    assert f"a true gain of 0.07 in macro F1 over real images and the simple baseline {found}" in text
    assert f"one of 0.03 in {told(0.03, 'improves')}." in text
    primary = stored[(stored["design"] == verdicts.PRIMARY) & (stored["gain"] > 0)].set_index(["scatter", "gain"])
    alone = sound[sound["gain"] > 0].set_index(["scatter", "gain"])["improves"]
    assert (primary["improves"] >= alone[primary.index]).all()
