"""Files from strangers, full disks, and everything else that must end in one clear message."""

import csv
import json
import pickle
import re
import shutil
import struct
import sys
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sonosynth import cli, config, report, store
from sonosynth.cohort import read, to_table
from sonosynth.diffusion import base
from sonosynth.errors import UserError
from sonosynth.evaluation import features
from sonosynth.evaluation.classifier import make_model
from sonosynth.report.page import ALT
from sonosynth.stages import prepare
from sonosynth.study import Study


@pytest.fixture
def answer(monkeypatch, capsys):
    """Status and message of a command, in this process."""

    def answered(*arguments):
        monkeypatch.setattr(sys, "argv", ["sonosynth", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, capsys.readouterr().err

    return answered


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
    "text": (lambda path: path.write_bytes(b"hello"), "is not an image"),
    "one pixel": (lambda path: picture(path, (1, 1)), "is 1 x 1 pixels"),
    "huge": (lambda path: path.write_bytes(claims_to_be(50_000, 50_000)), "pixels"),
    "pickle": (lambda path: path.write_bytes(pickle.dumps([1])), "is not an image"),
    "link": (lambda path: path.symlink_to("/etc/hostname"), "link that leads out"),
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
    rows = to_table(found, 0, holdout=0.2, with_twins=True, with_conflicts=False, skip_bad=True)
    assert rows["file"].is_unique
    skipped = rows[rows["file"] == "benign/bad one.png"].iloc[0]
    assert reason in skipped["excluded"]
    assert (skipped["split"], skipped["label"]) == ("", "")
    assert (rows["excluded"] == "").sum() == 23


def test_a_study_goes_on_without_bad_files(cohort_folder, tmp_path, tiny_base):
    (cohort_folder / "normal" / "empty.png").write_bytes(b"")
    study = Study(cohort_folder, tmp_path / "run", config.load("quick", None, (f"base={tiny_base}", "skip_bad=true")))
    study.prepare()
    listed = pd.read_csv(tmp_path / "run" / "cohort.csv", keep_default_na=False)
    assert listed[listed["excluded"] != ""]["file"].tolist() == ["normal/empty.png"]
    assert len(Study.reopen(tmp_path / "run").first.table) == 23


def test_names_that_are_not_utf8_and_links_to_nowhere_are_named(tmp_path):
    for label in "ab":
        for n in range(3):
            picture(tmp_path / label / f"{n}.png", seed=n + ord(label))
    (tmp_path / "a" / "gone.png").symlink_to(tmp_path / "a" / "nothing.png")
    (tmp_path / "a" / "circle.png").symlink_to(tmp_path / "a" / "circle.png")
    picture(tmp_path / "b" / "b\udce9nin.png")
    problems = read(tmp_path).problems
    assert "leads nowhere" in problems["a/gone.png"]
    assert "can't be opened" in problems["a/circle.png"] or "leads nowhere" in problems["a/circle.png"]
    assert problems["b/b\\udce9nin.png"] == "has a name that is not UTF-8"


@pytest.mark.parametrize("name", ["a\0b.png", "x" * 300 + ".png"])
def test_names_that_no_file_can_have_are_mistakes_of_their_line(tmp_path, name):
    (tmp_path / "c.csv").write_text(f"file,label\n{name},x\n")
    with pytest.raises(UserError, match=r"line 2: |can't be read as CSV"):
        read(tmp_path / "c.csv")


def test_a_broken_mask_is_named(cohort_folder):
    mask = next((cohort_folder / "benign").glob("*_mask.png"))
    mask.write_bytes(b"hello")
    assert f"mask {mask.name} is not an image" in next(iter(read(cohort_folder).problems.values()))


def test_names_in_another_case_with_spaces_and_in_any_script_are_images_of_their_own(tmp_path):
    names = ["a.png", "A.png", "läsion 1.png", "腫瘍.png", " lead.png"]
    for n, name in enumerate(names):
        picture(tmp_path / "größe x" / name, seed=n)
        picture(tmp_path / "b" / name, seed=n + 50)
    found = read(tmp_path)
    assert len(found.sources) == 10
    assert len({source.id for source in found.sources}) == 10


def test_labels_that_differ_in_case_alone_are_refused(tmp_path):
    picture(tmp_path / "Benign" / "1.png")
    picture(tmp_path / "benign" / "2.png")
    with pytest.raises(UserError, match="'Benign', 'benign' differ in their case alone"):
        read(tmp_path)


@pytest.mark.parametrize("label", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "<img src=x onerror=alert(1)>", "a/b"])
def test_labels_that_could_be_more_than_text_are_refused(tmp_path, label):
    picture(tmp_path / "a.png")
    with (tmp_path / "c.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file", "label"], ["a.png", label]])
    with pytest.raises(UserError, match="can't name a folder"):
        read(tmp_path / "c.csv")


