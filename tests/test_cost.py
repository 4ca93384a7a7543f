import json
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from graph_examples import Writing, write
from sonosynth import cost
from sonosynth.adapters.jobs import AdapterLearning, Learning
from sonosynth.adapters.settings import Adapt, Lora
from sonosynth.bases import sd1
from sonosynth.cost import Cost, Effort
from sonosynth.jobs import Job, Made, State, Status
from sonosynth.report.terminal import planned, show_plan, show_time_left
from sonosynth.runners.execution import execute
from sonosynth.runners.local import run_jobs
from sonosynth.store import Run
from sonosynth.synthesis.resolved import Making
from sonosynth.synthesis.settings import Balance, Synthesis

VERSION = 1


@dataclass(frozen=True)
class Counting:
    kind: str = ""
    steps: int = 1

    @property
    def effort(self):
        return Effort((self.kind,), self.steps)


def job(name, settings=None, needs=(), **more):
    return Job(name, write, settings, {"parts": needs} if needs else {}, {"file": name}, **more)


def made(**seconds):
    return {name: Made(name, {}, {}, "", taken, 500) for name, taken in seconds.items()}


def test_a_job_is_expected_to_take_what_its_like_did():
    jobs = [job(name, Counting("a", 10)) for name in ("x", "y", "z")]
    found = cost.expected(jobs, made(x=4.0, y=6.0))
    assert found == {"x": Cost(4, 500), "y": Cost(6, 500), "z": Cost(5, 500)}


def test_another_amount_is_scaled_and_the_same_one_is_preferred():
    jobs = [job("short", Counting("a", 10)), job("long", Counting("a", 30)), job("next", Counting("a", 30))]
    assert cost.expected(jobs, made(short=2.0))["long"].seconds == pytest.approx(6)
    assert cost.expected(jobs, made(short=2.0, long=5.0))["next"].seconds == 5


def test_other_kinds_arguments_and_functions_tell_nothing():
    others = [job("kind", Counting("b")), job("arguments", Counting("a"), needs=("x",))]
    others.append(Job("function", test_other_kinds_arguments_and_functions_tell_nothing, None, {}, {"file": "f"}))
    jobs = [job("x", Counting("a")), *others]
    assert set(cost.expected(jobs, made(x=2.0))) == {"x"}
    assert cost.left(jobs, ["x"], cost.expected(jobs, made(x=2.0)), 2) == cost.Left(0, 3, 1000)


def test_the_smallest_peak_of_a_kind_is_expected():
    """A process may still hold what an earlier job of another kind took."""
    done = {name: Made(name, {}, {}, "", 1.0, peak) for name, peak in (("x", 900), ("y", 300))}
    assert cost.expected([job("x"), job("y"), job("z")], done)["z"].peak_mb == 300


def test_jobs_side_by_side_share_the_cores():
    def left(cores, *jobs, **done):
        return cost.left(jobs, done, cost.expected(jobs, made(**done)), cores)

    waiting = [job(str(i)) for i in range(8)]
    assert left(2, job("x"), *waiting, x=10.0).seconds == pytest.approx(40)
    assert left(2, job("x"), *waiting, x=10.0).peak_mb == 1000
    # Four processes at most, however many cores.
    assert left(64, job("x"), *waiting, x=10.0).seconds == pytest.approx(20)
    wide = [job(str(i), threads=2) for i in range(8)]
    assert left(2, job("x", threads=2), *wide, x=10.0).seconds == pytest.approx(80)
    on_gpu = [job(str(i), device="cuda") for i in range(8)]
    assert left(64, job("x", device="cuda"), *on_gpu, x=10.0).seconds == pytest.approx(80)


def test_a_chain_takes_as_long_as_all_its_jobs():
    chain = [job(f"{i}", needs=("x",) if i == 1 else (f"{i - 1}",)) for i in range(1, 4)]
    known = cost.expected([job("x"), *chain], made(x=1.0, **{"1": 10.0}))
    assert cost.left([job("x"), *chain], ["x", "1"], known, 4).seconds == pytest.approx(20)


