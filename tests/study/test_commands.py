"""The command line: stages, messages, and what it imports."""

import json
import shutil
import subprocess
import sys

import pytest

from conftest import figures_of
from sonosynth import cli
from studies import snapshot


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "nothing", "--out", "OUT"), "nothing: does not exist"),
        (("run", "COHORT", "--out", "OUT", "--preset", "fast"), "--preset fast"),
        (("run", "COHORT", "--out", "OUT", "--set", "lora.rnk=3"), "lora.rnk: there is no such setting"),
        (("run", "COHORT", "--out", "OUT", "--base", "./none"), "base ./none"),
        (("run", "COHORT", "--out", "OUT", "--set", "resolution=100"), "resolution: 100"),
        (("run", "COHORT", "--out", "OUT", "--set", "prompts.labels.cat=a cat"), "the cohort has no label cat"),
        (("run", "COHORT", "--out", "OUT", "--set", "sets.x={from: y}"), "sets.x: needs sets.y, which is not declared"),
        (("run", "COHORT", "--out", "OUT", "--config", "no-such-file"), "no-such-file"),
        (("run", "COHORT", "--out", "COHORT"), "exists and is not a run folder"),
        (("adapt", "OUT"), "is not a run folder (study.yaml is missing)"),
        (("plan", "nothing"), "nothing: does not exist"),
        (("inspect", "nothing"), "does not exist"),
        (("phantoms", "--out", "OUT", "--count", "benign"), "--count benign"),
        (("phantoms", "--out", "OUT", "--count", f"benign={10**30}"), "--count benign=1"),
        (("run", "COHORT", "--out", "/proc/run"), "--out /proc/run: can't be created"),
        (("fly",), "No such command"),
    ],
)
def test_bad_input_gets_one_message_and_status_2(tmp_path, cohort_folder, arguments, message, answer):
    places = {"OUT": tmp_path / "out", "COHORT": cohort_folder}
    before = snapshot(cohort_folder)
    status, said = answer(*(places.get(a, a) for a in arguments))
    assert status == 2, said
    assert message in said
    assert not (tmp_path / "out").exists()
    assert snapshot(cohort_folder) == before


def test_commands_of_the_stages_and_inspect(copy, cohort_folder, monkeypatch, capsys):
    def here(*arguments):
        """What a command prints that runs in this process."""
        monkeypatch.setattr(sys, "argv", ["sonosynth", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 0
        return capsys.readouterr().out

    monkeypatch.setattr("sonosynth.runners.workers.start", lambda: None)  # for jobs that are done
    shutil.rmtree(copy / "figures")
    planned = json.loads(here("plan", copy, "--json"))
    assert {row["state"] for row in planned} == {"done", "missing"}
    assert [row["reason"] for row in planned if row["name"] == "report"] == ["figures/across.pdf is gone"]
    for name in ("adapt", "synthesize", "evaluate"):
        here(name, copy)
    with figures_of("pictures"):
        assert "real+sd+ti+img2img" in here("report", copy)
    assert (copy / "figures" / "grid.png").is_file()
    assert json.loads(here("inspect", cohort_folder, "--json"))["classes"] == {
        "benign": 11,
        "malignant": 7,
        "normal": 5,
    }
    assert "malignant" in here("inspect", cohort_folder)


def test_help_imports_nothing_heavy():
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "from sonosynth.cli import main; main()", "--help"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0
    assert "demo" in result.stdout
    for module in ("torch", "pandas", "matplotlib", "diffusers", "pydantic"):
        assert f"| {module}\n" not in result.stderr
