"""Weights of synthetic images: who judges them, and what images that carry nothing get."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from sonosynth import seeding
from sonosynth.artefacts import Artefact
from sonosynth.cohort.partition import folds
from sonosynth.errors import UserError
from sonosynth.firewall import Origins
from sonosynth.jobs import Made
from sonosynth.synthesis.settings import Balance
from sonosynth.tasks.classification import critics
from sonosynth.tasks.classification.classifier import Recipe, predict
from sonosynth.tasks.classification.models import resolve
from sonosynth.tasks.classification.search import ARM
from sonosynth.tasks.classification.settings import Classifier
from sonosynth.tasks.training_set import TrainingSet

N = 24  # real training images of each of two classes
STEPS = 40


def pictures(labels, seed):
    """Noise; those of class 1 have a bright band."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 60, (len(labels), 32, 32)).astype(np.uint8)
    images[np.asarray(labels) == 1, 8:24] += 120
    return images


@pytest.fixture
def study():
    labels = np.repeat([0, 1], N)
    train = pd.DataFrame({"id": [str(i) for i in range(2 * N)], "label": np.array(["a", "b"])[labels]})
    train["sha256"], train["group"] = [f"sha {i:02d}" for i in range(2 * N)], ""
    cohort = SimpleNamespace(
        pixels=pictures(labels, 0), rows=lambda ids: ids.astype(int).to_numpy(),
        origins=lambda rows: Origins.of_images(f"sha {i:02d}" for i in rows),
    )  # fmt: skip
    return cohort, SimpleNamespace(train=train, classes=["a", "b"], scored=frozenset({"sha scored"}))


@pytest.fixture
def how(tiny_classifier):
    """How critics are trained."""
    return Classifier(model=str(tiny_classifier), steps=STEPS, batch=8, resolution=32, learning_rate=0.02)


def train(study, how, tmp_path):
    """The critics of a study, as a job makes them."""
    settings = critics.Training(how, Balance(), resolve(how.model), "fp32", 0)
    cohort, split = study
    critics.train_critics(settings, cohort=cohort, split=split, work=tmp_path)
    return Artefact(Made("critics", {role: tmp_path / role for role in ("weights", "about")}, {}, "", 0.0, 0))


def judged(study, made, how, tmp_path, pixels, labels):
    origins = Origins(frozenset(), (frozenset(),) * len(labels))
    rows = pd.DataFrame({"file_name": [f"{i}.png" for i in range(len(labels))], "label": np.array(["a", "b"])[labels]})
    images = SimpleNamespace(pixels=pixels, rows=rows, origins=origins)
    settings = critics.Judging("sd", resolve(how.model), 32, 1, 2)
    critics.judge_set(settings, split=study[1], images=images, critics=made, work=tmp_path)
    return pd.read_csv(tmp_path / "table")


def test_images_that_show_their_label_count_and_those_that_show_nothing_do_not(study, how, tmp_path):
    labels, made = np.tile([0, 1], 15), train(study, how, tmp_path)
    found = judged(study, made, how, tmp_path, pictures(labels, 1), labels)
    assert found["recognised"].all() and found["confidence"].mean() > 0.8
    assert set(zip(found["set"], found["draw"], found["split"], strict=True)) == {("sd", 1, 2)}
    alike = pictures(np.ones(30), 2)  # all show the same, whatever their label
    without = judged(study, made, how, tmp_path, alike, labels)
    assert without["confidence"].mean() < 0.05
    assert without["recognised"].mean() == 0.5
    swapped = judged(study, made, how, tmp_path, pictures(1 - labels, 3), labels)
    assert not swapped["recognised"].any() and swapped["confidence"].max() == 0


@pytest.mark.parametrize("noise", [True, False], ids=["noise", "labels drawn by chance"])
def test_a_set_that_carries_nothing_weighs_next_to_nothing(study, how, tmp_path, noise):
    """Half of its images are taken for their label, by chance: that must not make them count."""
    labels, made = np.tile([0, 1], 100), train(study, how, tmp_path)
    rng = np.random.default_rng(5)
    shown = rng.permutation(labels)
    images = rng.integers(0, 256, (200, 32, 32)).astype(np.uint8) if noise else pictures(shown, 4)
    found = judged(study, made, how, tmp_path, images, labels)
    assert found["confidence"].mean() < 0.05
    if not noise:
        assert 0.4 < found["recognised"].mean() < 0.6
        half = judged(study, made, how, tmp_path, pictures(np.where(rng.random(200) < 0.5, labels, shown), 6), labels)
        right = half["confidence"][half["recognised"]].mean()
        assert right == pytest.approx(2 / 3, abs=0.15)  # of three such images, one shows its label by chance


