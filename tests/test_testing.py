"""A run's classifiers on another hospital's images, through the whole product."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from conftest import figures_of, sign
from sonosynth import disk, seeding
from sonosynth.artefacts import CohortImages, Split
from sonosynth.cohort.decoding import resize
from sonosynth.cohort.settings import table_of
from sonosynth.errors import UserError
from sonosynth.jobs import State
from sonosynth.machine import resolve
from sonosynth.phantom import write_cohort
from sonosynth.phantom.simulate import DEMO_PROBE, simulate
from sonosynth.run import Study, reopen
from sonosynth.tasks.classification import stored
from sonosynth.testing import FILE

FEW = (
    "arms={real+sd+img2img: null, real+sd+ti: null, real+sd+ti+img2img: null, real+classical+sd+ti: null}",
    "adapters.sd+ti=null", "sets.sd+img2img=null", "classifier.seeds=[0]", "test.arms=[real+sd]",
)  # fmt: skip
THEIRS = ("--labels", "benign=BENIGN", "--labels", "benign=fibroadenoma", "--labels", "malignant=carcinoma")
LABELS = THEIRS[1::2]
CHANGED = (".tested", "report.html", "figures/", "tests/", ".parts/tests", ".parts/summary.txt", ".jobs/tests",
           ".jobs/report.json", ".lock")  # fmt: skip
"""Where a test may write."""


@pytest.fixture(scope="module", autouse=True)
def few_figures():
    with figures_of("tests"):
        yield


@pytest.fixture(scope="module")
def tested(settings, phantoms, tmp_path_factory) -> Path:
    """A finished run that keeps the classifiers of two of its arms."""
    root = tmp_path_factory.mktemp("tested") / "run"
    Study(phantoms, settings(*FEW)).run(root, processes=False)
    return root


@pytest.fixture
def copy(tested, tmp_path) -> Path:
    return Path(shutil.copytree(tested, tmp_path / "run"))


@pytest.fixture
def theirs(tmp_path, phantoms) -> Path:
    """Another cohort, with labels of its own: some of an unknown class, one of a training image, and one unreadable."""
    root = tmp_path / "theirs"
    write_cohort(root, {"normal": 5, "benign": 8, "malignant": 5}, seed=8, size=56)
    (root / "benign").rename(root / "BENIGN")
    (root / "malignant").rename(root / "carcinoma")
    for folder, number in (("fibroadenoma", 7), ("artefact", 8)):
        (root / folder).mkdir()
        (root / "BENIGN" / f"benign ({number}).png").rename(root / folder / "0.png")
        (root / "BENIGN" / f"benign ({number})_mask.png").unlink()
    (root / "BENIGN" / "broken.png").write_bytes(b"no picture")
    return root


def made_in(root):
    return {job.name: status.made for job, status in reopen(root).statuses(root)}


def files_of(root):
    every = {file.relative_to(root).as_posix(): file for file in disk.files_below(root)}
    return {name: disk.sha256(file) for name, file in every.items() if not name.startswith(CHANGED)}


def test_what_is_kept_is_what_was_scored(tested, settings):
    """Each stored classifier says of the study's own validation images what predictions.csv says, but for rounding."""
    made, how = made_in(tested), settings(*FEW)
    split, cohort = Split(made["split"]), CohortImages(made["cohort"])
    predictions = pd.read_csv(tested / "evaluation" / "predictions.csv")
    files = {file.relative_to(tested).as_posix() for file in (tested / "classifiers").rglob("*.*")}
    assert files == {"classifiers/real/0.safetensors", "classifiers/real+sd/0.safetensors"}
    for arm in ("real", "real+sd"):
        [one] = stored.load(tested / "classifiers" / arm / "0.safetensors", 1, resolve(how).classifier, 3)
        images = resize(cohort.pixels[cohort.rows(split.validation["id"])], how.classifier.resolution)
        said = predictions[predictions["arm"] == arm]
        assert list(said["id"]) == list(split.validation["id"])
        assert np.allclose(one.probabilities(images), said.filter(like="p_"), atol=2e-3)