def test_no_cell_of_a_table_is_a_formula(tmp_path):
    rows = [["file", "label", "group"]]
    for n, name in enumerate(("=cmd.png", "+a.png", "-b.png", "@c.png", "d.png")):
        picture(tmp_path / name, seed=n)
        rows.append([name, "xy"[n % 2], f"=HYPERLINK({n})"])
    with (tmp_path / "c.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    table = to_table(read(tmp_path / "c.csv"), 0, holdout=0.4, with_twins=True, with_conflicts=False)
    cells = [str(cell) for row in table.to_numpy() for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    assert all((tmp_path / name).is_file() for name in table["file"])


@pytest.mark.parametrize("name", ["../secret.png", "SECRET", "link.png"])
def test_a_csv_reads_nothing_outside_of_its_folder(tmp_path, name):
    picture(tmp_path / "secret.png")
    inside = tmp_path / "inside"
    picture(inside / "a.png")
    (inside / "link.png").symlink_to(tmp_path / "secret.png")
    name = str(tmp_path / "secret.png") if name == "SECRET" else name
    for columns, row in (("file,label", f"{name},x"), ("file,label,mask", f"a.png,x,{name}")):
        (inside / "c.csv").write_text(f"{columns}\n{row}\n")
        with pytest.raises(UserError, match=r"lies outside of|leads out of the cohort"):
            read(inside / "c.csv")


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
        base.find(str(folder))
    (tmp_path / name).write_bytes(bird)
    with pytest.raises(UserError, match=r"holds no model_index\.json"):
        base.find(str(tmp_path / name))
    for load in (partial(make_model, classes=2, seed=0), features.extractor):
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
        base.load(folder, base.DTYPES["fp32"], "cpu")
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
        base.load(folder, base.DTYPES["fp32"], "cpu")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device", "x.png"), r"x\.png: No space left on device"),
        (OSError(30, "Read-only file system", "run"), "run: Read-only file system"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "the memory does not suffice"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "the memory does not suffice"),
        (MemoryError(), r"lower lora\.batch"),
    ],
)
def test_a_machine_at_its_end_gets_advice_and_no_traceback(monkeypatch, answer, cohort_folder, tmp_path, error, said):
    def ends(repeat):
        raise error

    monkeypatch.setattr(prepare, "read", ends)
    status, message = answer("run", cohort_folder, "--out", tmp_path / "run")
    assert status == 2
    assert re.search(said, message)
    assert "Traceback" not in message
    assert not (tmp_path / "run").exists()


def test_other_errors_are_not_hidden(monkeypatch, cohort_folder, tmp_path):
    def ends(repeat):
        raise RuntimeError("a bug")

    monkeypatch.setattr(prepare, "read", ends)
    monkeypatch.setattr(sys, "argv", ["sonosynth", "run", str(cohort_folder), "--out", str(tmp_path / "run")])
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main()


def test_hostile_text_is_inert_in_the_report_which_opens_no_connection(tmp_path):
    evil = "<img src=http://evil.example/x onerror=alert(1)>"
    table = pd.DataFrame([{"arm": evil, "status": "not run", "n_train": 1, "n_validation": 9}])
    verdicts = pd.DataFrame([{"arm": evil, "finding": "not run", "sentence": f"{evil}: not run."}])
    columns = ["set", "class", "protocol", "metric", "value", "matched", "floor", "n_matched"]
    results = report.Results(
        table=table, differences=pd.DataFrame(), verdicts=verdicts, fidelity=pd.DataFrame(columns=columns),
        memorisation=pd.DataFrame([{"set": evil, "copy": True}]), predictions=pd.DataFrame(), sets={}, smallest=6,
        facts={name: evil for name in ("cohort", "near-duplicates", "repeats", "base", "classifier", "fidelity")},
    )  # fmt: skip
    settings = config.load("quick").model_dump(mode="json") | {"resolved": {"versions": {"sonosynth": evil}}}
    for name in ALT:
        Image.new("L", (2, 2)).save(tmp_path / f"{name}.png")
    page = report.page(results, report.Provenance(evil, evil, settings, {evil: evil}, []), tmp_path)
    assert evil not in page
    assert "&lt;img src=http://evil.example/x onerror=alert(1)&gt;" in page
    assert "<script" not in page
    assert all(link.startswith(("data:", "#")) for link in re.findall(r"<[^>]+(?:src|href)=[\"']?([^\"' >]*)", page))
    assert "default-src 'none'" in page


def test_a_run_in_use_is_refused_by_the_command_line(cohort_folder, tmp_path, answer):
    with store.Run(tmp_path / "run").alone():
        status, message = answer("run", cohort_folder, "--out", tmp_path / "run")
    assert status == 2
    assert "is being worked on by process" in message
    assert Path(cohort_folder).is_dir()
