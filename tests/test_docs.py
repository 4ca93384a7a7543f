"""What the documents say is what the code does: every setting, command, snippet and link, at a reduced size."""

import json
import re
import runpy
import shlex
import shutil
import sys
import tomllib
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from conftest import FEW_IMAGES, SMALL
from sonosynth import cli, demo
from sonosynth import settings as loading
from sonosynth.adapters.settings import Adapter
from sonosynth.cli.app import app
from sonosynth.phantom import write_cohort
from sonosynth.reader import answers
from sonosynth.readers import make_kit
from sonosynth.run import reopen
from sonosynth.section import Section
from sonosynth.settings import PRESETS, Settings
from sonosynth.synthesis.settings import Set
from sonosynth.tasks.arms import Arm

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), ROOT / "benchmarks" / "README.md", *(ROOT / "docs").glob("*.md")])
EXTENDING = ROOT / "docs" / "extending.md"  # its code makes up a package, which test_extending.py runs
DECLARED = {"adapters": Adapter, "sets": Set, "arms": Arm}
FEWER = (
    "balance.target=largest",
    "classifier.seeds=[0]",
    FEW_IMAGES,
    "arms={real+oversampling: null, real+classical+sd+ti: null, real+classical+sd: null, real+sd+img2img: null,"
    " real+sd+ti+img2img: null, real+classical+oversampling+sd+ti: null, real+classical+oversampling+copies: null,"
    " real+classical+oversampling+sd+ti+img2img: null}",
)


def commands(program):
    """The commands of `program` in the code blocks of all documents, once each wherever their result goes."""
    found = {}
    for page in PAGES:
        for line in page.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
            if line.startswith(f"    {program} "):
                command = shlex.split(line, comments=True)
                found.setdefault(re.sub(r"--out \S+", "", " ".join(command)), command[1:])
    return found


def blocks(language, pages=PAGES):
    """The code in a language in the documents."""
    found = re.compile(rf"```{language}\n(.*?)```", re.S)
    return [code for page in pages for code in found.findall(page.read_text(encoding="utf-8"))]


def files_of_settings():
    """The YAML in the documents, by the name of the file that its first line states."""
    return {re.match(r"# (\S+)\n", code)[1]: code for code in blocks("yaml")}


def rows():
    """One Markdown row per setting: name, default, meaning."""
    for name, field in Settings.model_fields.items():
        if name in DECLARED:
            yield from rows_of(f"{name}.NAME", DECLARED[name])
        elif isinstance(field.default, Section):
            yield from rows_of(name, type(field.default))
        else:
            yield row(name, field)


def rows_of(place, section):
    return [row(f"{place}.{field.alias or key}", field) for key, field in section.model_fields.items()]


def row(name, field):
    default = list(field.default) if isinstance(field.default, tuple) else field.default
    return f"| `{name}` | `{default}` | {field.description} |"


def test_every_setting_is_documented_with_its_default():
    text = (ROOT / "docs" / "all-settings.md").read_text(encoding="utf-8")
    documented = [line for line in text.splitlines() if line.startswith("| `")]
    assert documented == list(rows())


def test_the_default_declarations_are_documented():
    documented = yaml.safe_load(files_of_settings()["defaults.yaml"])
    shipped = ROOT / "src" / "sonosynth" / "presets" / "defaults.yaml"
    assert documented == yaml.safe_load(shipped.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")):
        name, _, section = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        if section:
            titles = re.findall(r"^#+ (.+)", file.read_text(encoding="utf-8"), re.M)
            names = [re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles]
            assert section in names, target


def test_presets_and_commands_are_documented():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"`{preset}`" in text for preset in PRESETS)
    assert "python -m pip install -c constraints.txt . && sonosynth demo" in text
    assert "python -m pip install -c constraints.txt '.[dev]' && python -m pytest" in text


@pytest.fixture
def place(tmp_path, monkeypatch, phantoms, finished, tiny_base, tiny_classifier, one_process, no_figures):
    """A folder in which the names that the documents use stand for something small."""
    shutil.copytree(phantoms, tmp_path / "busi")
    files = sorted(p.relative_to(tmp_path) for p in (tmp_path / "busi").rglob("*.png") if "_mask" not in p.stem)
    table = pd.DataFrame({"file": files, "label": ["cyst" if "benign" in str(f) else "carcinoma" for f in files]})
    table.to_csv(tmp_path / "cohort.csv", index=False)
    names = [file.relative_to("busi") for file in files]
    export = pd.DataFrame({"image_path": names, "finding": table["label"], "patient": range(len(files))})
    export.to_csv(tmp_path / "export.csv", index=False)
    for run in ("first", "paper", "a"):
        shutil.copytree(finished, tmp_path / "runs" / run)
    shutil.copytree(phantoms, tmp_path / "hospital_a")
    write_cohort(tmp_path / "hospital_b", {"normal": 2, "benign": 4, "malignant": 3}, seed=5, size=48)
    for name in ("benign", "malignant"):
        (tmp_path / "hospital_b" / name).rename(tmp_path / "hospital_b" / name.upper())
    shutil.copytree(tiny_base, tmp_path / "models" / "stable-diffusion-v1-5")
    shutil.copytree(tiny_classifier, tmp_path / "models" / "resnet-18")
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("*.md", "images"))
    for i, label in enumerate(("benign", "malignant", "normal")):
        (tmp_path / "gan" / label).mkdir(parents=True)
        Image.effect_noise((48, 40), 60 + i).save(tmp_path / "gan" / label / "0.png")
    shutil.copy(finished / "cohort.csv", tmp_path / "gan")
    for name, text in files_of_settings().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read_by_two(run, place):
    """Make the kit `pilot` of a run, and leave the files of answers of two readers at a place."""
    make_kit(reopen(run), run, place / "pilot.html")
    key = pd.read_csv(run / "reader" / "pilot" / "key.csv", dtype=str)
    given = {"kit": answers.kit_id(run / "reader" / "pilot"), "class": key["label"], "quality": "3"}
    for reader in ("AB", "CD"):
        rows = key.assign(reader=reader, **given)[answers.COLUMNS]
        rows.to_csv(place / f"answers-{reader}.csv", index=False)


