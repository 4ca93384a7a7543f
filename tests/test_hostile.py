"""Files from strangers, full disks, and everything else that must end in one clear message."""

import csv
import json
import pickle
import re
import shutil
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from sonosynth import run, store
from sonosynth import settings as loading
from sonosynth.bases import sd1
from sonosynth.cohort.reading import read
from sonosynth.cohort.settings import Split
from sonosynth.cohort.split import to_table
from sonosynth.errors import UserError
from sonosynth.fidelity import networks
from sonosynth.fidelity.jobs import COLUMNS
from sonosynth.report.facts import Counts, Facts
from sonosynth.report.figures import LISTED
from sonosynth.report.page import Provenance, page
from sonosynth.report.results import Results
from sonosynth.report.sections import SECTIONS
from sonosynth.run import Study, reopen
from sonosynth.tasks.classification import models


def picture(path, shape=(12, 10), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, shape, np.uint8)).save(path)


def claims_to_be(width, height):
    """A PNG whose header says so, without the pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


BAD = {
    "zero-byte": (lambda path: path.write_bytes(b""), "is empty"),
    "truncated": (
        lambda path: (picture(path, (64, 64)), path.write_bytes(path.read_bytes()[:600])),
        "can't be decoded",
    ),
    "text": (lambda path: path.write_bytes(b"hello"), "is not a PNG"),
    "one pixel": (lambda path: picture(path, (1, 1)), "is 1 x 1 pixels"),
    "huge": (lambda path: path.write_bytes(claims_to_be(50_000, 50_000)), "pixels"),
    "pickle": (lambda path: path.write_bytes(pickle.dumps([1])), "is not a PNG"),
    "link": (lambda path: path.symlink_to("/etc/hostname"), "link that points outside"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_images_stop_a_study_unless_they_are_skipped(kind, cohort_folder, tmp_path, answer):
    make, reason = BAD[kind]
    make(cohort_folder / "benign" / "bad one.png")
    status, message = answer("run", cohort_folder, "--out", tmp_path / "run")
    assert status == 2
    assert "benign/bad one.png" in message
    assert reason in message
    assert "--skip-bad" in message
    assert not (tmp_path / "run").exists()
    found = read(cohort_folder)
    rows = to_table(found, Split(), 0)
    assert rows["file"].is_unique
    skipped = rows[rows["file"] == "benign/bad one.png"].iloc[0]
    assert reason in skipped["excluded"]
    assert (skipped["split"], skipped["label"]) == ("", "")
    assert (rows["excluded"] == "").sum() == 23


def test_a_study_goes_on_without_bad_files(cohort_folder, tmp_path, settings):
    (cohort_folder / "normal" / "empty.png").write_bytes(b"")
    root = tmp_path / "run"
    Study(cohort_folder, settings("skip_bad=true", "adapters.sd.lora.steps=1")).run(root, "adapt", processes=False)
    listed = pd.read_csv(root / "cohort.csv", keep_default_na=False)
    assert listed[listed["excluded"] != ""]["file"].tolist() == ["normal/empty.png"]
    assert len(listed[listed["split"] != ""]) == 23
    assert reopen(root).settings.skip_bad


def test_names_that_are_not_utf8_and_links_to_nowhere_are_named(tmp_path):
    for label in "ab":
        for n in range(3):
            picture(tmp_path / label / f"{n}.png", seed=n + ord(label))
    (tmp_path / "a" / "gone.png").symlink_to(tmp_path / "a" / "nothing.png")
    (tmp_path / "a" / "circle.png").symlink_to(tmp_path / "a" / "circle.png")
    picture(tmp_path / "b" / "b\udce9nin.png")
    problems = read(tmp_path).problems
    assert "broken link" in problems["a/gone.png"]
    assert "can't be opened" in problems["a/circle.png"] or "broken link" in problems["a/circle.png"]
    assert problems["b/b\\udce9nin.png"] == "has a name that is not UTF-8"


@pytest.mark.parametrize("name", ["a\0b.png", "x" * 300 + ".png"])
def test_names_that_no_file_can_have_are_mistakes_of_their_line(tmp_path, name):
    (tmp_path / "c.csv").write_text(f"file,label\n{name},x\n")
    with pytest.raises(UserError, match=r"line 2: |can't be read as CSV"):
        read(tmp_path / "c.csv")


def test_a_broken_mask_is_named(cohort_folder):
    mask = next((cohort_folder / "benign").glob("*_mask.png"))
    mask.write_bytes(b"hello")
    assert f"mask {mask.name} is not a PNG" in next(iter(read(cohort_folder).problems.values()))


def test_names_in_another_case_with_spaces_and_in_any_script_are_images_of_their_own(tmp_path):
    names = ["a.png", "A.png", "läsion 1.png", "腫瘍.png", " lead.png"]
    for n, name in enumerate(names):
        picture(tmp_path / "größe x" / name, seed=n)
        picture(tmp_path / "b" / name, seed=n + 50)
    found = read(tmp_path)
    assert len(found.images) == 10
    assert found.images["id"].is_unique


def test_labels_that_differ_in_case_alone_are_refused(tmp_path):
    picture(tmp_path / "Benign" / "1.png")
    picture(tmp_path / "benign" / "2.png")
    with pytest.raises(UserError, match="'Benign', 'benign' differ only in case"):
        read(tmp_path)


@pytest.mark.parametrize(
    "label",
    [
        "=cmd|' /C calc'!A0",
        "+1",
        "-1",
        "@SUM(A1)",
        "<img src=x onerror=alert(1)>",
        "a/b",
        "a\x07b",
        "a\x1b[31m",
        "a\x85b",
        "a\u202eb",
        "a\nb",
        "metadata.csv",
    ],
)
def test_labels_that_could_be_more_than_text_are_refused(tmp_path, label):
    picture(tmp_path / "a.png")
    with (tmp_path / "c.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file", "label"], ["a.png", label]])
    with pytest.raises(UserError, match="is not valid as a folder name"):
        read(tmp_path / "c.csv")


def test_no_cell_of_a_table_is_a_formula(tmp_path):
    rows = [["file", "label", "group"]]
    for n, name in enumerate(("=cmd.png", "+a.png", "-b.png", "@c.png", "d.png")):
        picture(tmp_path / name, seed=n)
        rows.append([name, "xy"[n % 2], f"=HYPERLINK({n})"])
    with (tmp_path / "c.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    table = to_table(read(tmp_path / "c.csv"), Split(holdout=0.4), 0)
    cells = [str(cell) for row in table.to_numpy() for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    assert all((tmp_path / name).is_file() for name in table["file"])


@pytest.mark.parametrize("name", ["secret.txt", "../in/secret.txt", "/etc/hostname"])
def test_what_a_table_names_is_read_as_an_image_or_not_at_all(tmp_path, name):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "secret.txt").write_text("geheim")
    picture(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "c.csv").write_text(f"file,label\n{name},x\na.png,y\n")
    (reason,) = read(tmp_path / "in" / "c.csv").problems.values()
    assert reason.startswith("is not a PNG, JPEG, BMP, TIFF, WebP or GIF image")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("file,label,label\na.png,x,y\n", "has more than one column label"),
        ("file,label\na.png,x,y\n", "line 2: has more cells than the header"),
        ("file,label\na.png,x\n./a.png,y\n", "line 3: ./a.png is listed twice"),
        ("file,label\na.png,x\nROOT/a.png,y\n", "line 3: .*a.png is listed twice"),
        ("file,label\na.png," + "x" * 100_000 + "\n", "the label 'xxx.*… is not valid"),
    ],
    ids=["columns", "cells", "dot", "absolute", "long"],
)
def test_a_table_says_each_thing_once(tmp_path, table, said):
    picture(tmp_path / "a.png")
    (tmp_path / "c.csv").write_text(table.replace("ROOT", str(tmp_path)))
    with pytest.raises(UserError, match=said) as refused:
        read(tmp_path / "c.csv")
    assert max(map(len, str(refused.value).splitlines())) < 1000


class Canary:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.ckpt", "model.pt", "diffusion_pytorch_model.bin"])
def test_pickled_weights_are_refused_and_never_run(tmp_path, tiny_base, tiny_classifier, name):
    song = tmp_path / "song"
    bird = pickle.dumps(Canary(song))
    folder = shutil.copytree(tiny_base, tmp_path / "base")
    for part in ("unet", "vae", "text_encoder"):
        for file in (folder / part).glob("*.safetensors"):
            file.unlink()
        (folder / part / name).write_bytes(bird)
    with pytest.raises(UserError, match="pickled weights are refused"):
        sd1.find(str(folder))
    (tmp_path / name).write_bytes(bird)
    with pytest.raises(UserError, match=r"holds no model_index\.json"):
        sd1.find(str(tmp_path / name))
    for load in (models.resolve, networks.resolve):
        other = shutil.copytree(tiny_classifier, tmp_path / "other", dirs_exist_ok=True)
        (other / "model.safetensors").unlink()
        (other / "preprocessor_config.json").write_text(
            json.dumps({"size": 32, "image_mean": [0.5] * 3, "image_std": [0.5] * 3})
        )
        (other / name).write_bytes(bird)
        with pytest.raises(UserError, match="can't be loaded"):
            load(str(other))
    assert not song.exists()


def test_a_base_names_no_module_of_its_own(tiny_base, tmp_path):
    folder = shutil.copytree(tiny_base, tmp_path / "base")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"scheduler": ["antigravity", "fly"]}))
    with pytest.raises(UserError, match=r"model_index\.json has \['antigravity', 'fly'\] for scheduler"):
        sd1.load(folder, sd1.DTYPES["fp32"], "cpu")
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"\xff" * 64),
        lambda folder: (folder / "vae" / "config.json").write_text("{"),
        lambda folder: (folder / "model_index.json").write_text("[]"),
    ],
    ids=["weights", "config", "index"],
)
def test_a_broken_base_is_one_message(tiny_base, tmp_path, harm):
    folder = shutil.copytree(tiny_base, tmp_path / "base")
    harm(folder)
    with pytest.raises(UserError, match="base "):
        sd1.load(folder, sd1.DTYPES["fp32"], "cpu")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device", "x.png"), r"x\.png: No space left on device"),
        (OSError(30, "Read-only file system", "run"), "run: Read-only file system"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "out of memory"),
        (MemoryError(), r"lower lora\.batch"),
    ],
)
def test_exhausted_resources_get_advice_and_no_traceback(monkeypatch, answer, cohort_folder, tmp_path, error, said):
    def ends(*_):
        raise error

    monkeypatch.setattr(run, "list_files", ends)
    status, message = answer("run", cohort_folder, "--out", tmp_path / "run")
    assert status == 2
    assert re.search(said, message)
    assert "Traceback" not in message
    assert not (tmp_path / "run").exists()


def test_other_errors_are_not_hidden(monkeypatch, answer, cohort_folder, tmp_path):
    def ends(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr(run, "list_files", ends)
    status, message = answer("run", cohort_folder, "--out", tmp_path / "run")
    assert status == 1
    assert message.startswith("Traceback") and message.endswith("RuntimeError: a bug\n")


def test_hostile_text_is_inert_in_the_report_which_opens_no_connection(tmp_path):
    evil = "<img src=http://evil.example/x onerror=alert(1)>"
    table = pd.DataFrame([{"arm": evil, "status": "not run", "n_train": 1, "n_validation": 9}])
    about = {"against": "real", "class": "", "metric": "f1", "difference": None, "low": None, "high": None}
    verdicts = pd.DataFrame([about | {"arm": evil, "finding": "not run", "sentence": f"{evil}: not run."}])
    facts = Facts(evil, evil, False, 8, evil, evil, 8, "last", None, 1, 1, 1, (evil,), False, {}, 1)
    results = Results(
        table=table, classes=pd.DataFrame(), verdicts=verdicts,
        fidelity=pd.DataFrame(columns=COLUMNS),
        memorisation=pd.DataFrame(
            [{"set": evil, "copy": True, "verbatim": True, "source_correlation": 0.9, "near_source": True}]
        ), predictions=pd.DataFrame(), arms={evil: (evil,)},
        seconds={}, facts=facts, counts=Counts(False, 9, 9, 0, 0, 0, 0, {evil: 1}, {evil: 1}, adjacent=(evil,)),
    )  # fmt: skip
    values = yaml.safe_load(loading.as_yaml(loading.load("quick")))
    values |= {"cohort": evil, "resolved": {"versions": {"sonosynth": evil}}}
    for name in (name for section in SECTIONS for name in section.alt):
        Image.new("L", (2, 2)).save(tmp_path / f"{name}.png")
    pictured = pd.DataFrame([dict.fromkeys(LISTED, evil) | {"figure": "grid"}])
    text = page(results, Provenance(evil, values, {evil: evil}, []), tmp_path, pictured)
    assert evil not in text
    assert "&lt;img src=http://evil.example/x onerror=alert(1)&gt;" in text
    assert "<script" not in text
    local = ("data:", "#", "figures/")
    assert all(link.startswith(local) for link in re.findall(r"<[^>]+(?:src|href)=[\"']?([^\"' >]*)", text))
    assert "default-src 'none'" in text


def test_a_run_in_use_is_refused_by_the_command_line(cohort_folder, tmp_path, answer):
    with store.Run(tmp_path / "run").locked():
        status, message = answer("run", cohort_folder, "--out", tmp_path / "run")
    assert status == 2
    assert "is in use by process" in message
    assert Path(cohort_folder).is_dir()


def test_a_run_of_the_first_version_is_refused_with_the_lines_to_change(tmp_path, answer, cohort_folder):
    root = tmp_path / "run"
    (root / ".stages").mkdir(parents=True)
    old = {
        "cohort": str(cohort_folder), "prompts": {"token": "<ultrasound>", "benign": "a lesion"},
        "refine": {"strength": 0.3, "from": "pixels"},
        "arms": {"real": {"synthetic": "none"}, "real+sd": {"synthetic": "sd"}, "real+mixup": None},
    }  # fmt: skip
    (root / "study.yaml").write_text(yaml.safe_dump(old))
    for arguments in (("run", cohort_folder, "--out", root), ("report", root), ("plan", root)):
        status, message = answer(*arguments)
        assert status == 2
        assert f"{root}: made by sonosynth 0.1" in message
        assert f"start a new run: sonosynth run COHORT --out NEW --config {root}/study.yaml" in message
        for line in ("prompts.token: ", "prompts.benign: ", "refine.from: ", "arms.real+sd.synthetic: "):
            assert f"\n  {line}" in message


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("name", ["simulated-annealing-study", "embedded-probe"])
def test_a_name_draws_no_warning(name, finished, tiny_base, tiny_classifier, phantoms, tmp_path, settings):
    """Facts are values: no sentence is searched for words."""
    cohort = shutil.copytree(phantoms, tmp_path / name)
    (cohort / "SIMULATED.txt").unlink()
    base = shutil.copytree(tiny_base, tmp_path / f"{name}-base")
    few = ("classifier.seeds=[0]", "adapters.sd+ti=null", "adapters.sd.lora.steps=1", f"base={base}")
    Study(cohort, settings(*few)).run(tmp_path / "run", processes=False)
    text = (tmp_path / "run" / "report.html").read_text()
    assert "The cohort is simulated" not in text and "small embedded model" not in text
    simulated = (finished / "report.html").read_text()
    assert "The cohort is simulated" in simulated