def test_trainings_and_sets_scale_by_their_steps():
    learning = Learning(sd1.Base("b", Path("/b"), ""), "fp32", {}, 0, Adapt())

    def lora(**values):
        return AdapterLearning(learning, Lora(**values)).effort

    assert lora(steps=300).amount == 3 * lora(steps=100).amount == lora(steps=100, accumulation=3).amount
    assert lora(rank=4).kind != lora(rank=8).kind != AdapterLearning(learning, None).effort.kind

    fills_up = Balance()

    def making(count=fills_up, strength=None, refine_steps=None, **synthesis):
        return Making(
            name="s", kind="image", kind_version=1, depth=0, prompts={"a": "p", "b": "p"}, count=count,
            synthesis=Synthesis(**synthesis), strength=strength, refine_steps=refine_steps, base=None,
            precision="fp32", resolution=64, seed=0,
            leaks=False, source="noise", negative_control=False,
        ).effort  # fmt: skip

    assert making(steps=40).amount == 2 * making(steps=20).amount == pytest.approx(4 * making(strength=0.5).amount)
    assert making(10).amount == making({"a": 15, "b": 5}).amount == 20 * making().amount
    assert making(10).kind != making().kind
    assert making(strength=0.5, refine_steps=10).amount == making(steps=10).amount
    assert making().kind != making(guidance=2).kind
    assert making(strength=0).kind != making().kind


def test_the_plan_tells_what_jobs_took_and_will_take(capsys):
    jobs = [job("x", Counting("a", 10)), job("y", Counting("a", 70)), job("z", Counting("b"))]
    statuses = [(jobs[0], Status(State.DONE, made=made(x=60.0)["x"])), *((x, Status(State.MISSING)) for x in jobs[1:])]
    rows = planned(statuses, 2, {})
    assert [(row["seconds"], row["peak_mb"], row["share"]) for row in rows] == [
        (60, 500, 0.5), (420, 500, 0.5), (None, None, 0.5),
    ]  # fmt: skip
    assert json.loads(json.dumps(rows)) == rows
    show_plan(rows)
    show_time_left(statuses, 2)
    printed = capsys.readouterr()
    cells = [[cell.strip() for cell in line.split("│")[4:-1]] for line in printed.out.splitlines() if "│" in line]
    assert cells == [["done", "60 s", "500 MB"], ["missing", "about 7 min", "500 MB"], ["missing", *["unknown"] * 2]]
    assert "60 s elapsed so far" in printed.out
    assert printed.err == "on this machine: about 7 min remaining (unknown: 1 job); up to 1.0 GB of memory\n"
    again = Status(State.WAITING, last=made(y=90.0)["y"])
    show_time_left([statuses[0], (jobs[1], again)], 2)
    assert "about 90 s remaining;" in capsys.readouterr().err
    show_time_left(statuses[:1], 2)
    assert capsys.readouterr().err.startswith("on this machine: nothing left")


def pause(settings: Writing, *, work: Path) -> None:
    time.sleep(0.05)
    if settings.speed:
        raise KeyboardInterrupt
    (work / "file").write_text("")


def test_the_line_of_a_job_tells_the_time_left_once_it_is_known_of_most(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Run, "publish", lambda run, job, *_: made(**{job.name: 60.0})[job.name])
    jobs = [Job(name, pause, Writing("", speed=0), {}, {"file": name}) for name in "abc"]
    jobs.append(Job("d", write, Writing(""), {}, {"file": "d"}))
    run_jobs(Run(tmp_path), jobs, 1, processes=False)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "[1/4] a", "[2/4] b, about 120 s remaining (unknown: 1 job)", "[3/4] c, about 60 s remaining (unknown: 1 job)",
        "[4/4] d",
    ]  # fmt: skip


def test_an_interrupted_job_takes_what_all_its_calls_took(tmp_path):
    def execution(speed):
        return execute(Run(tmp_path), Job("a", pause, Writing("", speed=speed), {}, {"file": "a"}), {})

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            execution(1)
    assert execution(0).seconds >= 0.2


def allocate(settings: Writing, *, work: Path) -> None:
    (work / "file").write_bytes(b"x" * (1_000_000 * settings.speed))


def test_the_peak_of_a_job_is_its_own(tmp_path):
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pytest.skip("this system can't tell")
    large, small = (
        execute(Run(tmp_path), Job(name, allocate, Writing("", speed=size), {}, {"file": name}), {}).peak_mb
        for name, size in (("large", 300), ("small", 1))
    )
    assert small < large - 250
