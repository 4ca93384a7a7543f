"""A command that is interrupted or killed, and goes on."""

import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import torch

from sonosynth import disk
from sonosynth.fidelity import probe
from sonosynth.run import Study

CHANGES = (
    "adapters.sd=null", "sets.sd+ti.count=3", "classifier.seeds=[0]", "lora.steps=80", "token.steps=80",
    "synthesis.batch=4",
)  # fmt: skip
PATIENCE = 300  # seconds, in which a command has to begin something or to end


@contextmanager
def command(log: Path, *arguments):
    """A command in a process that does not outlive the test; what it says goes to a file."""
    line = [sys.executable, "-c", "from sonosynth.cli import main; main()", *map(str, arguments)]
    with log.open("w") as said:
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=said, text=True)
    try:
        yield process
    finally:
        process.kill()  # its workers end with it
        process.wait()


def wait_for(state, process):
    ends = time.monotonic() + PATIENCE
    while not state():
        assert process.poll() is None and time.monotonic() < ends
        time.sleep(0.1)


def contents(root):
    """The digests of all files but those that record how long jobs took."""
    timed = ("report.html", ".parts/summary.txt", ".jobs/")
    files = {str(p.relative_to(root)): p for p in root.rglob("*") if p.is_file()}
    return {name: disk.sha256(file) for name, file in files.items() if not name.startswith(timed)}


def test_a_run_that_is_killed_and_interrupted_ends_with_the_files_of_one_that_is_not(
    tmp_path, settings, phantoms, answer, monkeypatch, one_process
):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # here, too
    monkeypatch.setattr(probe, "DRAWS", 5)  # which tests lower in this process alone
    torch.set_num_threads(1)
    study = Study(phantoms, settings(*CHANGES))
    study.run(tmp_path / "whole", processes=False)
    file, log, killed = tmp_path / "settings.yaml", tmp_path / "log", tmp_path / "killed"
    shutil.copy(tmp_path / "whole" / "study.yaml", file)
    arguments = ["run", phantoms, "--config", file, "--out", killed]
    for moment, number in {"training LoRA": signal.SIGKILL, "making sd": signal.SIGTERM}.items():
        with command(log, *arguments) as process:
            wait_for(lambda moment=moment: f"\n{moment}" in log.read_text(), process)
            time.sleep(0.3)
            process.send_signal(number)
            ended = process.wait(PATIENCE)
        assert ended == (130 if number == signal.SIGTERM else -number), log.read_text()
    assert "run the same command again to resume" in log.read_text() and "Traceback" not in log.read_text()
    status, said = answer(*arguments, "--set", "lora.steps=81")
    assert status == 2 and "--change" in said
    assert answer(*arguments)[0] == 0  # in this process, which is the third
    assert contents(killed) == contents(tmp_path / "whole")
