import os
import signal
import subprocess
import sys
import time

import pytest

from graph_examples import Writing, die, fail, joined, odd, slow, writing
from sonosynth import progress
from sonosynth.errors import UserError
from sonosynth.jobs import Job
from sonosynth.runners.local import Here, run_jobs
from sonosynth.runners.scheduling import Placed
from sonosynth.store import Run


@pytest.mark.parametrize("processes", [True, False])
def test_jobs_run_once_and_their_results_reach_those_that_need_them(tmp_path, processes):
    graph = [writing("a", "x"), writing("b", "y"), joined("b", "a")]
    made = run_jobs(Run(tmp_path), graph, 2, processes=processes)
    assert (tmp_path / "joined.txt").read_text() == "y+x"
    assert set(made) == {"a", "b", "joined"}
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert run_jobs(Run(tmp_path), graph, 2, processes=processes) == made
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before
    Run(tmp_path).tidy()
    assert not (tmp_path / ".work").exists()


def test_a_result_that_comes_out_the_same_spreads_no_further(tmp_path, capsys):
    run_jobs(Run(tmp_path), [writing("a", "x"), joined("a")], 2, processes=False)
    (tmp_path / "a.txt").unlink()
    capsys.readouterr()
    run_jobs(Run(tmp_path), [writing("a", "x"), joined("a")], 2, processes=False)
    said = capsys.readouterr().err
    assert "] a\n" in said and "joined" not in said


def test_a_job_that_fails_stops_the_study_and_keeps_what_is_done(tmp_path):
    failing = Job("bad", fail, Writing("it does not"), {}, {"file": "bad.txt"})
    for processes in (True, False):
        with pytest.raises(UserError, match="it does not\nexpected: that it works\nfix: try again"):
            run_jobs(Run(tmp_path), [writing("a"), failing, joined("a")], 1, processes=processes)
        assert (tmp_path / "a.txt").exists() and not (tmp_path / "joined.txt").exists()


def test_a_worker_that_is_killed_is_one_message(tmp_path):
    job = Job("dies", die, Writing(""), {}, {"file": "dies.txt"})
    with pytest.raises(UserError, match="a process that ran a job was killed"):
        run_jobs(Run(tmp_path), [job], 1)


def test_an_exception_that_can_not_travel_is_shown(tmp_path):
    job = Job("odd", odd, Writing(""), {}, {"file": "odd.txt"})
    with pytest.raises(RuntimeError, match="OddError: 1 and 2"):
        run_jobs(Run(tmp_path), [job], 1)


def test_no_job_starts_without_the_cores_that_it_asks_for():
    def job(threads, device="cpu"):
        return Job("j", slow, Writing(""), {}, {"file": "j"}, threads, device)

    def fits(one, running, cores):
        return Here(cores).place(one, [Placed(other, "") for other in running]) is not None

    assert fits(job(8), [], 2)  # alone, whatever it asks for
    assert fits(job(1), [job(1)], 2)
    assert not fits(job(2), [job(1)], 2)
    assert not fits(job(1), [job(2)], 2)
    assert not fits(job(1), [job(1)] * 4, 16)
    assert fits(job(1, "cuda"), [job(1)], 16)
    assert not fits(job(1, "cuda"), [job(1, "cuda")], 16)


MAIN = """
import signal, sys
from pathlib import Path
from graph_examples import Writing, slow
from sonosynth.jobs import Job
from sonosynth.runners.local import run_jobs
from sonosynth.store import Run
signal.signal(signal.SIGTERM, signal.default_int_handler)
job = Job("slow", slow, Writing(""), {}, {"file": "slow.txt"})
try:
    run_jobs(Run(Path(sys.argv[1])), [job], 1)
except KeyboardInterrupt:
    sys.exit(130)
"""


def counting(root):
    """A driver, leader of its own group of processes, whose worker has counted to 5."""
    path = os.pathsep.join([os.path.dirname(os.path.dirname(__file__)), *sys.path])
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, root], stderr=subprocess.PIPE, text=True, start_new_session=True,
        env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip
    for line in process.stderr:
        if line.startswith("counting: 5/"):
            break
    return process


@pytest.mark.parametrize("whom", ["the driver", "all of its group", "the driver, by SIGINT"])
def test_work_in_progress_is_saved_when_the_driver_is_interrupted(tmp_path, whom):
    """A service manager signals one process, a terminal or a scheduler the whole group."""
    process = counting(tmp_path)
    number = signal.SIGINT if "SIGINT" in whom else signal.SIGTERM
    (os.killpg if "group" in whom else os.kill)(process.pid, number)
    rest = process.stderr.read()
    assert process.wait() == 130, rest
    assert "stopping: jobs that are running save their work" in rest and "Traceback" not in rest
    [saved] = tmp_path.glob(".work/slow-*/file")
    assert 5 <= int(saved.read_text()) < 100
    assert not (tmp_path / "slow.txt").exists()


def test_workers_end_with_a_driver_that_is_killed(tmp_path):
    process = counting(tmp_path)
    found = subprocess.run(["pgrep", "-g", str(process.pid)], capture_output=True, text=True, check=True)
    children = set(found.stdout.split()) - {str(process.pid)}
    assert children
    process.kill()
    process.wait()
    deadline = time.monotonic() + 30
    while any(os.path.exists(f"/proc/{child}") for child in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [child for child in children if os.path.exists(f"/proc/{child}")]


def test_a_worker_tells_the_driver_how_far_it_is(tmp_path, capfd):
    fast = Job("slow", slow, Writing("", speed=0), {}, {"file": "slow.txt"})
    run_jobs(Run(tmp_path), [fast], 1)
    assert "counting: 100/100" in capfd.readouterr().err
    progress.say("the driver draws on")
    assert "the driver draws on" in capfd.readouterr().err