@pytest.fixture(scope="module")
def run_before():
    """The kinds of jobs of the commands that have run."""
    return set()


def jobs_of(command, capsys):
    """The kinds of the jobs that a command would run: what each calls, what with, and what for."""
    out = command.index("--out")
    words = [word for word in [*command[1:out], *command[out + 2 :]] if word != "--change"]
    app(["plan", *words, "--json"], standalone_mode=False)
    jobs = json.loads(capsys.readouterr().out)
    return {
        (job["run"], frozenset(role for role, names in job["needs"].items() if names), *job["makes"]) for job in jobs
    }


@pytest.mark.parametrize("command", list(commands("sonosynth").values()), ids=" ".join)
def test_every_command_runs(command, place, tiny_base, tiny_classifier, run_before, monkeypatch, capsys):
    """Those without any job of a kind that the ones before have not run are planned only."""
    small = (f"classifier.model={tiny_classifier}", *SMALL, *FEWER)
    if command[0] == "run":
        out = place / command[command.index("--out") + 1]
        shutil.rmtree(out, ignore_errors=True)
        base = () if "--base" in command else (f"base={tiny_base}",)
        fewer = () if "mine.yaml" in command else ("adapters.sd=null",)  # from whose images mine.yaml makes a set
        folds = ("repeats.folds=2", "repeats.draws=1") if {"repeats.folds=5", "sound"} & set(command) else ()
        small = [word for change in (*base, *small, *fewer, *folds) for word in ("--set", change)]
        command = [*command, *small]
        new = jobs_of(command, capsys) - run_before
        if not new:
            return
        run_before |= new
    if "--answers" in command:
        read_by_two(Path(command[1]), place)
    monkeypatch.setattr(sys, "argv", ["sonosynth", *command])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    if command[0] == "run":
        assert (out / "report.html").is_file()


def test_the_demo_runs(place, settings, monkeypatch):
    monkeypatch.setattr(demo, "COUNTS", {"normal": 5, "benign": 11, "malignant": 7})
    small = settings(*FEWER)
    monkeypatch.setattr(loading, "load", lambda preset: small)
    monkeypatch.setattr(sys, "argv", ["sonosynth", "demo"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    assert (place / "sonosynth-demo" / "run" / "report.html").is_file()


@pytest.mark.parametrize("code", blocks("python", [page for page in PAGES if page != EXTENDING]))
def test_every_snippet_runs(code, place, tiny_base, tiny_classifier, monkeypatch):
    small = (f"base={tiny_base}", f"classifier.model={tiny_classifier}", *SMALL, *FEWER)
    monkeypatch.setattr(loading, "load", partial(loading.load, changes=small))
    names = {"__name__": "__main__"}
    small_names = {
        "stable-diffusion-v1-5/stable-diffusion-v1-5": "models/stable-diffusion-v1-5", "COUNT = 40": "COUNT = 5"
    }  # fmt: skip
    for given, instead in small_names.items():
        code = code.replace(given, instead)
    exec(code, names)
    if "hospital" in names:
        corner = [np.asarray(Image.open(f"hospital_a/malignant/{n}.png"))[5, 5] for n in range(5)]
        assert corner[:4] == [255] * 4 and len(list((place / "hospital_b" / "BENIGN").glob("[0-4].png"))) == 5
    elif "verdict" in names:
        assert list(names["arms"]["arm"]) == ["real", "real+mine"] and set(names["verdict"]["finding"]) != {""}
    elif "copies" in names:
        assert len(names["copies"]) == len(names["made"].images) == 3
    elif "nearest" in names:
        assert len(names["nearest"]) == 5 and set(names["decisive"]["against"]) >= {"real"}
    elif "held_out" in names:
        assert names["made"].shape[1] == names["training"].shape[1] == names["held_out"].shape[1]
    elif "predictions" in names:
        assert set(names["judge"](names["predictions"])["finding"]) == {"not enough runs"}
    elif "provenance" in names:
        assert names["provenance"].synthetic and names["provenance"].set == "sd+ti"
    elif "image" in names:
        assert names["image"].mode == "L"
    else:
        assert (place / "runs" / "busi" / "report.html").is_file()


def test_the_citation_names_the_version_of_the_package():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"]
    assert cited == tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


@pytest.mark.parametrize("command", list(commands("python").values()), ids=" ".join)
def test_benchmarks_know_the_options_that_are_documented(command, monkeypatch, capsys):
    if not command[0].startswith("benchmarks/"):
        pytest.skip("the installation, and the tests themselves")
    monkeypatch.setattr(sys, "argv", [command[0], "--help"])
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / command[0]), run_name="__main__")
    assert ended.value.code == 0
    usage = capsys.readouterr().out
    assert all(word in usage for word in command if word.startswith("--"))
