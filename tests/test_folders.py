"""Sets of images that another generator made: in the same table, if it is known what that generator has seen."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from conftest import DECLARED, figures_of
from sonosynth.cohort.decoding import read_grey, to_square
from sonosynth.comparisons import comparisons, refusals
from sonosynth.errors import UserError
from sonosynth.jobs import State
from sonosynth.report.facts import Fault
from sonosynth.run import Study, reopen
from sonosynth.settings import load

COUNTS = {"normal": 4, "benign": 3, "malignant": 5}
SMALL = (
    "adapters={sd: null, sd+ti: null}", "classifier.seeds=[0]", "arms={real+oversampling: null}",
    "fidelity.measures=[features]",
)  # fmt: skip


def write_images(folder: Path, seed: int) -> None:
    """Images that stand for a generator's, and are like none of the cohort: coarse noise, in colour."""
    rng = np.random.default_rng(seed)
    for label, count in COUNTS.items():
        (folder / label).mkdir(parents=True)
        for number in range(count):
            noise = Image.fromarray(rng.integers(0, 256, (7, 9, 3), np.uint8))
            noise.resize((40, 50)).save(folder / label / f"sample-{number}.png")


@pytest.fixture(scope="module")
def generated(tmp_path_factory, settings, phantoms) -> Path:
    """Images, and the cohort.csv of the split that their generator was trained for."""
    folder, run = tmp_path_factory.mktemp("generated") / "gan", tmp_path_factory.mktemp("runs") / "split"
    Study(phantoms, settings(*SMALL)).run(run, "evaluate", processes=False)
    write_images(folder, 8)
    shutil.copy(run / "cohort.csv", folder)
    return folder


@pytest.fixture
def images(generated, tmp_path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(generated, tmp_path / "gan"))


@pytest.fixture
def study(settings, phantoms):
    def of(folder, *changes, trained_on="trained_on: cohort.csv, ", more="", arm=""):
        declared = f"sets.gan={{kind: folder, folder: {folder}, {trained_on}{more}}}"
        return Study(phantoms, settings(*SMALL, declared, f"arms.real+gan={{sets: [gan], {arm}}}", *changes))

    return of


def state(study, root, name="synthetic/gan"):
    return next(status.state for job, status in study.statuses(root) if job.name == name)


def rows_of(run):
    return pd.read_csv(run / "synthetic" / "gan" / "metadata.csv", keep_default_na=False)


def finding(run, arm="real+gan"):
    return pd.read_csv(run / "evaluation" / "verdicts.csv").set_index("arm").loc[[arm]].iloc[0]


@pytest.fixture(scope="module")
def run(generated, settings, phantoms, tmp_path_factory) -> Path:
    """A finished run, in which images of the set were refined as well."""
    root = tmp_path_factory.mktemp("runs") / "run"
    declared = f"sets.gan={{kind: folder, folder: {generated}, trained_on: cohort.csv}}"
    changes = ("sets.again={from: gan, strength: 0}", "arms={real+gan: {sets: [gan]}, real+again: {sets: [again]}}")
    with figures_of():
        Study(phantoms, settings(*SMALL, declared, *changes)).run(root, processes=False)
    return root


def test_the_images_are_a_set_like_any_other(run, generated):
    rows = rows_of(run)
    assert rows["label"].value_counts().to_dict() == COUNTS
    assert {(*rows[name].unique(),) for name in ("prompt", "seed", "flaw", "adapter", "base")} == {("",)}
    for file, source in zip(rows["file_name"], rows["source"], strict=True):
        made = np.asarray(Image.open(run / "synthetic" / "gan" / file))
        assert np.array_equal(made, to_square(read_grey(generated / source), 32))
    table = pd.read_csv(run / "evaluation" / "table.csv", index_col="arm")["n_train"]
    assert table["real+gan"] == table["real+again"] == table["real"] + 12
    assert set(pd.read_csv(run / "evaluation" / "fidelity.csv")["set"]) == {"gan", "again"}
    assert finding(run)["finding"] == "not enough runs"
    predictions = pd.read_csv(run / "evaluation" / "predictions.csv").groupby("arm")["generator"]
    assert predictions.unique().map(list)["real+gan"] == predictions.unique().map(list)["real+again"] == [0]
    assert predictions.count()["real"] == 0


def test_its_origins_are_what_the_table_lists(run, study, images, tmp_path):
    table = pd.read_csv(images / "cohort.csv", dtype=str, keep_default_na=False)
    train, held_out = (set(table["sha256"][table["split"] == side]) for side in ("train", "validation"))
    made = {job.name: status.made for job, status in reopen(run).statuses(run)}
    for name in ("gan", "again"):
        stored = made[f"synthetic/{name}"].places["origins"].read_text()
        assert all(content in stored for content in train) and not any(content in stored for content in held_out)
    pd.DataFrame({"sha256": [*train, min(held_out)]}).to_csv(images / "seen.csv", index=False)
    with pytest.raises(UserError, match=r"sets\.gan: .*/gan: was made from 1 validation image"):
        study(images, trained_on="trained_on: seen.csv, ").run(tmp_path / "run", "synthesize", processes=False)