def test_keeping_classifiers_changes_nothing_else(tested, settings, phantoms, tmp_path, planned):
    without = (*FEW, "test.arms=[]")
    before, after = planned(*without), planned(*FEW)
    assert {name for name in after if before[name].inputs({}) != after[name].inputs({})} == {
        "classifiers/real/0", "classifiers/real+sd/0"
    }  # fmt: skip
    default = {name for name, job in planned(*FEW, "test.arms=null").items() if "weights" in job.makes}
    assert default == {"classifiers/real/0"}
    Study(phantoms, settings(*without)).run(tmp_path / "run", "evaluate", processes=False)
    for name in ("predictions", "table", "verdicts"):
        assert (tmp_path / "run" / "evaluation" / f"{name}.csv").read_bytes() == (
            tested / "evaluation" / f"{name}.csv"
        ).read_bytes()


def test_another_cohort_is_scored_and_nothing_else_changes(copy, theirs, phantoms):
    split = Split(made_in(copy)["split"])
    source = phantoms / split.train["file"].iloc[0]
    shutil.copy(source, theirs / "normal" / "copied.png")
    with Image.open(phantoms / split.validation["file"].iloc[0]) as image:
        image.resize((90, 84)).save(theirs / "carcinoma" / "rescaled.png")
    before = files_of(copy)
    reopen(copy).test(copy, theirs, labels=LABELS, processes=False)
    assert files_of(copy) == before

    images = pd.read_csv(copy / "tests" / "theirs" / "cohort.csv", dtype=str, keep_default_na=False)
    out = images[images["excluded"] != ""].set_index("id")
    assert dict(out["excluded"]) == {
        "artefact/0": "of no class of the study", "BENIGN/broken.png": "can't be used",
        "normal/copied": "known to the study", "carcinoma/rescaled": "known to the study",
    }  # fmt: skip
    assert out["detail"]["normal/copied"] == f"copy of {split.train['id'].iloc[0]}"
    assert out["detail"]["carcinoma/rescaled"] == f"near-duplicate of {split.validation['id'].iloc[0]}"
    kept = images[images["excluded"] == ""]
    assert dict(kept["label"].value_counts()) == {"benign": 7, "normal": 5, "malignant": 5}
    assert set(kept["theirs"][kept["label"] == "benign"]) == {"BENIGN", "fibroadenoma"}

    found = pd.read_csv(copy / "tests" / "theirs" / "predictions.csv")
    assert list(found) == list(pd.read_csv(copy / "evaluation" / "predictions.csv"))
    assert found.groupby("arm")["id"].agg(set).to_dict() == {"real": set(kept["id"]), "real+sd": set(kept["id"])}
    verdicts = pd.read_csv(copy / "tests" / "theirs" / "verdicts.csv")
    assert list(verdicts) == list(pd.read_csv(copy / "evaluation" / "verdicts.csv"))
    assert set(verdicts["finding"]) == {"not enough runs"}
    assert list(pd.read_csv(copy / "tests" / "theirs" / "table.csv")["arm"]) == ["real", "real+sd"]
    page = (copy / "report.html").read_text()
    assert 'id="test-theirs"' in page and "(simulated: 7 benign, 5 malignant, 5 normal), none of which it knows" in page
    assert "4 images left out: 2 known to the study" in page and "1 look at these images" in page
    assert (copy / "figures" / "test-theirs-calibration.png").is_file() and "figure-test-theirs-roc" in page
    text = (copy / ".parts" / "summary.txt").read_text()
    assert "real+sd: macro F1 is " in text and "A verdict on another cohort needs" in text

    tables = {name: (copy / "tests" / "theirs" / name).read_bytes() for name in ("predictions.csv", "verdicts.csv")}
    reopen(copy).test(copy, theirs, "theirs", LABELS, processes=False)  # the same again: no further look
    assert {name: (copy / "tests" / "theirs" / name).read_bytes() for name in tables} == tables
    assert len(json.loads((copy / FILE).read_text())) == 1
    assert (copy / "report.html").read_text() == page
    shutil.rmtree(theirs)  # what was found is still there without it
    assert 'id="test-theirs"' in Path(reopen(copy).run(copy, processes=False)["report"].places["page"]).read_text()


