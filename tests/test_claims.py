"""Claims: one holder at a time, whoever dies."""

import os
import subprocess
import sys
import threading
import time

import pytest

from graph_examples import writing
from sonosynth import claims
from sonosynth.errors import UserError
from sonosynth.runners.execution import execute, working
from sonosynth.store import Run

HOLDS = """
import sys, time
from pathlib import Path
from sonosynth import claims
with claims.held(Path(sys.argv[1])):
    print("in", flush=True)
    time.sleep(60)
"""


def holding(path):
    process = subprocess.Popen([sys.executable, "-c", HOLDS, path], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "in\n"
    return process


def test_a_claim_is_free_when_its_holder_is_killed(tmp_path):
    path = tmp_path / "a.claim"
    other = holding(path)
    assert claims.holder(path) == f"process {other.pid} on {os.uname().nodename}"
    with pytest.raises(claims.HeldError, match=f"process {other.pid} "), claims.held(path):
        pass
    other.kill()
    other.wait()
    assert path.exists() and claims.holder(path) == ""
    with claims.held(path):
        assert path.read_text() == claims.myself()
    assert not path.exists()


def test_who_waits_gets_the_claim_next(tmp_path, capsys):
    other = holding(tmp_path / "a.claim")
    timer = threading.Timer(0.3, other.kill)
    timer.start()
    with claims.held(tmp_path / "a.claim", patience=60):
        pass
    assert f"a: waiting for process {other.pid} " in capsys.readouterr().err
    other.wait()


def test_never_two_hold_a_claim(tmp_path):
    """Threads open the file each for themselves, as processes do: the lock is that of the open file."""
    inside, most, took = [0], [0], [0]

    def take():
        for _ in range(20):
            with claims.held(tmp_path / "a.claim", patience=60):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                took[0] += 1
                time.sleep(0.0005)
                inside[0] -= 1

    threads = [threading.Thread(target=take) for _ in range(6)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert (most[0], took[0]) == (1, 120)


def test_a_link_in_its_place_is_not_followed(tmp_path):
    (tmp_path / "a.claim").symlink_to(tmp_path / "theirs")
    with pytest.raises(OSError), claims.held(tmp_path / "a.claim"):
        pass
    assert not (tmp_path / "theirs").exists()


def test_a_job_that_another_process_makes_is_not_made_twice(tmp_path, monkeypatch):
    run, job = Run(tmp_path), writing("a")
    monkeypatch.setattr(claims, "PATIENCE", 0.0)
    other = holding(run.claim_path("a"))
    statuses = run.statuses([job])
    assert working(run, statuses) == {"a": f"process {other.pid} on {os.uname().nodename}"}
    with pytest.raises(UserError, match=f"a is being made by process {other.pid} "):
        execute(run, job, {})
    other.kill()
    other.wait()
    assert working(run, statuses) == {}
    made = execute(run, job, {})
    record = run.record_path("a").stat().st_mtime_ns
    assert execute(Run(tmp_path), job, {}) == made and run.record_path("a").stat().st_mtime_ns == record
    run.tidy()
    assert not (tmp_path / ".work").exists()