def test_no_critic_has_seen_what_an_image_was_made_from(study, how, tmp_path, monkeypatch):
    """Critics that know by heart whom they were trained on: a variation must get the verdict of one that doesn't."""
    trained = []
    monkeypatch.setattr(critics, "train", lambda training, **_: trained.append(training.origins.all()))
    monkeypatch.setattr(critics.stored, "save", lambda classifiers: b"")
    known_to = train(study, how, tmp_path).json("about")["folds"]
    assert len(trained) == critics.FOLDS and set.intersection(*map(set, trained)) == set()
    numbered = [
        SimpleNamespace(probabilities=lambda images, n=n: np.full((len(images), 2), [n, 0.0])) for n in range(3)
    ]
    opened = critics.Critics(numbered, known_to, 32)
    sources = [f"sha {i:02d}" for i in range(2 * N)]
    found = opened.probabilities(study[0].pixels, [frozenset([name]) for name in sources])[:, 0]
    for source, number in zip(sources, found, strict=True):
        assert source not in trained[int(number)]
    from_noise = opened.probabilities(study[0].pixels, [frozenset()] * (2 * N))
    assert set(from_noise[:, 0]) == {1.0}  # the mean of 0, 1 and 2
    known = [frozenset(name for name, fold in known_to.items() if fold < 2)]
    assert opened.probabilities(study[0].pixels[:1], known)[0, 0] == 1.0  # all know it: their mean again
    assert opened.probabilities(study[0].pixels[:0], []).shape == (0, 2)


def test_stored_critics_say_what_they_said_right_after_their_training(study, how, tmp_path):
    """Trained and asked in one go, as a reference: kept as files they must not differ in a bit."""
    cohort, split = study
    labels, hashes, groups = (list(split.train[name]) for name in ("label", "sha256", "group"))
    fold = np.array(folds(labels, hashes, groups, 3, seeding.derive(0, "critics")))
    made, codes = pictures(np.tile([0, 1], 5), 1) // 2, np.repeat([0, 1], N)
    recipe, found = Recipe(how, resolve(how.model), 2, STEPS, "fp32"), []
    for number in range(3):
        seen = np.flatnonzero(fold != number)
        training = TrainingSet.of_real(cohort.pixels[seen], codes[seen], 2, cohort.origins(seen))
        found.append(predict(training, made, recipe=recipe, arm=ARM, seed=seeding.derive(0, "critics", number)))
    table = judged(study, train(study, how, tmp_path), how, tmp_path, made, np.tile([0, 1], 5))
    assert np.array_equal(table["probability"], np.mean(found, axis=0)[np.arange(10), np.tile([0, 1], 5)])


def test_confidence_is_how_much_more_an_image_shows_of_its_label_than_others_do():
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.4, 0.6]])
    found = critics.confidence(probabilities, np.array([0, 0, 1, 1]))
    first, second = (0.75 - 0.3) / 0.75, (0.7 - 0.25) / 0.7
    assert found[:2] == pytest.approx([(0.9 - 0.3) / 0.7 * first, (0.6 - 0.3) / 0.7 * first])
    assert found[2:] == pytest.approx([(0.8 - 0.25) / 0.75 * second, (0.6 - 0.25) / 0.75 * second])
    assert critics.confidence(probabilities[:2], np.array([0, 0])) == pytest.approx([0.8 / 3, 0.2 / 3])


def test_scored_images_have_no_part_in_weights_and_few_images_give_none(study, how, tmp_path):
    cohort, split = study
    split.scored = frozenset({"sha 03"})
    with pytest.raises(UserError, match="the training images of the critics: was made from 1"):
        train(study, how, tmp_path)
    split.scored, split.train = frozenset(), split.train.iloc[N - 2 :]
    with pytest.raises(UserError, match=r"2 group.s. of a for 3 folds"):
        train((cohort, split), how, tmp_path)