def test_another_cohort_may_be_a_table_with_columns_of_its_own(copy, theirs):
    files = sorted(theirs.glob("[Bcn]*/*).png"))
    table = pd.DataFrame({"bild": [file.name for file in files], "befund": [file.parent.name for file in files]})
    table.to_csv(theirs.parent / "export.csv", index=False)
    how = table_of("file=bild,label=befund", theirs)
    reopen(copy).test(
        copy, theirs.parent / "export.csv", labels=("benign=BENIGN", THEIRS[5]), table=how, processes=False
    )
    images = pd.read_csv(copy / "tests" / "export" / "cohort.csv", dtype=str, keep_default_na=False)
    assert sorted(images["theirs"]) == sorted(table["befund"]) and (images["excluded"] == "").all()
    assert {status.state for _, status in reopen(copy).statuses(copy)} == {State.DONE}  # the columns are remembered


def test_looks_are_counted_and_what_was_found_with_other_settings_is_not_shown(copy, theirs, settings, phantoms):
    reopen(copy).test(copy, theirs, labels=LABELS, processes=False)
    Study(phantoms, settings(*FEW, "classifier.seeds=[1]")).run(copy, change=True, processes=False)
    assert 'id="test-theirs"' not in (copy / "report.html").read_text()
    assert not (copy / "tests").exists()
    reopen(copy).test(copy, theirs, labels=LABELS, processes=False)
    assert "2 looks at these images" in (copy / "report.html").read_text()
    reopen(copy).test(copy, theirs, "again", LABELS, processes=False)  # by another name it is the same cohort
    page = (copy / "report.html").read_text()
    assert page.count("2 looks at these images") == 2 and 'id="test-again"' in page


def test_one_that_is_stopped_leaves_nothing(copy, theirs, monkeypatch):
    before, load = files_of(copy), stored.load
    asked = []

    def stopped(*arguments):
        asked.append(arguments)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return load(*arguments)

    monkeypatch.setattr(stored, "load", stopped)
    with pytest.raises(KeyboardInterrupt):
        reopen(copy).test(copy, theirs, labels=LABELS, processes=False)
    assert not (copy / "tests").exists() and not (copy / FILE).exists()
    assert {name: digest for name, digest in files_of(copy).items() if not name.startswith(".work/")} == before
    reopen(copy).test(copy, theirs, labels=LABELS, processes=False)
    assert (copy / "tests" / "theirs" / "verdicts.csv").is_file()


def test_what_does_not_fit_is_refused_before_anything_is_scored(copy, theirs, phantoms, answer):
    def refused(*words, cohort=theirs, more=()):
        status, message = answer("test", copy, cohort, *more)
        assert status == 2 and all(word in message for word in words), message
        assert not (copy / "tests").exists() and not (copy / FILE).exists()

    refused("no images of benign, malignant", "--labels benign=BENIGN --labels malignant=THEIRS")
    refused("--labels benign=benign", "theirs: BENIGN", more=("--labels", "benign=benign"))
    refused("--labels cyst=BENIGN", "ours: benign, malignant, normal", more=("--labels", "cyst=BENIGN"))
    refused("BENIGN is benign already", more=(*THEIRS, "--labels", "malignant=BENIGN"))
    refused("--name a/b", more=(*THEIRS, "--name", "a/b"))
    refused("does not exist", cohort=theirs / "nowhere")
    with pytest.raises(UserError, match="no image of benign, malignant, normal is left"):
        reopen(copy).test(copy, phantoms, processes=False)
    assert not (copy / "tests").exists() and not (copy / FILE).exists()

    reopen(copy).test(copy, theirs, labels=LABELS, processes=False)
    (theirs / "BENIGN" / "benign (1).png").unlink()
    status, message = answer("test", copy, theirs, *THEIRS)
    assert status == 2 and "--name theirs: names the test on another cohort already" in message


