"""An arm that chooses among others goes by inner images alone, and has the predictions of the one that it chose."""

import json

import numpy as np
import pandas as pd
import pytest

from sonosynth.artefacts import SEALED, Artefact, CohortImages, Split
from sonosynth.errors import UserError
from sonosynth.evidence.scores import macro_f1
from sonosynth.jobs import Made
from sonosynth.tasks.classification.choice import Choosing, choose, follow

CLASSES = ("a", "b")
SETTINGS = Choosing("best", 1, 2, "5")
SIDES = {"train": 4, "inner": 40, "validation": 60, SEALED: 10}


@pytest.fixture
def block(tmp_path):
    """The split and the cohort of one block, and a function that makes what the trainings of an arm made."""
    sides = np.repeat(list(SIDES), list(SIDES.values()))
    names = [f"{i:03d}" for i in range(len(sides))]
    rows = pd.DataFrame({"id": names, "sha256": [f"hash {name}" for name in names], "split": sides, "excluded": ""})
    rows["label"] = np.resize(CLASSES, len(rows))
    rows.to_csv(tmp_path / "split.csv", index=False)
    split = Split(Made("split", {"table": tmp_path / "split.csv"}, {}, "", 0, 0))
    cohort = CohortImages(Made("cohort", {"images": tmp_path / "split.csv"}, {}, "", 0, 0))

    def trained(arm, seed, skill, rng, wrong="inner"):
        """Classifiers whose logit of the right class is normal around `skill`, with deviation 1, for each side."""
        places = {}
        for role, side in (("table", "validation"), ("hidden", SEALED), ("inner", wrong)):
            own = rows[rows["split"] == side]
            right = 1 / (1 + np.exp(-rng.normal(skill[role == "inner"], 1, len(own))))
            about = {"arm": arm, "draw": 1, "split": 2, "generator": "5", "seed": seed}
            found = pd.DataFrame(about, own.index).join(own[["id", "label"]])
            for name in CLASSES:
                found[f"p_{name}"] = np.where(own["label"] == name, right, 1 - right)
            places[role] = tmp_path / f"{arm} {seed} {role}.csv"
            found.to_csv(places[role], index=False)
        places["about"] = tmp_path / f"{arm} {seed}.json"
        hidden = pd.read_csv(places["hidden"], dtype={"id": str}).to_dict("split", index=False)
        places["about"].write_text(json.dumps({"arm": arm, "n_train": len(arm), "steps": 3, SEALED: hidden}))
        return Artefact(Made(f"classifiers/{arm}/{seed}", places, {}, "", 0, 0))

    return split, cohort, trained


def chosen(block, candidates, work):
    """The rows of choices.csv, of predictions.csv, and about, of an arm that chooses among candidates."""
    split, cohort, _ = block
    choose(SETTINGS, cohort=cohort, split=split, candidates=tuple(candidates), work=work)
    (work / "table").rename(work / "choice.csv")
    choice = Artefact(Made("choice", {"table": work / "choice.csv"}, {}, "", 0, 0))
    follow(SETTINGS, choice=choice, candidates=tuple(candidates), work=work)
    return choice.table(), pd.read_csv(work / "table", dtype=str), json.loads((work / "about").read_text())


def test_the_best_on_inner_images_is_followed_whatever_the_others_do_on_the_scored_ones(block, tmp_path):
    rng, (*_, trained) = np.random.default_rng(0), block
    skills = {"lucky": (5, 0.2), "steady": (0, 1.5), "plain": (5, 0.5)}  # on scored images, and on inner ones
    candidates = [trained(arm, seed, skill, rng) for arm, skill in skills.items() for seed in (0, 1)]
    choice, rows, about = chosen(block, candidates, tmp_path)
    assert list(choice["candidate"]) == list(skills) and list(choice["chosen"]) == [False, True, False]
    assert (choice[["arm", "draw", "split", "generator"]] == ["best", 1, 2, 5]).all(axis=None)
    inner = [macro_f1(one.table("inner"))[0] for one in candidates]
    assert choice["score"].to_numpy() == pytest.approx(np.mean(np.reshape(inner, (3, 2)), axis=1))
    theirs = pd.concat([pd.read_csv(one.place("table"), dtype=str) for one in candidates[2:4]])
    assert (rows["arm"] == "best").all() and theirs["arm"].eq("steady").all()
    assert rows.drop(columns="arm").equals(theirs.drop(columns="arm").reset_index(drop=True))
    hidden = pd.DataFrame(**about[SEALED])
    assert (about["arm"], about["n_train"], len(hidden)) == ("best", len("steady"), 2 * SIDES[SEALED])
    assert set(hidden["arm"]) == {"best"} and sorted(set(hidden["seed"])) == [0, 1]


def test_of_equal_candidates_the_first_is_chosen(block, tmp_path):
    *_, trained = block
    twice = [trained(arm, 0, (1, 1), np.random.default_rng(0)) for arm in ("z", "a")]
    assert list(chosen(block, twice, tmp_path)[0]["chosen"]) == [True, False]


@pytest.mark.parametrize("wrong", ["validation", SEALED])
def test_images_that_are_scored_do_not_choose(block, tmp_path, wrong):
    rng, (split, cohort, trained) = np.random.default_rng(0), block
    candidates = (trained("x", 0, (1, 1), rng), trained("y", 0, (1, 1), rng, wrong))
    with pytest.raises(UserError, match=f"the choice of the arm best: was made from {SIDES[wrong]} validation image"):
        choose(SETTINGS, cohort=cohort, split=split, candidates=candidates, work=tmp_path)


def test_a_choice_among_arms_without_any_effect_shows_none_on_the_scored_images(block, tmp_path):
    rng, (*_, trained) = np.random.default_rng(1), block
    blocks, arms, gains, flattered, planted = 60, "wxyz", [], [], []
    for _ in range(blocks):
        candidates = [trained(arm, 0, (0.5, 0.5), rng) for arm in arms]
        reference = trained("real", 0, (0.5, 0.5), rng)
        choice, rows, _ = chosen(block, candidates, tmp_path)
        rows = rows.astype({f"p_{name}": float for name in CLASSES})
        outer = macro_f1(reference.table())[0]
        gains.append(macro_f1(rows)[0] - outer)
        flattered.append(choice["score"].max() - macro_f1(reference.table("inner"))[0])
        planted.append(max(macro_f1(one.table())[0] for one in candidates) - outer)
    errors = 3 * np.std(gains) / np.sqrt(blocks)
    assert abs(np.mean(gains)) < errors < np.mean(flattered)
    assert np.mean(planted) > errors  # a choice by scored images would have shown
