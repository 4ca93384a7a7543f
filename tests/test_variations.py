"""Variations of training images in one study: several strengths, mirror images, other classes, and what arms do."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sonosynth.artefacts import Artefact, CohortImages, Split, SyntheticSet
from sonosynth.errors import UserError
from sonosynth.phantom import write_cohort
from sonosynth.run import Study, reopen
from sonosynth.synthesis import requests
from sonosynth.tasks.assembling import training_set

SETS = (
    "sets={sd: null, sd+ti: null, copies: {kind: copy, from: real, each: 2, mirror: true},"
    " variation: {from: real, adapter: sd+ti, strength: [0.3, 0.6], each: 2},"
    " mixed: {kind: between, from: real, adapter: sd+ti, strength: {from: 0.5, to: 0.7}, count: 10}}"
)
ARMS = (
    "arms={real+oversampling: {balance: oversample}, replaced: {balance: oversample, sets: [variation], replace: 0.5},"
    " mixed: {balance: oversample, sets: [mixed], share: 0.25},"
    " first: {balance: oversample, sets: [variation], share: 1, until: 0.5},"
    " sure: {balance: oversample, sets: [variation, copies], weight: confidence},"
    " known: {balance: oversample, sets: [variation], weight: threshold}}"
)
FEW = ("adapters.sd=null", SETS, ARMS, "classifier.seeds=[0]", "fidelity.measures=[features]")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, settings):
    folder = tmp_path_factory.mktemp("variations")
    write_cohort(folder / "cohort", {"benign": 11, "malignant": 8, "normal": 6}, seed=4, size=32)
    Study(folder / "cohort", settings(*FEW)).run(folder / "run", "evaluate", processes=False)
    return folder / "run"


@pytest.fixture(scope="module")
def handles(finished):
    made = {job.name: status.made for job, status in reopen(finished).statuses(finished)}
    return Split(made["split"]), CohortImages(made["cohort"])


def rows_of(finished, name):
    return pd.read_csv(finished / "synthetic" / name / "metadata.csv", keep_default_na=False)


def test_every_training_image_is_varied_at_every_strength(finished, handles):
    split, _ = handles
    rows = rows_of(finished, "variation")
    counts = rows.groupby("source")["strength"].apply(sorted)
    assert set(counts.index) == set(split.train["id"])
    assert all(strengths == [0.3, 0.6] for strengths in counts)
    assert set(zip(rows["strength"], rows["timestep"], strict=True)) == {(0.3, 300), (0.6, 600)}
    label = dict(zip(split.train["id"], split.train["label"], strict=True))
    assert (rows["label"] == rows["source"].map(label)).all()


def test_half_of_the_images_start_from_mirror_images(finished, handles):
    _, cohort = handles
    known = dict(zip(cohort.images["id"], cohort.pixels, strict=True))
    rows = rows_of(finished, "copies")
    assert 0.25 < rows["mirrored"].mean() < 0.75
    for file, source, mirrored in zip(rows["file_name"], rows["source"], rows["mirrored"], strict=True):
        image = np.asarray(Image.open(finished / "synthetic" / "copies" / file))
        assert np.array_equal(image, known[source][:, ::-1] if mirrored else known[source])


def test_between_classes_an_image_has_the_prompt_of_one_and_starts_from_another(finished, handles):
    split, _ = handles
    rows = rows_of(finished, "mixed")
    label = dict(zip(split.train["id"], split.train["label"], strict=True))
    assert (rows["source_label"] == rows["source"].map(label)).all()
    assert (rows["source_label"] != rows["label"]).all()
    assert all(own["source_label"].value_counts().max() == 5 for _, own in rows.groupby("label"))
    assert all(name in prompt for name, prompt in zip(rows["label"], rows["prompt"], strict=True) if name != "normal")
    assert sorted(set(rows["strength"])) == [0.5, 0.55, 0.6, 0.65, 0.7]
    assert rows.groupby(["label", "strength"]).size().eq(2).all()


def assembled(job, cohort, split, sets, **more):
    s = job.settings
    return training_set(s.name, s.arm, s.classifier.resolution, cohort=cohort, split=split, sets=sets, **more)


def test_labels_between_classes_are_those_of_both(finished, handles):
    split, cohort = handles
    made = {job.name: (job, status.made) for job, status in reopen(finished).statuses(finished)}
    job, _ = made["classifiers/mixed/0"]
    mixed = SyntheticSet(made["synthetic/mixed"][1])
    training = assembled(job, cohort, split, (mixed,))
    targets = training.targets[training.synthetic]
    assert targets.sum(axis=1) == pytest.approx(1) and (training.targets[~training.synthetic].max(axis=1) == 1).all()
    rows = mixed.rows[~mixed.flawed]
    for target, own in zip(targets, rows.itertuples(), strict=True):
        part = own.strength**0.5
        assert target[split.classes.index(own.label)] == pytest.approx(part)
        assert target[split.classes.index(own.source_label)] == pytest.approx(1 - part)
    assert np.array_equal(training.labels[training.synthetic], [split.classes.index(name) for name in rows["label"]])


def test_synthetic_images_weigh_what_critics_say(finished, handles):
    split, cohort = handles
    made = {job.name: (job, status.made) for job, status in reopen(finished).statuses(finished)}
    table = pd.read_csv(finished / "evaluation" / "critics.csv")
    assert sorted(set(table["set"])) == ["copies", "variation"]
    for arm, column in (("sure", "confidence"), ("known", "recognised")):
        job, _ = made[f"classifiers/{arm}/0"]
        names = [name.removeprefix("synthetic/") for name in job.needs["sets"]]
        sets = tuple(SyntheticSet(made[f"synthetic/{name}"][1]) for name in names)
        critics = tuple(Artefact(made[name][1]) for name in job.needs["critics"])
        training = assembled(job, cohort, split, sets, critics=critics)
        expected = np.concatenate(
            [
                table[table["set"] == name]
                .set_index("file_name")[column]
                .astype(float)[own.rows["file_name"][~own.flawed]]
                for name, own in zip(names, sets, strict=True)
            ]
        )
        assert training.targets[training.synthetic].sum(axis=1) == pytest.approx(expected)
        assert training.targets[~training.synthetic].sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("why", ["flaw", "weight"])
def test_a_class_that_lost_all_its_images_is_told_and_they_stay(finished, handles, tmp_path, why):
    """Flaws drop images; weights leave them in, with a weight of 0: then nothing of that class counts."""
    split, cohort = handles
    made = {job.name: (job, status.made) for job, status in reopen(finished).statuses(finished)}
    job = made["classifiers/known/0"][0]
    found = SyntheticSet(made["synthetic/variation"][1])
    said = pd.read_csv(finished / ".parts" / "critics" / "variation.csv").assign(recognised=True)
    of_class = found.rows["label"] == "normal"
    if why == "flaw":
        found.rows.loc[of_class, "flaw"] = "constant"
    else:
        said.loc[of_class.to_numpy(), "recognised"] = False
    said.to_csv(tmp_path / "table", index=False)
    critics = (Artefact(replace(made["critics/variation"][1], places={"table": tmp_path / "table"})),)
    arm = job.settings.arm
    for changes, lost in (
        ({"share": 0.5}, {"variation": ["normal"]}),
        ({"real": False}, {"variation": ["normal"]}),
        ({}, {}),
    ):
        arm = job.settings.arm.model_copy(update=changes)
        training = training_set("known", arm, 32, cohort=cohort, split=split, sets=(found,), critics=critics)
        assert training.lost == lost
        weights = training.targets[training.synthetic & (training.labels == split.classes.index("normal"))].sum(axis=1)
        assert len(weights) == (0 if why == "flaw" and not lost else of_class.sum())
        assert (weights == (why == "flaw")).all()


def test_every_arm_has_predictions_and_is_compared_with_the_same_arm_without_its_set(finished):
    verdicts = pd.read_csv(finished / "evaluation" / "verdicts.csv")
    for arm in ("replaced", "mixed", "first", "sure", "known"):
        assert "real+oversampling" in set(verdicts["against"][verdicts["arm"] == arm])
    table = pd.read_csv(finished / "evaluation" / "table.csv", index_col="arm")
    assert set(table["status"]) == {"run"}


def test_images_stay_the_same_if_one_strength_is_given_as_before():
    sources = {"a": ["x", "y"]}
    plain = requests.from_images({"a": 5}, {"a": "p"}, 0, sources, 1)
    several = requests.from_images({"a": 5}, {"a": "p"}, 0, sources, 1, strengths=(0.3, 0.5), mirror=True)
    assert [r.seed for r in plain] == [r.seed for r in several]
    assert [r.strength for r in several] == [0.3, 0.3, 0.3, 0.5, 0.5]
    assert not any(r.mirrored or r.strength for r in plain)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (("arms.replaced.sets=[mixed]",), "arms.replaced.replace: the set mixed"),
        (("sets.mixed={count: null, each: 2}",), "sets.mixed.each: between starts from images of other classes"),
        (("sets.variation.count=3",), "sets.variation: each: replaces count"),
        (("sets.variation.strength=[0.3]",), "sets.variation.strength: a number from 0 to 1; several above 0"),
        (("sets.variation.strength={from: 0.5, to: 0.2}",), "sets.variation.strength: a number from 0 to 1"),
        (("sets.plain={mirror: true}",), "sets.plain: mirror: needs images to start from"),
        (("arms.first.until=1",), "arms.first: share: with 1 no real image is drawn"),
        (("arms.replaced.share=0.5",), "arms.replaced: synthetic images are drawn .share., or they replace"),
        (("arms.real+oversampling.replace=0.5",), "arms.real.oversampling: share, replace: need sets"),
        (("arms.replaced={replace: 0, until: 0.5}",), "arms.replaced: until: needs a share"),
    ],
)
def test_what_does_not_fit_is_refused(settings, phantoms, tmp_path, changes, said):
    with pytest.raises(UserError, match=said):
        Study(phantoms, settings(*FEW, *changes)).run(tmp_path / "run", processes=False)
