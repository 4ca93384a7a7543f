"""Segmentation in one study: training, tables, verdicts, report; alone, and beside classification."""

import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from conftest import figures_of
from sonosynth.artefacts import CohortImages, Split, SyntheticSet
from sonosynth.cohort.mask_jobs import CohortMasks
from sonosynth.errors import UserError
from sonosynth.run import Study, reopen
from sonosynth.tasks.assembling import training_set

pytest.importorskip("monai")

ARMS = (
    "sets={sd: null, sd+ti: null, copies: {kind: copy, from: real, count: 4, mirror: true},"
    " variation: {from: real, adapter: sd+ti, strength: 0.3, count: 3}}",
    "arms={real+oversampling: null, real+classical+oversampling: {augmentation: classical, balance: oversample},"
    " real+classical+oversampling+copies: {augmentation: classical, balance: oversample, sets: [copies], share: 0.25},"
    " real+variation: {sets: [variation]}, real+mixup: {mixup: 0.2}}",
    "adapters.sd=null", "fidelity.measures=[features]", "classifier.seeds=[0]",
)  # fmt: skip
SEGMENTED = ["real", "real+classical+oversampling", "real+classical+oversampling+copies"]


@pytest.fixture(scope="module")
def both(settings, phantoms, tmp_path_factory):
    root = tmp_path_factory.mktemp("both") / "run"
    with figures_of("ablation", "segmentation"):
        Study(phantoms, settings(*ARMS, "tasks=[classification, segmentation]")).run(root, processes=False)
    return root


@pytest.fixture(scope="module")
def made(both):
    return {job.name: (job, status.made) for job, status in reopen(both).statuses(both)}


def test_arms_whose_sets_have_masks_are_segmented_and_every_validation_image_is_scored(both):
    rows = pd.read_csv(both / "evaluation" / "segmentation.csv")
    assert list(rows)[:9] == ["arm", "draw", "split", "generator", "seed", "id", "label", "dice", "hd95"]
    assert list(dict.fromkeys(rows["arm"])) == SEGMENTED
    cohort = pd.read_csv(both / "cohort.csv", dtype=str)
    validation = cohort[cohort["split"] == "validation"]
    for _, own in rows.groupby("arm"):
        assert sorted(own["id"]) == sorted(validation["id"])
        assert (own["dice"].isna() == (own["label"] == "normal")).all()
        assert (own["lesions"] == (own["label"] != "normal")).all()
        assert own["hd95"].max() <= 32 * np.sqrt(2)


def test_verdicts_say_by_which_score_and_both_tasks_share_the_error_rate(both):
    table = pd.read_csv(both / "evaluation" / "segmentation_table.csv").set_index("arm")
    assert list(table.index) == SEGMENTED and (table["status"] == "run").all()
    verdicts = pd.read_csv(both / "evaluation" / "segmentation_verdicts.csv")
    assert list(dict.fromkeys(verdicts["metric"])) == [
        "dice", "hd95", "sensitivity", "nothing_predicted", "false_per_image", "false_alarms"
    ]  # fmt: skip
    decisive = verdicts[verdicts["metric"] == "dice"].set_index(["arm", "against"])
    assert set(decisive.index) == {(arm, "real") for arm in SEGMENTED[1:]}
    for (arm, other), row in decisive.iterrows():
        assert row["difference"] == pytest.approx(table.loc[arm, "dice"] - table.loc[other, "dice"])
    classified = pd.read_csv(both / "evaluation" / "verdicts.csv")
    assert set(classified["metric"]) & {"dice"} == set() and "real+mixup" in set(classified["arm"])


def test_the_report_has_both_answers_and_says_what_was_not_segmented(both):
    page = (both / "report.html").read_text()
    assert "The answer: difference in macro F1" in page and "The answer: difference in Dice" in page
    assert 'id="segmentation"' in page and 'id="figure-outlines"' in page and 'id="figure-dice"' in page
    assert "Not segmented: real+variation, since a set of theirs has no masks." in page
    assert "Lesions were segmented by a U-Net" in page
    assert "share the error rate of 5%" in " ".join(page.split())
    pictures = pd.read_csv(both / "figures" / "pictures.csv")
    assert (pictures["figure"] == "outlines").any()


def test_copies_have_the_masks_of_their_sources_and_no_validation_mask_is_trained_on(both, made):
    job, _ = made["segmenters/real+classical+oversampling+copies/0"]
    cohort, masks = CohortImages(made["cohort"][1]), CohortMasks(made["masks"][1])
    split, copies = Split(made["split"][1]), SyntheticSet(made["synthetic/copies"][1])
    training = training_set(
        job.settings.name, job.settings.arm, 32, cohort=cohort, split=split, sets=(copies,), masks=masks
    )
    known = {image.tobytes(): mask for image, mask in zip(cohort.pixels, masks.squares, strict=True)}
    known |= {image[:, ::-1].tobytes(): mask[:, ::-1] for image, mask in zip(cohort.pixels, masks.squares, strict=True)}
    assert training.synthetic.sum() == 12 and copies.rows["mirrored"].any()
    for image, mask in zip(training.images, training.masks, strict=True):
        assert np.array_equal(known[image.tobytes()], mask)
    assert not training.origins.all() & split.scored
    variation = SyntheticSet(made["synthetic/variation"][1])
    with pytest.raises(UserError, match="variation: its images have no masks"):
        training_set("x", job.settings.arm, 32, cohort=cohort, split=split, sets=(variation,), masks=masks)


