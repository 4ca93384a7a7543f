"""What the documents say is what the code does: every setting, and every command, at a reduced size."""

import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

from conftest import SMALL
from sonosynth import cli, config, demo
from sonosynth.config import PRESETS, Arm, Section, Settings

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "benchmarks" / "README.md", *(ROOT / "docs").glob("*.md")])
FEWER = (
    "balance.target=largest",
    "classifier.seeds=[0]",
    "arms={real+oversampling: null, real+classical+sd+ti: null, real+classical+sd: null}",
)


def commands(program):
    """The commands of `program` in the code blocks of all documents."""
    found = {}
    for page in PAGES:
        for line in page.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
            if line.startswith(f"    {program} "):
                found.setdefault(" ".join(shlex.split(line, comments=True)), shlex.split(line, comments=True)[1:])
    return found


def snippets():
    """The Python code in all documents."""
    return [
        code for page in PAGES for code in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    ]


def rows():
    """One Markdown row per setting: name, type, default, meaning."""
    for name, field in Settings.model_fields.items():
        section = field.default
        if name == "arms":
            for key, inner in Arm.model_fields.items():
                yield row(f"arms.NAME.{key}", inner)
            for arm in field.default:
                yield f"- `{arm}`"
        elif isinstance(section, Section) or name == "prompts":
            for key, inner in type(section).model_fields.items():
                yield row(f"{name}.{inner.alias or key}", inner)
        else:
            yield row(name, field)


def row(name, field):
    default = list(field.default) if isinstance(field.default, tuple) else field.default
    return f"| `{name}` | `{default}` | {field.description} |"


@pytest.mark.parametrize("line", list(rows()))
def test_every_setting_is_documented_with_its_default(line):
    assert line in (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")


def test_presets_and_commands_are_documented():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"`{preset}`" in text for preset in PRESETS)
    assert "python -m pip install -c constraints.txt . && sonosynth demo" in text
    assert "python -m pip install -c constraints.txt '.[dev]' && python -m pytest" in text


@pytest.fixture
def place(tmp_path, monkeypatch, phantoms, finished, tiny_base, tiny_classifier):
    """A folder in which the names that the documents use stand for something small."""
    shutil.copytree(phantoms, tmp_path / "busi")
    files = sorted(p.relative_to(tmp_path) for p in (tmp_path / "busi").rglob("*.png") if "_mask" not in p.stem)
    table = pd.DataFrame({"file": files, "label": ["cyst" if "benign" in str(f) else "carcinoma" for f in files]})
    table.to_csv(tmp_path / "cohort.csv", index=False)
    for run in ("first", "paper"):
        shutil.copytree(finished, tmp_path / "runs" / run)
    shutil.copytree(tiny_base, tmp_path / "models" / "stable-diffusion-v1-5")
    shutil.copytree(tiny_classifier, tmp_path / "models" / "resnet-18")
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("*.md", "images"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", list(commands("sonosynth").values()), ids=" ".join)
def test_every_command_runs(command, place, tiny_base, tiny_classifier, trained_in_this_process, monkeypatch):
    small = (f"classifier.model={tiny_classifier}", *SMALL, *FEWER)
    if command[0] == "run":
        out = place / command[command.index("--out") + 1]
        shutil.rmtree(out, ignore_errors=True)
        base = () if "--base" in command else (f"base={tiny_base}",)
        folds = ("repeats.folds=2",) if "repeats.folds=5" in command else ()
        small = [word for change in (*base, *small, *folds) for word in ("--set", change)]
        command = [*command, *small]
    monkeypatch.setattr(sys, "argv", ["sonosynth", *command])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    if command[0] == "run":
        assert (out / "report.html").is_file()


def test_the_demo_runs(place, settings, trained_in_this_process, monkeypatch):
    monkeypatch.setattr(demo, "COUNTS", {"normal": 5, "benign": 11, "malignant": 7})
    small = settings(*FEWER)
    monkeypatch.setattr(config, "load", lambda preset: small)
    monkeypatch.setattr(sys, "argv", ["sonosynth", "demo"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    assert (place / "sonosynth-demo" / "run" / "report.html").is_file()


@pytest.mark.parametrize("code", snippets())
def test_every_snippet_runs(code, place):
    names = {}
    exec(code.replace("stable-diffusion-v1-5/stable-diffusion-v1-5", "models/stable-diffusion-v1-5"), names)
    assert names["image"].mode == "L"


@pytest.mark.parametrize("command", list(commands("python").values()), ids=" ".join)
def test_benchmarks_know_the_options_that_are_documented(command, monkeypatch, capsys):
    if not command[0].startswith("benchmarks/"):
        pytest.skip("the installation, and the tests themselves")
    monkeypatch.setattr(sys, "argv", [command[0], "--help"])
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / command[0]), run_name="__main__")
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert all(word in told for word in command if word.startswith("--"))
