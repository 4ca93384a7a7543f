"""An arm that chooses among others goes by inner images alone, and trains the one that it chose anew."""

import json

import numpy as np
import pandas as pd
import pytest

from sonosynth.artefacts import SEALED, Artefact, CohortImages, Split
from sonosynth.errors import UserError
from sonosynth.evidence.scores import macro_f1
from sonosynth.jobs import Made
from sonosynth.tasks.classification import choice as choices
from sonosynth.tasks.classification.choice import Anew, Choosing, choose, train_chosen

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
    """The choice among candidates, as a job made it."""
    split, cohort, _ = block
    choose(SETTINGS, cohort=cohort, split=split, candidates=tuple(candidates), work=work)
    (work / "table").rename(work / "choice.csv")
    return Artefact(Made("choice", {"table": work / "choice.csv"}, {}, "", 0, 0))


def test_the_best_on_inner_images_is_chosen_whatever_the_others_do_on_the_scored_ones(block, tmp_path):
    rng, (*_, trained) = np.random.default_rng(0), block
    skills = {"lucky": (5, 0.2), "steady": (0, 1.5), "plain": (5, 0.5)}  # on scored images, and on inner ones
    candidates = [trained(arm, seed, skill, rng) for arm, skill in skills.items() for seed in (0, 1)]
    choice = chosen(block, candidates, tmp_path).table()
    assert list(choice["candidate"]) == list(skills) and list(choice["chosen"]) == [False, True, False]
    assert (choice[["arm", "draw", "split", "generator"]] == ["best", 1, 2, 5]).all(axis=None)
    inner = [macro_f1(one.table("inner"))[0] for one in candidates]
    assert choice["score"].to_numpy() == pytest.approx(np.mean(np.reshape(inner, (3, 2)), axis=1))


def test_the_chosen_arm_is_trained_with_its_own_sets_copies_and_critics(block, tmp_path, monkeypatch):
    rng, (split, cohort, trained) = np.random.default_rng(0), block
    candidates = [trained(arm, 0, (0, skill), rng) for arm, skill in (("x", 0.2), ("y", 3), ("z", 0.2))]
    asked = {}
    monkeypatch.setattr(choices, "train", lambda settings, **needs: asked.update(needs, settings=settings))
    anew = Anew({"x": 1, "y": 2, "z": 3}, {"x": (0,), "y": (2, 0), "z": (1,)}, {"x": (), "y": (1, 0), "z": ()})
    needs = dict(sets=("a", "b", "c"), critics=("of a", "of c"), cohort=cohort, split=split, work=tmp_path)
    choice = chosen(block, candidates, tmp_path)
    train_chosen(anew, choice=choice, copies=("copies a", "copies b", "copies c"), **needs)
    assert asked["settings"] == 2 and asked["sets"] == ("c", "a") and asked["copies"] == ("copies c", "copies a")
    assert asked["critics"] == ("of c", "of a")
    train_chosen(anew, choice=choice, **needs)
    assert asked["copies"] == () and asked["search"] is None


def test_of_equal_candidates_the_first_is_chosen(block, tmp_path):
    *_, trained = block
    twice = [trained(arm, 0, (1, 1), np.random.default_rng(0)) for arm in ("z", "a")]
    assert list(chosen(block, twice, tmp_path).table()["chosen"]) == [True, False]


@pytest.mark.parametrize("wrong", ["validation", SEALED])
def test_images_that_are_scored_do_not_choose(block, tmp_path, wrong):
    rng, (split, cohort, trained) = np.random.default_rng(0), block
    candidates = (trained("x", 0, (1, 1), rng), trained("y", 0, (1, 1), rng, wrong))
    with pytest.raises(UserError, match=f"the choice of the arm best: was made from {SIDES[wrong]} validation image"):
        choose(SETTINGS, cohort=cohort, split=split, candidates=candidates, work=tmp_path)


def test_a_choice_among_arms_without_any_effect_has_none_and_following_the_luckiest_training_would(block, tmp_path):
    """Every training has luck of its own, on inner and scored images alike; so has the one that is trained anew."""
    rng, (*_, trained) = np.random.default_rng(1), block
    anew, followed = [], []
    for _ in range(40):
        luck = rng.normal(0.5, 0.3, 6)
        made = [trained(arm, 0, (skill, skill), rng) for arm, skill in zip("wxyz", luck, strict=False)]
        choice = chosen(block, made, tmp_path).table()
        scores = [macro_f1(one.table())[0] for one in made]
        reference, again = (macro_f1(trained(arm, 1, (luck[n], 0), rng).table())[0] for arm, n in (("r", 4), ("w", 5)))
        anew.append(again - reference)  # whichever is chosen, its new training is one like any other
        followed.append(scores[int(np.flatnonzero(choice["chosen"])[0])] - reference)
    errors = [3 * np.std(gains) / np.sqrt(len(gains)) for gains in (anew, followed)]
    assert abs(np.mean(anew)) < errors[0] and np.mean(followed) > errors[1]
