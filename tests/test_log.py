"""The views of what happens: pure functions of events, and what a command prints in each of them."""

import io
import json
import os
import pty
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from graph_examples import Writing, die, fail, slow, writing
from sonosynth import cli, progress
from sonosynth.errors import UserError
from sonosynth.jobs import Job
from sonosynth.progress.events import (
    Ended,
    JobFinished,
    JobStarted,
    Message,
    Outcome,
    Overall,
    Result,
    TaskAdvanced,
    TaskEnded,
    Warned,
)
from sonosynth.progress.live import Board
from sonosynth.runners.local import run_jobs
from sonosynth.store import Run

BEGIN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def at(seconds):
    return BEGIN + timedelta(seconds=seconds)


def trained(seconds, done, loss=0.25):
    left = seconds * (400 - done) / done if done else None
    told = ("1-0", "adapters/sd", "training sd", done, 400, float(seconds), left, {"loss": loss} if done else {})
    return TaskAdvanced(*told, time=at(10 + seconds))


STUDY = [
    Message("prompt of cyst: a cyst", time=at(0)),
    Warned("skipped: 1 file", time=at(1)),
    JobStarted("adapters/sd", 4, "settings changed", Overall(3, 45, 1500.0, 2), time=at(10)),
    trained(0, 0), trained(1, 4), trained(2, 20), trained(40, 100), trained(41, 101),
    JobStarted("pixels", 5, "", Overall(3, 45, None, 44), time=at(55)),
    JobFinished("pixels", Outcome.DONE, 1.5, Overall(4, 45, 1200.0, 2), time=at(60)),
    trained(160, 400),
    TaskEnded("1-0", time=at(170)),
    JobFinished("adapters/sd", Outcome.DONE, 160.0, Overall(5, 45, 900.0, 0), time=at(170)),
    Result("report: run/report.html", time=at(171)),
    Ended(2, "a: is wrong", "b", "c", time=at(172)),
]  # fmt: skip


def shown(log, capsys, events=tuple(STUDY)):
    show = progress.view.__wrapped__(log)  # a new one
    for event in events:
        show(event)
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def test_plain_lines(capsys):
    assert shown(progress.Log.PLAIN, capsys) == [
        "prompt of cyst: a cyst",
        "warning: skipped: 1 file",
        "[4/45] adapters/sd (again: settings changed), about 25 min remaining (unknown: 2 jobs)",
        "training sd: 20/400, 2 s elapsed, 38 s remaining loss 0.25",
        "training sd: 100/400, 40 s elapsed, 120 s remaining loss 0.25",
        "[5/45] pixels",
        "training sd: 400/400, 160 s elapsed, 0 s remaining loss 0.25",
        "report: run/report.html",
        "error: a: is wrong",
        "expected: b",
        "fix: c",
    ]


def test_quiet_lines(capsys):
    assert shown(progress.Log.QUIET, capsys) == [
        "report: run/report.html", "error: a: is wrong", "expected: b", "fix: c",
    ]  # fmt: skip
    assert shown(progress.Log.QUIET, capsys, [Ended(0)]) == []


def test_lines_of_json(capsys):
    rows = [json.loads(line) for line in shown(progress.Log.JSON, capsys)]
    assert [row["event"] for row in rows] == [
        "message", "warning", "job_started", "progress", "progress", "job_started", "job_finished", "progress",
        "job_finished", "result", "end",
    ]  # fmt: skip
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)
    assert datetime.fromisoformat(rows[0]["time"]) == BEGIN
    assert rows[2]["overall"] == {"done": 3, "jobs": 45, "remaining": 1500.0, "unknown": 2}
    begun, later, last = (row for row in rows if row["event"] == "progress")
    assert (begun["done"], begun["remaining"], begun["figures"]) == (0, None, {})
    assert (later["done"], later["remaining"], later["figures"]) == (100, 120.0, {"loss": 0.25})  # 5 s and more later
    assert (last["job"], last["done"], last["total"]) == ("adapters/sd", 400, 400)
    assert (rows[-2]["text"], rows[-3]["outcome"], rows[-3]["seconds"]) == ("report: run/report.html", "done", 160.0)
    assert {k: v for k, v in rows[-1].items() if k != "time"} == {
        "event": "end", "status": 2, "message": "a: is wrong", "expected": "b", "fix": "c",
    }  # fmt: skip


def test_json_is_inert(capsys):
    [line] = shown(progress.Log.JSON, capsys, [Message("\x1b[31mé\udce9\n\u2028")])
    assert line.isascii() and line.isprintable()
    assert json.loads(line)["text"] == "\x1b[31mé\udce9\n\u2028"


def drawn(events, seconds, width=100):
    board, text = Board(), io.StringIO()
    for event in events:
        board.take(event)
    Console(file=text, width=width, color_system=None).print(board.drawn(at(seconds)))
    return board, [re.sub(r"[━╸╺ ]+", " ", line).strip() for line in text.getvalue().splitlines()]


def test_the_board_shows_what_runs_and_what_is_left():
    board, lines = drawn(STUDY[:9], 70)
    assert board.busy
    assert lines == [
        "3 of 45 jobs done, 2 running",  # most jobs are of unknown length
        "adapters/sd 101/400 60 s, 121 s remaining loss 0.25",
        "pixels 15 s",
    ]
    _, lines = drawn(STUDY[:10], 360)  # the time left goes down between events
    assert lines[0] == "4 of 45 jobs done, 1 running, about 15 min remaining (unknown: 2 jobs)"
    board, lines = drawn(STUDY, 200)
    assert not board.busy and not any(lines)