@pytest.mark.usefixtures("no_figures")
def test_without_a_word_on_what_its_generator_has_seen_there_is_no_verdict(study, images, tmp_path):
    again = ("sets.again={from: gan, strength: 0, count: 2}", "arms.real+again={sets: [again]}")
    unknown = study(images, *again, trained_on="")
    unknown.run(tmp_path / "run", processes=False)
    for arm in ("real+gan", "real+again"):
        found = finding(tmp_path / "run", arm)
        assert found["finding"] == "refused"
        assert "it is not known which images the generator of one of its sets has seen" in found["sentence"]
    assert len(rows_of(tmp_path / "run")) == 12 and "not known which images" in (
        tmp_path / "run" / "report.html"
    ).read_text(encoding="utf-8")


def test_refusals_go_by_what_is_declared():
    declared = (
        "sets.gan={kind: folder, folder: gan}",
        "arms={a: {sets: [gan]}, b: {sets: [sd, gan]}, c: {sets: [sd]}}",
    )
    found = load("quick", [DECLARED], declared)
    assert {name: x.fault for name, x in refusals(found, comparisons(found)).items()} == {
        "a": Fault.UNKNOWN, "b": Fault.UNKNOWN,
    }  # fmt: skip
    said = load("quick", [DECLARED], (*declared, "sets.gan.trained_on=seen.csv"))
    assert not refusals(said, comparisons(said)) and comparisons(said)["a"].generated


def test_a_wrong_claim_is_found_by_the_pixels(study, images, phantoms, tmp_path):
    table = pd.read_csv(images / "cohort.csv", dtype=str, keep_default_na=False)
    planted = table[(table["split"] == "validation") & (table["label"] == "benign")].iloc[0]
    Image.open(phantoms / planted["file"]).convert("RGB").save(images / "benign" / "zz.bmp")
    with pytest.raises(UserError, match=r"sets\.gan\.folder: benign/zz\.bmp shows the validation image"):
        study(images).run(tmp_path / "run", processes=False)


def test_a_training_image_among_them_is_found_as_a_copy(study, images, phantoms, tmp_path):
    table = pd.read_csv(images / "cohort.csv", dtype=str, keep_default_na=False)
    copied = table[(table["split"] == "train") & (table["label"] == "benign")].iloc[0]
    shutil.copy(phantoms / copied["file"], images / "benign" / "zz.png")
    study(images).run(tmp_path / "run", "evaluate", processes=False)
    assert finding(tmp_path / "run")["finding"] == "refused"
    assert "are training images" in finding(tmp_path / "run")["sentence"]


def test_changed_images_make_the_set_stale(study, images, tmp_path):
    root = tmp_path / "run"
    study(images).run(root, "synthesize", processes=False)
    assert state(study(images), root) == State.DONE
    moved = Path(shutil.move(images, tmp_path / "elsewhere"))
    assert state(study(moved), root) == State.DONE  # a set is its images, wherever they lie
    (moved / "benign" / "notes.txt").write_text("no image")
    assert state(study(moved), root) == State.DONE
    first = min((moved / "benign").glob("*.png"))
    Image.fromarray(np.asarray(Image.open(first)) // 2).save(first)
    assert state(study(moved), root) == State.STALE
    (moved / "benign" / "notes.txt").unlink()
    shutil.rmtree(moved / "benign")
    assert state(study(moved), root) == State.STALE


def test_a_class_may_be_missing_but_not_with_a_share(study, images, tmp_path):
    shutil.rmtree(images / "normal")
    study(images).run(tmp_path / "run", "synthesize", processes=False)
    assert rows_of(tmp_path / "run")["label"].value_counts().to_dict() == {"malignant": 5, "benign": 3}
    with pytest.raises(UserError, match=r"arms\.real\+gan\.share: the set gan has no image of normal"):
        study(images, arm="share: 0.25").statuses()
    with pytest.raises(UserError, match=r"arms\.real\+gan\.real: is false, and its sets have no image of normal"):
        study(images, arm="real: false").statuses()


def test_a_count_takes_the_first_by_name(study, images, tmp_path):
    study(images, more="count: {benign: 2}").run(tmp_path / "run", "synthesize", processes=False)
    assert (
        list(rows_of(tmp_path / "run")["source"])
        == sorted(f"benign/{file.name}" for file in (images / "benign").iterdir())[:2]
    )
    with pytest.raises(UserError, match=r"gan: holds 3 images of benign, and 4 are asked for"):
        study(images, more="count: 4").statuses()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (shutil.rmtree, r"sets\.gan\.folder: .*/gan: does not exist"),
        (lambda folder: (shutil.rmtree(folder), folder.write_text("")), "gan: is not a folder"),
        (lambda folder: (shutil.rmtree(folder), folder.mkdir()), "gan: holds no images in class folders"),
        (lambda folder: (folder / "benign").rename(folder / "cyst"), "holds images of cyst, and the cohort has no"),
        (lambda folder: (folder / "benign" / "x.png").symlink_to("/etc/hostname"), r"x\.png is a link that points out"),
        (lambda folder: (folder / "cohort.csv").unlink(), r"sets\.gan\.trained_on: .*cohort\.csv can't be read as CSV"),
        (lambda folder: (folder / "cohort.csv").write_text("id\n1\n"), r"cohort\.csv has no column sha256"),
        (
            lambda folder: (folder / "cohort.csv").write_text("sha256\nabc\n"),
            r"lists 1 image\(s\) that are not of the cohort, the first with the SHA-256 'abc'",
        ),
    ],
)  # fmt: skip
def test_what_can_be_known_to_be_wrong_is_said_before_anything_runs(study, images, change, said, tmp_path):
    change(images)
    with pytest.raises(UserError, match=said):
        study(images).run(tmp_path / "run", processes=False)
    assert not (tmp_path / "run" / "study.yaml").exists()


