"""The number of steps, found on real training images."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from sonosynth.errors import UserError
from sonosynth.firewall import Origins
from sonosynth.tasks.classification import search
from sonosynth.tasks.classification.models import resolve
from sonosynth.tasks.classification.settings import RANDOM, Classifier

N = 200


@pytest.fixture
def images():
    """A cohort of two classes in pairs of one patient, half of it for training."""
    table = pd.DataFrame({"id": [f"{i}" for i in range(2 * N)], "label": np.where(np.arange(2 * N) % 4 < 2, "a", "b")})
    table["sha256"], table["group"] = "sha" + table["id"], [f"patient {i // 2}" for i in range(2 * N)]
    cohort = SimpleNamespace(
        pixels=np.arange(2 * N, dtype=np.uint16)[:, None, None].astype(np.uint8).repeat(32, 1).repeat(32, 2),
        rows=lambda ids: ids.astype(int).to_numpy(), origins=lambda rows: Origins.of_images(f"sha{i}" for i in rows),
    )  # fmt: skip
    split = SimpleNamespace(train=table[:N], classes=["a", "b"], scored=frozenset(table["sha256"][N:]))
    return cohort, split


def found(images, monkeypatch, tmp_path, right):
    """Steps found if the share `right` of the images is recognised after so many steps; and what was trained."""
    trainings = []

    def predict(training, scored, *, recipe, arm, seed):
        trainings.append((training, scored))
        truth = (scored[:, 0, 0] % 4 >= 2).astype(int)  # the grey level is the image's number
        wrong = np.random.default_rng(recipe.steps).permutation(len(truth)) >= round(right[recipe.steps] * len(truth))
        return np.eye(2)[np.where(wrong, 1 - truth, truth)] * 0.8 + 0.1

    monkeypatch.setattr(search, "predict", predict)
    settings = Classifier(resolution=32, steps="auto")
    search.find_steps(
        search.Searching(settings, resolve(RANDOM), "fp32", 0, 1, 2), cohort=images[0], split=images[1], work=tmp_path
    )
    return json.loads((tmp_path / "about").read_text())["steps"], pd.read_csv(tmp_path / "table"), trainings


def test_the_fewest_steps_within_an_error_of_the_best_are_chosen(images, monkeypatch, tmp_path):
    steps, table, _ = found(images, monkeypatch, tmp_path, {100: 0.5, 200: 0.925, 400: 0.95, 800: 0.925})
    assert steps == 200  # five images of 40 differ: an error of about 0.06
    assert list(table["steps"]) == list(search.LADDER)
    assert list(table["chosen"]) == [False, True, False, False]
    assert set(table["draw"]) == {1} and set(table["split"]) == {2}
    steps, *_ = found(images, monkeypatch, tmp_path, {100: 0.5, 200: 0.75, 400: 0.95, 800: 0.925})
    assert steps == 400


def test_no_patient_is_on_both_sides_and_no_scored_image_is_seen(images, monkeypatch, tmp_path):
    *_, trainings = found(images, monkeypatch, tmp_path, dict.fromkeys(search.LADDER, 0.7))
    assert len(trainings) == len(search.LADDER) * search.SEEDS
    for training, scored in trainings:
        trained, held_out = ({int(x) // 2 for x in images[:, 0, 0]} for images in (training.images, scored))
        assert not trained & held_out
        assert len(training.images) + len(scored) == N
        assert len(scored) == pytest.approx(N / 5, abs=2)
        assert training.origins.all() == {f"sha{x}" for x in training.images[:, 0, 0]}


def test_a_scored_image_among_the_training_images_is_refused(images, monkeypatch, tmp_path):
    images[1].scored = frozenset({"sha3"})
    with pytest.raises(UserError, match="the images that choose the number of steps"):
        found(images, monkeypatch, tmp_path, dict.fromkeys(search.LADDER, 0.7))


def test_too_few_groups_of_a_class_are_named(images, monkeypatch, tmp_path):
    images[1].train = images[1].train[lambda x: (x["label"] == "a") | (x["id"].astype(int) < 12)]
    with pytest.raises(UserError, match=r"classifier\.steps=auto.*3 group\(s\) of b for 5 folds"):
        found(images, monkeypatch, tmp_path, dict.fromkeys(search.LADDER, 0.7))