def test_masks_are_those_of_the_files(made, phantoms):
    cohort, masks = CohortImages(made["cohort"][1]), CohortMasks(made["masks"][1])
    assert masks.rows["known"].all() and masks.squares.shape == (len(cohort.images), 32, 32)
    for row, mask in zip(cohort.images.itertuples(), masks.squares, strict=True):
        with Image.open(phantoms / row.mask) as file:
            shares = np.asarray(file.convert("L").resize((32, 32), Image.Resampling.BOX)) / 255
        assert np.array_equal(mask, shares >= 0.5)


def test_a_set_may_bring_masks_of_its_own(both, made, tmp_path):
    folder = shutil.copytree(both / "synthetic" / "copies", tmp_path / "paired")
    rows = pd.read_csv(folder / "metadata.csv")
    names = [f"{name.removesuffix('.png')}_mask.png" for name in rows["file_name"]]
    for name in names[1:]:
        Image.fromarray(np.eye(32, dtype=np.uint8) * 255).save(folder / name)
    rows.assign(mask_file_name=["", *names[1:]]).to_csv(folder / "metadata.csv", index=False)
    own = made["synthetic/copies"][1]
    paired = SyntheticSet(type(own)(**{**vars(own), "places": {**own.places, "images": folder}}))
    assert paired.masks.shape == paired.pixels.shape
    assert not paired.masks[0].any() and all(np.array_equal(mask, np.eye(32)) for mask in paired.masks[1:])
    assert list(paired.masked) == [False] + [True] * (len(rows) - 1)
    assert SyntheticSet(own).masks is None


def test_a_training_that_is_repeated_gives_the_same_file(both, made):
    job, was = made["segmenters/real+classical+oversampling/0"]
    before = dict(was.files)
    (both / job.makes["table"]).unlink()
    reopen(both).run(both, processes=False)
    again = {other.name: status.made for other, status in reopen(both).statuses(both)}[job.name]
    assert dict(again.files) == before


def test_segmentation_alone(settings, phantoms, tmp_path):
    more = ("sets.variation=null", "arms.real+variation=null", "tasks=[segmentation]", "repeats.folds=2")
    root = tmp_path / "run"
    Study(phantoms, settings(*ARMS, *more)).run(root, processes=False)
    assert not (root / "evaluation" / "predictions.csv").exists() and not (root / "classifiers").exists()
    page = (root / "report.html").read_text()
    assert "The answer: difference in Dice" in page
    assert "difference in macro F1" not in page and "<dt>classifier</dt>" not in page
    rows = pd.read_csv(root / "evaluation" / "segmentation.csv")
    assert rows.groupby("arm")["id"].nunique().eq(23).all()


@pytest.mark.usefixtures("no_figures")
def test_images_without_a_mask_leave_segmentation_and_are_counted(settings, cohort_folder, tmp_path, capsys):
    for mask in [*sorted((cohort_folder / "benign").glob("*_mask*"))[:2], *(cohort_folder / "normal").glob("*_mask*")]:
        mask.unlink()
    more = ("tasks=[segmentation]", "masks.empty=[normal]", "repeats.folds=2")
    root = tmp_path / "run"
    Study(cohort_folder, settings(*ARMS[2:], *more, *FEWER)).run(root, processes=False)
    rows = pd.read_csv(root / "evaluation" / "segmentation.csv")
    images = rows.drop_duplicates("id")["label"].value_counts().to_dict()
    assert images == {"benign": 9, "malignant": 7, "normal": 5}
    assert "2 benign" in (root / "report.html").read_text() and "without a mask: 2 benign" in capsys.readouterr().err


FEWER = (
    "sets={sd: null, sd+ti: null}", "adapters={sd: null, sd+ti: null}",
    "arms={real+oversampling: null, real+classical+oversampling: {augmentation: classical, balance: oversample}}",
)  # fmt: skip


def test_a_cohort_without_masks_is_refused(planned, settings, cohort_folder, tmp_path):
    for mask in cohort_folder.rglob("*_mask*"):
        mask.unlink()
    with pytest.raises(UserError, match="no image has a mask that shows a lesion"):
        Study(cohort_folder, settings("tasks=[segmentation]")).statuses(tmp_path)
    with pytest.raises(UserError, match=r"masks.empty: the cohort has no class healthy"):
        planned("tasks=[segmentation]", "masks.empty=[healthy]")
    with pytest.raises(UserError, match=r"split.sealed: segmenters don't score"):
        planned("tasks=[segmentation]", "split.sealed=0.2")


def test_masks_that_are_all_black_are_refused(settings, cohort_folder, tmp_path):
    for mask in cohort_folder.rglob("*_mask*"):
        Image.new("L", (48, 48)).save(mask)
    with pytest.raises(UserError, match="has a mask that shows a lesion"):
        Study(cohort_folder, settings(*ARMS[2:], *FEWER, "tasks=[segmentation]")).run(tmp_path / "run", processes=False)


def test_a_study_that_classifies_has_no_jobs_of_segmentation(planned):
    assert not [name for name in planned() if "segment" in name or name == "masks"]