def test_the_board_forgets_the_task_of_a_job_that_was_killed():
    killed = JobFinished("adapters/sd", Outcome.FAILED, 1.0, Overall(3, 45, None, 44), time=at(60))
    board, _ = drawn([*STUDY[:8], killed], 70)
    assert not board.busy


def test_the_board_shows_work_of_no_job():
    alone = replace(trained(10, 100), job="", text="[b]simulating")
    _, lines = drawn([alone], 20)
    assert lines == ["[b]simulating 100/400 10 s, 30 s remaining loss 0.25"]


@pytest.mark.parametrize("processes", [True, False])
def test_every_job_that_starts_also_ends(tmp_path, processes):
    counting = Job("slow", slow, Writing("", speed=0), {}, {"file": "slow.txt"})
    events = []
    before = progress.relay(events.append)
    run_jobs(Run(tmp_path / "a"), [writing("a"), counting], 1, processes=processes)
    started = [event.job for event in events if isinstance(event, JobStarted)]
    finished = [(event.job, event.outcome) for event in events if isinstance(event, JobFinished)]
    assert started == ["a", "slow"] and finished == [("a", "done"), ("slow", "done")]
    counts = [event for event in events if isinstance(event, TaskAdvanced)]
    assert [event.done for event in counts] == list(range(101)) and {event.job for event in counts} == {"slow"}
    assert isinstance(events[-1], JobFinished)  # after all that its process reported
    assert events[-1].overall == Overall(2, 2, 0.0, 0)
    assert progress.relay(before) == events.append  # as it was before


@pytest.mark.parametrize(("function", "processes"), [(fail, True), (fail, False), (die, True)])
def test_a_job_that_fails_ends_too(tmp_path, function, processes):
    job = Job("bad", function, Writing("no"), {}, {"file": "bad.txt"})
    events = []
    progress.relay(events.append)
    with pytest.raises(UserError):
        run_jobs(Run(tmp_path), [writing("a"), job], 1, processes=processes)
    finished = [(event.job, event.outcome) for event in events if isinstance(event, JobFinished)]
    assert finished == [("a", "done"), ("bad", "failed")]


@pytest.fixture
def rows(answer):
    """Status of a command, and the lines of its log."""

    def logged(*arguments):
        status, log = answer(*arguments)
        return status, [json.loads(line) for line in log.splitlines()]

    return logged


@pytest.mark.parametrize("first", [True, False])
def test_a_command_with_a_log_in_json(rows, finished, first):
    """Before or after the name of the command; a table that is gone is made again."""
    (finished / "evaluation" / "table.csv").unlink()
    command = ("report", finished)
    status, log = rows(*(("--log", "json", *command) if first else (*command, "--log", "json")))
    started = [row["job"] for row in log if row["event"] == "job_started"]
    assert status == 0 and started
    assert sorted(started) == sorted(row["job"] for row in log if row["event"] == "job_finished")
    assert {row["outcome"] for row in log if row["event"] == "job_finished"} == {"done"}
    assert [row["text"] for row in log if row["event"] == "result"] == [f"report: {finished / 'report.html'}"]
    assert (log[-1]["event"], log[-1]["status"]) == ("end", 0)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("--log", "json", "inspect", "nothing"), "does not exist"),
        (("inspect", "nothing", "--log=json"), "does not exist"),
        (("--log", "json", "run", "nothing", "--fly"), "--fly"),
        (("run", "--log", "json"), "Missing"),
    ],
)
def test_a_mistake_is_one_line_of_json(rows, command, message):
    status, [row] = rows(*command)
    assert status == row["status"] == 2
    assert message in row["message"] and row["fix"] is not None


def test_a_bug_is_one_line_of_json(rows, monkeypatch):
    def breaks(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr("sonosynth.settings.load", breaks)
    status, [row] = rows("inspect", "nothing", "--log", "json")
    assert status == row["status"] == 1
    assert row["message"].startswith("Traceback") and row["message"].endswith("RuntimeError: a bug")


def test_results_stay_on_stdout(finished, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["sonosynth", "plan", str(finished), "--json", "--log", "json"])
    with pytest.raises(SystemExit):
        cli.main()
    captured = capsys.readouterr()
    assert {row["state"] for row in json.loads(captured.out)} <= {"done", "missing"}
    assert [json.loads(line)["event"] for line in captured.err.splitlines()] == ["result", "end"]


SCRIPT = """
from sonosynth import progress
from sonosynth.progress.events import Ended
with progress.task("working", 2) as bar:
    bar.advance(loss=0.5)
    progress.say("a line")
    progress.warn("a doubt")
progress.emit(Ended(2, "wrong"))
"""


@pytest.mark.parametrize("plain", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_on_a_terminal(plain):
    ours, theirs = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | {"TERM": "xterm"} | plain
    subprocess.run([sys.executable, "-c", SCRIPT], stderr=theirs, check=True, env=environment)
    os.close(theirs)
    said = os.read(ours, 1 << 16).decode()
    os.close(ours)
    if plain:
        assert "\x1b" not in said and "working: 1/2" in said
    else:
        hidden, restored = said.rindex("\x1b[?25l"), said.rindex("\x1b[?25h")
        assert hidden < restored < said.index("wrong")  # the cursor is there again
        assert "working" in said and "\x1b[33ma doubt\x1b[0m" in said
    assert said.index("a line") < said.index("a doubt") < said.index("wrong")


def test_colours_can_not_be_forced_into_a_log():
    environment = os.environ | {"FORCE_COLOR": "1", "TERM": "xterm"}
    said = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, check=True, env=environment).stderr
    assert b"\x1b" not in said and b"working: 1/2" in said