def test_the_command_line_says_so_and_ends_with_2(answer, phantoms, tmp_path):
    given = ("--set", f"sets.gan={{kind: folder, folder: {tmp_path / 'none'}}}")
    status, message = answer("run", phantoms, "--out", tmp_path / "run", *given)
    assert status == 2
    assert message.startswith(f"error: sets.gan.folder: {tmp_path / 'none'}: does not exist\nexpected: a folder with")


def test_a_file_that_can_not_be_decoded_is_named(study, images, tmp_path):
    (images / "benign" / "zz.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"1 of its files can't be used\n  benign/zz\.png is not a PNG, JPEG"):
        study(images).run(tmp_path / "run", "synthesize", processes=False)


def test_every_repeat_has_images_of_its_own(study, images, settings, phantoms, tmp_path):
    root, folds = tmp_path / "run", "repeats.folds=2"
    Study(phantoms, settings(*SMALL, folds)).run(root, "evaluate", processes=False)  # to know the folds
    with pytest.raises(UserError, match="gan/repeats/1: does not exist"):
        study(images, folds).statuses(root)
    shutil.copytree(images, tmp_path / "same")
    shutil.move(tmp_path / "same", images / "repeats" / "1")
    with pytest.raises(UserError, match=r"gan/repeats/1/benign/.*\.png is in .*/gan, too"):
        study(images, folds).statuses(root)
    shutil.rmtree(images / "repeats")
    write_images(images / "repeats" / "1", 9)
    for place in ("", "repeats/1/"):
        shutil.copy(root / f"{place}cohort.csv", images / f"{place}cohort.csv")
    study(images, folds).run(root, "evaluate", change=True, processes=False)
    found = pd.read_csv(root / "evaluation" / "predictions.csv", dtype=str, keep_default_na=False).groupby("arm")
    assert found["generator"].unique().map(set).to_dict() == {"real": {""}, "real+gan": {"0", "1"}}
    shutil.copy(root / "cohort.csv", images / "repeats" / "1")
    with pytest.raises(UserError, match=r"gan/repeats/1: was made from \d+ validation image"):
        study(images, folds).run(root, "evaluate", change=True, processes=False)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("{kind: folder}", "sets.x: folder takes images from a folder, and none is given"),
        ("{kind: folder, trained_on: a.csv}", "sets.x: folder takes images from a folder, and none is given"),
        ("{folder: gan}", "sets.x: text takes no images from a folder, and no folder"),
        ("{from: real, trained_on: a.csv}", "sets.x: image takes no images from a folder, and no trained_on"),
        ("{kind: folder, folder: gan, from: real}", "sets.x: folder makes images from files, not from real"),
        ("{kind: folder, folder: gan, adapter: sd}", "sets.x: folder uses no model, and takes no adapter"),
        ("{kind: folder, folder: gan, synthesis: {steps: 3}}", "sets.x: folder uses no model, and takes no synthesis"),
    ],
)
def test_keys_that_do_not_apply_are_refused(made, said, generated, settings, phantoms, monkeypatch):
    monkeypatch.chdir(generated.parent)
    with pytest.raises(UserError) as error:
        Study(phantoms, settings(f"sets.x={made}")).statuses()
    assert said in str(error.value)
