import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from graph_examples import joined, writing
from sonosynth import leftovers
from sonosynth.disk import digest, write_bytes, write_text
from sonosynth.errors import UserError
from sonosynth.jobs import State
from sonosynth.runners.execution import execute
from sonosynth.store import Run, is_empty


def done(root, *jobs):
    """Run jobs in order; returns what they made."""
    made = {}
    for job in jobs:
        status = Run(root).status(job, made)
        made[job.name] = status.made or execute(Run(root), job, made)
    return made


def states(root, *jobs):
    return {job.name: (status.state, status.reason) for job, status in Run(root).statuses(jobs)}


def test_the_four_states_of_a_job(tmp_path):
    a, b = writing("a", "one"), joined("a")
    assert states(tmp_path, a, b) == {
        "a": (State.MISSING, "not run yet"), "joined": (State.MISSING, "not run yet"),
    }  # fmt: skip
    done(tmp_path, a, b)
    assert states(tmp_path, a, b) == {"a": (State.DONE, ""), "joined": (State.DONE, "")}
    changed = writing("a", "two")
    assert states(tmp_path, changed, b) == {
        "a": (State.STALE, "settings.text changed"), "joined": (State.WAITING, "a has to run first"),
    }  # fmt: skip
    assert states(tmp_path, changed, joined("a", text="-"))["joined"] == (State.STALE, "settings.text changed")
    done(tmp_path, changed)
    assert states(tmp_path, changed, b)["joined"] == (State.STALE, "parts changed")
    assert (tmp_path / "a" / "folder" / "a.txt").read_text() == (tmp_path / "a.txt").read_text() == "two"
    (tmp_path / "a.txt").unlink()
    assert states(tmp_path, changed, b)["a"] == (State.MISSING, "a.txt is gone")
    Run(tmp_path).tidy()
    assert not (tmp_path / ".work").exists()


def test_an_altered_result_is_refused_with_the_file_the_job_and_the_fix(tmp_path):
    done(tmp_path, writing("a"))
    (tmp_path / "a" / "folder" / "a.txt").write_text("One")
    with pytest.raises(UserError) as refused:
        states(tmp_path, writing("a"))
    assert str(refused.value).startswith(f"{tmp_path}/a/folder/a.txt: is not what the job a wrote\n")
    assert "fix: restore it, or remove it and run the same command again" in str(refused.value)
    (tmp_path / "a" / "folder" / "a.txt").unlink()
    done(tmp_path, writing("a"))
    assert (tmp_path / "a" / "folder" / "a.txt").read_text() == "one"


def test_an_interrupted_job_leaves_the_old_results_and_goes_on(tmp_path):
    done(tmp_path, writing("a", "old"))
    job = writing("a", "new")
    work = Run(tmp_path).work(job, {})
    (work / "half").write_text("done so far")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert (Run(tmp_path).work(job, {}) / "half").read_text() == "done so far"
    done(tmp_path, job)
    assert (tmp_path / "a.txt").read_text() == "new"
    assert not list(tmp_path.rglob("half"))


def test_the_digest_of_a_result_does_not_depend_on_where_it_lies(tmp_path):
    one, other = done(tmp_path / "x", writing("a"))["a"], done(tmp_path / "y", writing("b"))["b"]
    assert one.digest == other.digest != done(tmp_path / "z", writing("a", "two"))["a"].digest


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
with Run(Path(sys.argv[1])).locked():
    print("in", flush=True)
    time.sleep(60)
