"""A command that is interrupted or killed, and goes on."""

import itertools
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from conftest import SMALL
from sonosynth import disk

PATIENCE = 300  # seconds, in which a command has to begin something or to end


@contextmanager
def command(log: Path, *arguments):
    """A command in a process that does not outlive the test; what it says goes to a file."""
    line = [sys.executable, "-c", "from sonosynth.cli import main; main()", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with log.open("w") as said:
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=said, text=True, env=environment)
    try:
        yield process
    finally:
        process.kill()  # its workers end with it
        process.wait()


def status(log, *arguments):
    with command(log, *arguments) as process:
        return process.wait(PATIENCE)


def wait_for(state, process):
    ends = time.monotonic() + PATIENCE
    while not state():
        assert process.poll() is None and time.monotonic() < ends
        time.sleep(0.1)


def test_an_interrupted_command_exits_with_130_and_goes_on(tmp_path, cohort_folder, tiny_base, tiny_classifier):
    fewer = ("adapters.sd+ti=null", "sets.sd.count=3", "sets.sd+img2img=null", "arms.real+sd={sets: [sd]}")
    changes = (*SMALL, *fewer, "classifier.seeds=[0]", f"classifier.model={tiny_classifier}")
    small = [part for change in changes for part in ("--set", change)]
    arguments = ["run", cohort_folder, "--out", tmp_path / "run", "--base", tiny_base]
    log = tmp_path / "log"
    with command(log, *arguments, *small, "--set", "lora.steps=100000") as process:
        wait_for(lambda: any((tmp_path / "run" / ".work").glob("adapters,sd-*")), process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 130, log.read_text()
    message = log.read_text()
    assert "run the same command again to resume" in message
    assert "Traceback" not in message
    assert not (tmp_path / "run" / "adapters").exists()
    assert status(log, *arguments, *small) == 2  # two settings were changed
    assert status(log, *arguments, *small, "--change") == 0, log.read_text()
    assert (tmp_path / "run" / "report.html").is_file()


def contents(root):
    """The digests of all files but those that record how long jobs took."""
    timed = ("report.html", ".parts/summary.txt", ".jobs/")
    files = {str(p.relative_to(root)): p for p in root.rglob("*") if p.is_file()}
    return {name: disk.sha256(file) for name, file in files.items() if not name.startswith(timed)}


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_files(tmp_path, phantoms, tiny_base, tiny_classifier):
    changes = (
        *SMALL,
        "adapters.sd=null",
        "sets.sd+ti.count=3",
        "sets.variation=null",
        "classifier.seeds=[0]",
        f"classifier.model={tiny_classifier}",
        "lora.steps=80",
        "token.steps=80",
        "synthesis.batch=4",
    )
    arguments = ["run", phantoms, "--base", tiny_base, *(part for change in changes for part in ("--set", change))]
    log, killed = tmp_path / "log", tmp_path / "killed"
    assert status(log, *arguments, "--out", tmp_path / "whole") == 0, log.read_text()
    moments = ["training token", "training LoRA", "making sd", "measuring"]
    for number, moment in zip(itertools.cycle((signal.SIGKILL, signal.SIGTERM)), moments, strict=False):
        with command(log, *arguments, "--out", killed) as other:
            wait_for(lambda moment=moment: f"\n{moment}" in log.read_text(), other)
            time.sleep(0.3)
            other.send_signal(number)
            assert other.wait(PATIENCE) in (-signal.SIGKILL, 130), log.read_text()
    assert status(log, *arguments, "--out", killed) == 0, log.read_text()
    assert contents(killed) == contents(tmp_path / "whole")