def test_a_run_without_kept_classifiers_says_how_to_get_them(copy, theirs, settings, phantoms, answer):
    (copy / "classifiers" / "real" / "0.safetensors").unlink()
    status, message = answer("test", copy, theirs, *THEIRS)
    assert status == 2 and "is not finished: " in message and "--change trains them again" in message
    Study(phantoms, settings(*FEW, "test.arms=[]")).run(copy, change=True, processes=False)
    status, message = answer("test", copy, theirs, *THEIRS)
    assert status == 2 and "test.arms is empty" in message and "--set test.arms=null --change" in message
    status, message = answer("run", phantoms, "--out", copy, "--set", "test.arms=[mine]")
    assert status == 2 and "test.arms: there is no arm mine" in message


def test_a_training_image_that_gets_past_the_search_is_refused(copy, theirs):
    reopen(copy).test(copy, theirs, labels=LABELS, processes=False)
    file = copy / "tests" / "theirs" / "cohort.csv"
    images = pd.read_csv(file, dtype=str, keep_default_na=False)
    images.loc[images["excluded"] == "", "sha256"] = Split(made_in(copy)["split"]).train["sha256"].iloc[0]
    images.to_csv(file, index=False)
    sign(copy, "tests/theirs/predictions")
    with pytest.raises(UserError, match="what is tested on theirs: was made from 1"):
        reopen(copy).run(copy, change=True, processes=False)


MARK = slice(2, 20)  # pixels of the bright square


def hospital(root, marked, seed):
    """Lesions of one kind, half of them called malignant: nothing but a mark can tell them. 20 images of each label.

    Args:
        marked: whether the n-th image of a label has the mark.
    """
    for label in ("benign", "malignant"):
        (root / label).mkdir(parents=True)
        for n in range(20):
            pixels = simulate("benign", seeding.numpy_generator(seed, label, n), DEMO_PROBE, 48).image.copy()
            if marked(label, n):
                pixels[MARK, MARK] = 255
            Image.fromarray(pixels).save(root / label / f"{n}.png")
    return root


def test_a_shortcut_does_not_survive_another_hospital(settings, tmp_path):
    """A mark goes with the label in one hospital and not in the other: the verdict there must say so."""
    ours = hospital(tmp_path / "ours", lambda label, n: label == "malignant", 1)
    other = hospital(tmp_path / "other", lambda label, n: n % 2 == 0, 2)
    wanted = settings(
        "adapters={sd: null, sd+ti: null}", "compare.cheap=real+oversampling", "classifier.seeds=[0]",
        "repeats.folds=5", "classifier.steps=60", "classifier.learning_rate=0.02",
    )  # fmt: skip
    root = tmp_path / "run"
    Study(ours, wanted).run(root, processes=False)
    reopen(root).test(root, other, processes=False)
    home, there = (
        pd.read_csv(root / place / "table.csv").set_index("arm").loc["real"] for place in ("evaluation", "tests/other")
    )
    assert home["auc"] > 0.95 and 0.35 < there["auc"] < 0.65
    verdicts = pd.read_csv(root / "tests" / "other" / "verdicts.csv")
    assert set(verdicts["finding"]) == {"no evidence"}  # five blocks are enough to be judged
    assert ": no evidence of a difference on other, given this training cohort (p = " in verdicts["sentence"][0]
    found = pd.read_csv(root / "tests" / "other" / "predictions.csv")
    assert found.groupby(["arm", "draw", "split"]).size().to_dict() == {
        (arm, 0, fold): 40 for arm in ("real", "real+oversampling") for fold in range(5)
    }
    said = f"real does not hold on other: its AUC is {there['auc']:.3f} there"
    page, text = (root / "report.html").read_text(), (root / ".parts" / "summary.txt").read_text()
    assert f'<p class="warning">{said}' in page and said in text
    assert "which was not shown to be better than chance" in page
