"""docs/extending.md: its package, outside of sonosynth, adds a format, a set and a measure to a study."""

import json
import re
import shutil
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.stats import wasserstein_distance

from conftest import SMALL, figures_of
from sonosynth.run import Study
from sonosynth.settings import load

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
FEWER = ("adapters={sd+ti: null}", "sets={sd+img2img: null}", "arms={real+oversampling: null}")


def blocks(language):
    """The code in a language, by the file that its first line names."""
    return {re.match(r"# (\S+)\n", code)[1]: code for code in re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)}


def install(folder):
    """The package of the page, as pip would install it into `folder`."""
    for name, code in blocks("python").items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(code, encoding="utf-8")
    project = tomllib.loads(blocks("toml")["pyproject.toml"])["project"]
    info = folder / f"{project['name']}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {module}" for name, module in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))


@pytest.fixture(scope="module")
def scans(tmp_path_factory, phantoms) -> Path:
    """A cohort in the page's format: two images a patient, of the last one no patient is known."""
    folder = tmp_path_factory.mktemp("scans")
    shutil.copytree(phantoms, folder, dirs_exist_ok=True)
    files = sorted(file.relative_to(folder) for file in folder.rglob("*.png") if "_mask" not in file.stem)
    rows = [
        {"file_name": file.as_posix(), "label": file.parent.name, "patient": f"{file.parent.name} {i // 2}"}
        for i, file in enumerate(files)
    ]
    del rows[-1]["patient"]
    (folder / "scans.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return folder / "scans.jsonl"


@pytest.fixture(scope="module")
def study(tmp_path_factory, scans, tiny_base, tiny_classifier):
    """The folder of the page's study, run with the page's package."""
    folder = tmp_path_factory.mktemp("elsewhere")
    install(folder)
    (folder / "mylab.yaml").write_text(blocks("yaml")["mylab.yaml"])
    named = (f"base={tiny_base}", f"classifier.model={tiny_classifier}")
    with pytest.MonkeyPatch.context() as patch, figures_of():
        patch.syspath_prepend(folder)
        settings = load("quick", [folder / "mylab.yaml"], (*SMALL, *FEWER, *named))
        Study(scans, settings).run(folder / "run", processes=False)
        yield folder / "run"
        for name in [name for name in sys.modules if name.partition(".")[0] == "mylab"]:
            del sys.modules[name]


@pytest.mark.parametrize("name", blocks("python"))
def test_examples_are_short(name):
    code = [line for line in blocks("python")[name].splitlines() if line.strip()]
    assert 10 <= len(code) <= 30


def test_the_format_is_read(study, scans):
    cohort = pd.read_csv(study / "cohort.csv", dtype=str, keep_default_na=False)
    given = [json.loads(line) for line in scans.read_text().splitlines()]
    assert sorted(zip(cohort["id"], cohort["label"], strict=True)) == sorted(
        (row["file_name"], row["label"]) for row in given
    )
    sides = cohort[cohort["group"] != ""].groupby("group")["split"].nunique()
    assert len(sides) >= len(given) // 2
    assert (sides == 1).all()


def test_the_set_is_what_the_example_says(study):
    folder = study / "synthetic"
    rows = pd.read_csv(folder / "speckled" / "metadata.csv")
    assert list(rows["source"]) == [f"sd/{name}" for name in pd.read_csv(folder / "sd" / "metadata.csv")["file_name"]]
    assert (rows["strength"] == 0.4).all()
    for row in rows.to_dict("records"):
        names = (row["source"], f"speckled/{row['file_name']}")
        start, image = (np.asarray(Image.open(folder / name)) for name in names)
        noise = np.random.default_rng(row["seed"]).standard_normal(start.shape)
        assert (image == np.clip(start * (1 + 0.4 * noise), 0, 255).astype(np.uint8)).all()


def test_the_measure_stands_in_the_tables(study):
    images = pd.read_csv(study / "evaluation" / "levels.csv")
    assert list(images) == ["set", "image", "label", "mean", "contrast"]
    fidelity = pd.read_csv(study / "evaluation" / "fidelity.csv")
    own = (fidelity["features"] == "levels") & (fidelity["protocol"] == "training images")
    rows = fidelity.fillna({"class": ""})[own].set_index(["set", "class"]).loc["speckled", ""].set_index("metric")
    assert list(rows.index) == ["mean", "contrast"]
    for name in rows.index:
        real, other = (images[name][images["set"] == own] for own in ("real training", "speckled"))
        assert rows["value"][name] == pytest.approx(wasserstein_distance(real, other), abs=1e-3)
        assert rows["n_synthetic"][name] == len(other)


def test_the_arm_is_run(study):
    table = pd.read_csv(study / "evaluation" / "table.csv", index_col="arm")
    added = len(pd.read_csv(study / "synthetic" / "speckled" / "metadata.csv"))
    assert table["n_train"]["real+speckled"] == table["n_train"]["real"] + added
    assert (study / "report.html").is_file()
