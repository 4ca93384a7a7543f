"""A study whose jobs another scheduler starts: the commands that submit them, and each job by itself."""

import json
import os
import re
import subprocess
import sys

import pytest

from graph_examples import Writing, joined, slow, writing
from sonosynth import claims, cli, runners
from sonosynth.cost import Cost
from sonosynth.jobs import Job
from sonosynth.run import Study, reopen
from sonosynth.runners import slurm
from sonosynth.runners.local import run_jobs
from sonosynth.scheduled import for_slurm, run_job
from sonosynth.store import Run

SBATCH = """#!/bin/sh
echo "$@" >> "$LOG"
wc -l < "$LOG"
"""


def test_the_script_submits_each_job_after_those_it_needs(tmp_path):
    (tmp_path / "sbatch").write_text(SBATCH)
    (tmp_path / "sbatch").chmod(0o755)
    chain = Job("sum's end", slow, Writing("x"), {"parts": ("joined", "a")}, {"file": "end.txt"}, 4, "cuda")
    script = slurm.script(tmp_path / "a run", [writing("a"), writing("b"), joined("a", "b"), chain], {"b": Cost(1, 90)})
    log = tmp_path / "log"
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "LOG": str(log)}
    subprocess.run(["sh", "-c", script], env=environment, check=True, capture_output=True)
    submitted = log.read_text().splitlines()
    after = [re.findall(r"--dependency=afterok:(\S+)", line) for line in submitted]
    assert after == [[], [], ["1:2"], ["3"]]  # what is after joined is after a, too
    wrapped = f"--wrap=sonosynth run-job '{tmp_path}/a run' "
    assert [wrapped in line for line in submitted] == [True] * 4
    assert submitted[1].count("--mem=90M") == 1 and "--mem" not in submitted[0]
    assert "--cpus-per-task=4 --gpus=1" in submitted[3] and """'sum'"'"'s end' --threads 4""" in submitted[3]


@pytest.fixture
def started(phantoms, settings, tmp_path):
    """The folder of a study of which no job has run, and the script for Slurm."""
    root = tmp_path / "run"
    return root, for_slurm(Study(phantoms, settings()), root)


def names(script):
    return re.findall(r"run-job \S+ (\S+) --threads", script)


def test_jobs_run_one_by_one_as_a_study_does(started, tmp_path):
    root, script = started
    every = [job.name for job, _ in reopen(root).statuses(root)]
    assert names(script) == every and (root / "study.yaml").is_file()
    for name in ("cohort", "split"):
        run_job(reopen(root), root, name)
    graph = [job for job, _ in reopen(root).statuses(root, lambda job: job.name == "split")]
    run_jobs(Run(tmp_path / "here"), graph, 1, processes=False)
    for place in (".parts/pixels/real.npy", "cohort.csv"):
        assert (root / place).read_bytes() == (tmp_path / "here" / place).read_bytes()
    before = (root / ".jobs" / "split.json").stat().st_mtime_ns
    run_job(reopen(root), root, "split")  # requeued
    assert (root / ".jobs" / "split.json").stat().st_mtime_ns == before
    assert names(for_slurm(reopen(root), root)) == [name for name in every if name not in ("cohort", "split")]


def test_a_job_alone_is_refused(started, monkeypatch, answer):
    root, _ = started
    assert "report needs cohort, which is not done" in refusal(answer, root, "report")
    assert "its study has no job chohort; did you mean cohort?" in refusal(answer, root, "chohort")
    monkeypatch.setattr(claims, "PATIENCE", 0.0)
    with claims.held(Run(root).claim_path("cohort")):
        assert f"cohort is being made by process {os.getpid()} on " in refusal(answer, root, "cohort")


def refusal(answer, *arguments):
    status, said = answer("run-job", *arguments)
    assert status == 2
    return said


def test_a_plan_shows_who_works_on_what(started, monkeypatch, capsys):
    root, _ = started
    monkeypatch.setattr(sys, "argv", ["sonosynth", "plan", str(root), "--json"])
    capsys.readouterr()
    with claims.held(Run(root).claim_path("cohort")), pytest.raises(SystemExit):
        cli.main()
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["cohort"]["running"] == claims.myself() and rows["split"]["running"] is None


def test_what_needs_ray_says_so(answer, monkeypatch, phantoms, tmp_path):
    command = ("run", phantoms, "--out", tmp_path / "run")
    status, said = answer(*command, "--address", "1.2.3.4:5")
    assert status == 2 and "add --runner ray" in said
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "sonosynth.runners.ray", raising=False)
    monkeypatch.delattr(runners, "ray", raising=False)
    status, said = answer(*command, "--runner", "ray")
    assert status == 2 and "pip install 'sonosynth[ray]'" in said and not (tmp_path / "run").exists()


def test_nothing_of_ray_is_imported_unasked():
    code = "import sys, sonosynth.cli, sonosynth.run, sonosynth.scheduled; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
