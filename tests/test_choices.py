"""A whole study in which an arm chooses among others on inner images."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from conftest import figures_of, sign
from sonosynth.comparisons import comparisons
from sonosynth.errors import UserError
from sonosynth.jobs import State
from sonosynth.phantom import write_cohort
from sonosynth.run import Study, reopen
from sonosynth.settings import load

KIND = "balance: oversample"
SETS = (
    "sets={sd: null, sd+ti: null, a: {from: real, adapter: sd+ti, strength: 0.2, each: 1},"
    " b: {from: real, adapter: sd+ti, strength: 0.6, each: 1}}"
)
ARMS = (
    f"arms={{real+oversampling: {{{KIND}}}, low: {{{KIND}, sets: [a], share: 0.25}},"
    f" high: {{{KIND}, sets: [a], share: 0.5}}, strong: {{{KIND}, sets: [b], share: 0.25}}}}"
)
BEST = "arms.best={best_of: [low, high, strong]}"
CLASSIFIERS = ("classifiers/best/0", "classifiers/best/1")
FEW = ("adapters.sd=null", SETS, ARMS, "repeats.generators=2", "split.sealed=0.2", "fidelity.measures=[features]")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("choices") / "cohort"
    write_cohort(folder, {"benign": 16, "malignant": 13, "normal": 12}, seed=4, size=32)
    return folder


@pytest.fixture(scope="module")
def chosen(cohort, tmp_path_factory, settings):
    root = tmp_path_factory.mktemp("choices") / "run"
    with figures_of("curves"):
        Study(cohort, settings(*FEW, BEST)).run(root, processes=False)
    return root


def test_the_candidate_that_was_best_on_inner_images_is_trained_anew(chosen):
    choices = pd.read_csv(chosen / "evaluation" / "choices.csv")
    assert list(choices["candidate"]) == ["low", "high", "strong"] * 2
    assert list(choices["generator"]) == [0] * 3 + [1] * 3
    predictions = pd.read_csv(chosen / "evaluation" / "predictions.csv")
    jobs = {job.name: job for job, _ in reopen(chosen).statuses(chosen)}
    for generator, own in choices.groupby("generator"):
        (candidate,) = own["candidate"][own["chosen"]]
        assert own["score"].idxmax() == own.index[own["chosen"]].item()
        of = predictions[predictions["generator"] == generator].set_index(["seed", "id"])
        best, theirs = (of[of["arm"] == arm] for arm in ("best", candidate))
        assert best.index.equals(theirs.index) and not np.allclose(best["p_benign"], theirs["p_benign"])
        at = f"repeats/{generator}/" if generator else ""
        for number in (0, 1):
            anew = jobs[f"{at}classifiers/best/{number}"].settings.trainings[candidate]
            compared = jobs[f"{at}classifiers/{candidate}/{number}"].settings
            assert anew.seed != compared.seed
            assert replace(anew, seed=compared.seed, name=candidate, candidate=True) == compared


def test_inner_images_are_in_nothing_else_and_only_they_choose(chosen):
    split = pd.read_csv(chosen / "cohort.csv").set_index("id")["split"]
    side = {name: set(split.index[split == name]) for name in ("train", "inner", "validation")}
    assert all(side.values())
    inner = pd.read_csv(chosen / ".parts" / "predictions" / "low" / "0.inner.csv")
    assert set(inner["id"]) == side["inner"]
    assert not (chosen / ".parts" / "predictions" / "real" / "0.inner.csv").exists()
    sources = pd.read_csv(chosen / "synthetic" / "a" / "metadata.csv")["source"]
    assert set(sources) == side["train"]
    predictions = pd.read_csv(chosen / "evaluation" / "predictions.csv")
    assert set(predictions["id"]) <= side["validation"]


def test_it_is_judged_tabulated_and_shown(chosen):
    verdicts = pd.read_csv(chosen / "evaluation" / "verdicts.csv")
    assert set(verdicts["against"][verdicts["arm"] == "best"]) == {"real", "real+oversampling"}
    table = pd.read_csv(chosen / "evaluation" / "table.csv", index_col="arm")
    assert table["n_train"]["best"] == table["n_train"]["low"] and table["status"]["best"] == "run"
    page = (chosen / "report.html").read_text()
    assert "best is the candidate with the best macro F1 on the inner images" in page
    assert 'id="figure-curves"' in page and (chosen / "figures" / "curves.pdf").is_file()
    hidden = json.loads((chosen / ".parts" / "predictions" / "best" / "0.json").read_text())["sealed"]
    assert {row[hidden["columns"].index("arm")] for row in hidden["data"]} == {"best"}


def test_the_same_study_again_does_no_work(chosen):
    assert {status.state for _, status in reopen(chosen).statuses(chosen)} == {State.DONE}


def test_a_choice_by_scored_images_ends_the_run(chosen, tmp_path):
    root = tmp_path / "run"
    shutil.copytree(chosen, root)
    part = root / ".parts" / "predictions" / "low"
    shutil.copy(part / "0.csv", part / "0.inner.csv")
    sign(root, "classifiers/low/0")
    with pytest.raises(UserError, match="the choice of the arm best: was made from"):
        reopen(root).run(root, change=True, processes=False)


def test_without_a_choice_nothing_is_held_back_or_predicted_in_addition(cohort, settings, tmp_path):
    plans = [Study(cohort, settings(*FEW, *more)).statuses(tmp_path) for more in ((), (BEST,))]
    plain, choosing = ({job.name: job for job, _ in plan} for plan in plans)
    assert not plain["split"].settings.inner and choosing["split"].settings.inner
    assert choosing.keys() - plain.keys() == {
        *(f"{at}{kind}" for at in ("", "repeats/1/") for kind in ("choices/best", *CLASSIFIERS)), "choices"
    }  # fmt: skip
    assert "inner" not in plain["classifiers/low/0"].makes and "inner" in choosing["classifiers/low/0"].makes
    same = (plain["classifiers/real/0"].inputs({}), choosing["classifiers/real/0"].inputs({}))
    assert same[0] == same[1]


def test_it_has_to_beat_what_all_its_candidates_have_to_beat():
    arms = ("arms.mixed={mixup: 0.5, sets: [sd]}", "arms.mixup={mixup: 0.5}")
    cheap = "real+classical+oversampling"
    found = comparisons(load("paper", (), (*arms, "arms.best={best_of: [real+sd, real+sd+ti]}")))["best"]
    assert found.sets == ("sd", "sd+ti") and found.generated and not found.control
    assert found.without == "real" and found.against("real") == [cheap]
    found = comparisons(load("paper", (), (*arms, "arms.best={best_of: [real+sd, mixed]}")))["best"]
    assert found.without is None and found.against("real") == [cheap]
    plain = comparisons(load("paper", (), ("arms.best={best_of: [real+mixup, real+trivial]}",)))
    assert plain["best"].against("real") == [] and not plain["best"].generated
    assert plain["real+sd"].without == "real"  # and not the arm that chooses


@pytest.mark.parametrize(
    ("best", "said"),
    [
        ("{best_of: [real+sd, nothing]}", "arms.best: needs arms.nothing, which is not declared"),
        ("{best_of: [real+sd, best]}", "arms.best.best_of: best chooses among arms itself"),
        ("{best_of: [real+sd]}", "arms.best: best_of: needs two arms or more, each once"),
        ("{best_of: [real+sd, real+sd]}", "arms.best: best_of: needs two arms or more, each once"),
        ("{best_of: [real+sd, real+sd+ti], mixup: 0.1}", "arms.best: best_of: .* takes no further setting"),
        ("{best_of: [real+sd, real+sd+ti], seeds: [3]}", "arms.best: best_of: .* takes no further setting"),
    ],
)
def test_mistakes_are_named(best, said):
    with pytest.raises(UserError, match=said):
        load("paper", (), (f"arms.best={best}",))


def test_it_is_no_candidate_no_comparator_and_not_the_reference():
    best = "arms.best={best_of: [real+sd, real+sd+ti]}"
    with pytest.raises(UserError, match=r"arms\.other\.best_of: best chooses among arms itself"):
        load("paper", (), (best, "arms.other={best_of: [real+sd, best]}"))
    with pytest.raises(UserError, match=r"compare\.cheap: best adds synthetic images or has best_of"):
        load("paper", (), (best, "compare.cheap=best"))
    with pytest.raises(UserError, match="real is the arm that the others are compared with"):
        load("paper", (), ("arms.real={best_of: [real+sd, real+sd+ti]}",))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (("arms.best={best_of: [low, real+oversampling]}",), "real.oversampling use no generator, but the others do"),
        (("arms.low.seeds=[7]", BEST), r"the seeds of its arms differ \(low: \[7\], high: \[0, 1\]"),
        (("classifier.selection=inner", BEST), "the inner images would choose the epoch and the arm"),
        (("arms.low.balance=none", BEST), "low and high differ in more than synthetic images"),
        (
            ("arms.x={}", "arms.y={seeds: [0, 1]}", "arms.best={best_of: [x, y]}"),
            "one split makes one choice",
        ),
    ],
)
def test_what_can_not_be_compared_is_refused_before_anything_runs(cohort, settings, tmp_path, changes, said):
    with pytest.raises(UserError, match=said):
        Study(cohort, settings(*FEW, *changes)).statuses(tmp_path)
