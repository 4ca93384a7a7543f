import json
import os
import subprocess
import sys

import pytest

from sonosynth.errors import UserError
from sonosynth.store import Run, digest, is_empty, write_bytes, write_text


def writer(text):
    def make(work):
        write_text(work / "folder" / "a.txt", text)
        write_text(work / "b.txt", text)

    return make


def test_a_finished_stage_is_kept_until_its_inputs_change(tmp_path):
    run = Run(tmp_path)
    outputs = ["folder", "b.txt"]
    assert run.stage("s", {"x": 1}, outputs, writer("one"))
    assert not run.stage("s", {"x": 1}, outputs, writer("two"))
    assert (tmp_path / "folder" / "a.txt").read_text() == "one"
    assert run.stage("s", {"x": 2}, outputs, writer("two"))
    assert (tmp_path / "folder" / "a.txt").read_text() == (tmp_path / "b.txt").read_text() == "two"
    (tmp_path / "b.txt").unlink()
    assert run.stage("s", {"x": 2}, outputs, writer("three"))
    assert not (tmp_path / ".work").exists()


def test_an_interrupted_stage_leaves_the_old_outputs_and_goes_on(tmp_path):
    run = Run(tmp_path)
    run.stage("s", {"x": 1}, ["b.txt", "folder"], writer("old"))

    def stopped(work):
        write_text(work / "half.txt", "done so far")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.stage("s", {"x": 2}, ["b.txt", "folder"], stopped)
    assert (tmp_path / "b.txt").read_text() == "old"

    def goes_on(work):
        assert (work / "half.txt").read_text() == "done so far"
        writer("new")(work)

    assert run.stage("s", {"x": 2}, ["b.txt", "folder"], goes_on)
    assert (tmp_path / "b.txt").read_text() == "new"
    assert not (tmp_path / "half.txt").exists()


def test_digest_sees_names_and_contents(tmp_path):
    write_text(tmp_path / "d" / "a", "1")
    first = digest(tmp_path / "d")
    (tmp_path / "d" / "a").rename(tmp_path / "d" / "b")
    second = digest(tmp_path / "d")
    write_text(tmp_path / "d" / "b", "2")
    assert len({first, second, digest(tmp_path / "d")}) == 3


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    write_text(tmp_path / "a", "old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_bytes(tmp_path / "a", b"new and longer")
    assert [file.name for file in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


HOLDS = """
import sys, time
from pathlib import Path
from sonosynth.store import Run
with Run(Path(sys.argv[1])).alone():
    print("in", flush=True)
    time.sleep(60)
"""


def test_a_run_is_one_processs_until_that_is_gone(tmp_path):
    other = subprocess.Popen([sys.executable, "-c", HOLDS, tmp_path / "run"], stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "in\n"
    run = Run(tmp_path / "run")
    with pytest.raises(UserError, match=rf"is being worked on by process {other.pid} on "), run.alone():
        pass
    other.kill()
    other.wait()
    with run.alone(), run.alone():
        assert f"process {os.getpid()} " in (tmp_path / "run" / ".lock.holder").read_text()
    assert not (tmp_path / "run" / ".lock.holder").exists()


def test_a_start_that_was_killed_leaves_an_empty_run(tmp_path):
    for name in (".lock", ".lock.holder.partial", "study.yaml.partial"):
        (tmp_path / name).write_text("")
    assert is_empty(tmp_path)
    (tmp_path / "thesis.tex").write_text("")
    assert not is_empty(tmp_path)


def test_what_a_kill_at_the_end_of_a_stage_left_is_cleared_away(tmp_path):
    run, outputs = Run(tmp_path), ["folder", "b.txt"]
    run.stage("s", {"x": 1}, outputs, writer("one"))
    key = json.loads((tmp_path / ".stages" / "s.json").read_text())["key"]
    write_text(tmp_path / ".work" / f"s-{key[:12]}" / "checkpoint", "left")
    assert run.finished("s", {"x": 1}, outputs)
    assert not (tmp_path / ".work").exists()
    (tmp_path / ".stages" / "s.json").write_text("{torn")
    assert run.stage("s", {"x": 1}, outputs, writer("one"))


def test_a_planted_link_is_replaced_not_followed(tmp_path):
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "a.partial").symlink_to(tmp_path / "victim")
    write_text(tmp_path / "a", "new")
    assert (tmp_path / "victim").read_text() == "mine"
    assert not (tmp_path / "a").is_symlink()


def test_links_lead_no_writing_out_of_a_run(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    root = tmp_path / "run"
    root.mkdir()
    (root / "folder").symlink_to(tmp_path / "elsewhere")
    (root / "repeats").mkdir()
    (root / "repeats" / "1").symlink_to(tmp_path / "elsewhere")
    inner = Run(root / "repeats" / "1", root)
    for run, outputs in ((Run(root), ["folder", "b.txt"]), (Run(root), ["folder/deeper"]), (inner, ["b.txt"])):
        with pytest.raises(UserError, match="symbolic link"):
            run.stage("s", {}, outputs, writer("text"))
    (root / ".stages").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="symbolic link"):
        Run(root).stage("s", {}, ["b.txt"], writer("text"))
    assert not any((tmp_path / "elsewhere").iterdir())