"""


def test_a_run_is_one_processs_until_that_is_gone(tmp_path):
    other = subprocess.Popen([sys.executable, "-c", HOLDS, tmp_path / "run"], stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "in\n"
    run = Run(tmp_path / "run")
    with pytest.raises(UserError, match=rf"is in use by process {other.pid} on "), run.locked():
        pass
    other.kill()
    other.wait()
    with run.locked():
        assert f"process {os.getpid()} " in (tmp_path / "run" / ".lock").read_text()
    assert not (tmp_path / "run" / ".lock").exists()


def test_a_start_that_was_killed_leaves_an_empty_run(tmp_path):
    for name in (".lock", "study.yaml.partial"):
        (tmp_path / name).write_text("")
    assert is_empty(tmp_path)
    (tmp_path / "thesis.tex").write_text("")
    assert not is_empty(tmp_path)


def test_what_a_kill_at_the_end_of_a_job_left_is_cleared_away(tmp_path):
    done(tmp_path, writing("a"))
    write_text(Run(tmp_path).work(writing("a"), {}) / "checkpoint", "left")
    Run(tmp_path).clear(writing("a"))
    assert not any((tmp_path / ".work").iterdir())
    (tmp_path / ".jobs" / "a.json").write_text("{torn")
    assert states(tmp_path, writing("a"))["a"][0] is State.MISSING


def test_a_run_that_fails_before_its_first_job_is_done_leaves_nothing(tmp_path):
    for root in (tmp_path / "new", tmp_path):
        with pytest.raises(UserError), Run(root).locked():
            write_text(root / "study.yaml", "seed: 1")
            Run(root).work(writing("a"), {})
            raise UserError("no")
        assert not (tmp_path / "new").exists() and not list(tmp_path.iterdir())
    done(tmp_path, writing("a"))
    with pytest.raises(UserError), Run(tmp_path).locked():
        raise UserError("no")
    assert (tmp_path / "a.txt").exists()


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
    (root / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="symbolic link"):
        done(root, writing("a"))
    (root / ".jobs").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="symbolic link"):
        done(root, writing("b"))
    (root / ".jobs").unlink()
    (root / ".work").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="symbolic link"):
        done(root, writing("b"))
    assert not any((tmp_path / "elsewhere").iterdir())


def link(path):
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def folder(path):
    path.unlink()
    path.mkdir()


def torn(path):
    path.write_bytes(path.read_bytes()[:2])


@pytest.mark.parametrize("harm", [link, pipe, folder, torn])
@pytest.mark.parametrize("text", ["one", "two"])  # whether the job has to run again or not
def test_what_stands_in_the_place_of_a_result_is_named_and_kept(tmp_path, harm, text):
    done(tmp_path, writing("a"))
    harm(tmp_path / "a" / "folder" / "a.txt")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(
        UserError, match=r"a/folder/a\.txt: is (a symbolic link|neither a regular file nor|not what the job a)"
    ):
        done(tmp_path, writing("a", text))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("harm", [link, pipe])
def test_nothing_in_a_work_folder_leads_out_of_it_or_blocks(tmp_path, harm):
    work = Run(tmp_path).work(writing("a"), {})
    (work / "folder").mkdir()
    write_text(work / "folder" / "a.txt", "")
    harm(work / "folder" / "a.txt")
    with pytest.raises(UserError, match=r"folder/a\.txt: is "):
        done(tmp_path, writing("a"))


@pytest.mark.parametrize(
    "text",
    [
        "{torn", "[" * 100_000, "[]", "null", '{"inputs": {}}',
        '{"inputs": 1, "files": {}, "seconds": 1.0, "peak_mb": 1}',
        '{"inputs": {"needs": {}, "makes": {"x": "../.."}}, "files": {"x/victim": ""}, "seconds": 1.0, "peak_mb": 1}',
        '{"inputs": {"needs": {}, "makes": {}}, "files": {"x": ""}, "seconds": 1.0, "peak_mb": 1}',
    ],
)  # fmt: skip
def test_an_invalid_record_counts_as_missing(tmp_path, text):
    done(tmp_path, writing("a"))
    (tmp_path / ".jobs" / "a.json").write_text(text)
    assert states(tmp_path, writing("a")) == {"a": (State.MISSING, "not run yet")}
    assert Run(tmp_path).recorded() == {}
    done(tmp_path, writing("a"))
    assert states(tmp_path, writing("a")) == {"a": (State.DONE, "")}


def test_files_of_somebody_else_are_not_removed_with_a_result(tmp_path):
    done(tmp_path, writing("a"))
    (tmp_path / "a" / "folder" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"notes\.txt: does not belong to this run"):
        done(tmp_path, writing("a", "two"))
    assert (tmp_path / "a" / "folder" / "a.txt").read_text() == "one"
    (tmp_path / "a" / "folder" / "notes.txt").unlink()
    (tmp_path / "a" / "folder" / ".mine").write_text("")
    with pytest.raises(UserError, match=r"\.mine: does not belong to this run"):
        done(tmp_path, writing("a", "two"))
    (tmp_path / "a" / "folder" / ".mine").rename(tmp_path / "a" / "folder" / ".DS_Store")
    done(tmp_path, writing("a", "two"))


def test_a_run_killed_between_two_moves_resumes(tmp_path, monkeypatch):
    done(tmp_path, writing("a"))
    real = os.replace

    def killed(old, new):
        if str(new).endswith("a.txt"):
            raise KeyboardInterrupt
        real(old, new)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        done(tmp_path, writing("a", "two"))
    monkeypatch.undo()
    assert states(tmp_path, writing("a", "two"))["a"][0] is State.MISSING
    done(tmp_path, writing("a", "two"))
    assert (tmp_path / "a.txt").read_text() == "two"
    assert sorted(path.name for path in (tmp_path / ".jobs").iterdir()) == ["a.json"]


def test_what_is_published_is_on_disk_before_its_record(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.readlink(f"/proc/self/fd/{handle}")))
    done(tmp_path, writing("a"))
    order = [Path(name).name for name in synced]
    assert order.index("a.json.partial") > max(order.index("a.txt"), order.index("file"), order.index(tmp_path.name))


def test_a_folder_in_the_place_of_a_record_is_kept(tmp_path):
    (tmp_path / ".jobs" / "a.json").mkdir(parents=True)
    (tmp_path / ".jobs" / "a.json" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"a\.json: is a folder"):
        done(tmp_path, writing("a"))
    assert (tmp_path / ".jobs" / "a.json" / "notes.txt").read_text() == "mine"


def test_what_the_run_did_not_write_is_never_replaced(tmp_path):
    (tmp_path / "a.txt").write_text("mine")
    with pytest.raises(UserError, match=r"a\.txt: does not belong to this run"):
        done(tmp_path, writing("a"))
    assert (tmp_path / "a.txt").read_text() == "mine"
    assert not (tmp_path / ".jobs" / "a.json").exists()
    (tmp_path / "a.txt").write_text("one")  # what it would write anyway
    done(tmp_path, writing("a"))
    (tmp_path / ".jobs" / "a.json").write_text("{torn")
    (tmp_path / "a.txt").write_text("edited")
    with pytest.raises(UserError, match=r"a\.txt: does not belong to this run"):
        done(tmp_path, writing("a"))


@pytest.mark.parametrize("place", [".work", ".jobs", "study.yaml", ".lock", ".agreed"])
def test_a_run_whose_own_files_are_links_is_refused(tmp_path, place):
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    done(run, writing("a"))
    (elsewhere / "a-0123456789ab").mkdir(parents=True)
    if (run / place).exists():
        (run / place).rename(tmp_path / "gone")
    (run / place).symlink_to(elsewhere)
    with pytest.raises(UserError, match="is a symbolic link"), Run(run).locked():
        Run(run).clear(writing("a"))
    assert (elsewhere / "a-0123456789ab").is_dir()


def clear(root, *jobs):
    for one in leftovers.find(Run(root), Run(root).statuses(jobs)):
        one.remove()


@pytest.mark.parametrize("place", ["a/folder", "a", "a/folder/a.txt"])
def test_what_is_left_over_is_not_removed_through_a_link(tmp_path, place):
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    done(run, writing("a"), writing("b"))
    (run / place).rename(elsewhere)
    (run / place).symlink_to(elsewhere)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="is a symbolic link"):
        clear(run, writing("b"))
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_left_over_is_removed_only_if_the_run_wrote_it(tmp_path):
    done(tmp_path, writing("a"), writing("b"))
    (tmp_path / "a.txt").write_text("mine now")
    shutil.copy(tmp_path / ".jobs" / "a.json", tmp_path / ".jobs" / "again.json")
    (tmp_path / ".work" / "notes").mkdir(parents=True)
    (tmp_path / ".work" / "notes" / "notes.txt").write_text("mine")
    (tmp_path / ".work" / "a-0123456789ab").mkdir()
    clear(tmp_path, writing("b"))
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"a.txt", "b.txt", "b/folder/a.txt", ".jobs/b.json", ".work/notes/notes.txt"}
    assert not (tmp_path / ".work" / "a-0123456789ab").exists()
