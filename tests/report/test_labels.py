"""Whatever classes, arms and sets are called, the tables, the figures, the page and the terminal say it as it is."""

import base64
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from PIL import Image

from sonosynth.report import jobs
from sonosynth.run import Study, reopen

LABELS = ["01", "1", "1e5", "NA", "None", "True", "a_b", "all", "arm", "high", "low", "nan", "null", "sd"]
ARMS = ("real", "1e5", "NA", "low")
STUDY = (
    "adapters={sd: null, sd+ti: null}",
    "sets={sd: null, sd+img2img: null, sd+ti: null, sd+ti+img2img: null, 'nan': {from: noise}, '01': {from: 'nan'}}",
    "arms={real+sd: null, real+sd+img2img: null, real+sd+ti: null, real+sd+ti+img2img: null, real+oversampling: null,"
    " real+classical+sd+ti: null, '1e5': {sets: ['nan']}, NA: {sets: ['01']}, low: {}}",
    "balance.target=3", "split.holdout=0.5", "classifier.seeds=[0]",
)  # fmt: skip


def text(file):
    """A table whose cells are all text, as any program sees them."""
    return pd.read_csv(file, dtype=str, keep_default_na=False)


@pytest.fixture(scope="module")
def study(tmp_path_factory, settings):
    """A study of noise, two training and two validation images of each class, and the texts in its figures.

    It is resumed after its tables were made, so that the report knows every name from files alone.
    """
    root, rng, texts = tmp_path_factory.mktemp("labels"), np.random.default_rng(0), {}
    for label in LABELS:
        (root / "cohort" / label).mkdir(parents=True)
        for name in range(4):
            Image.fromarray(rng.integers(0, 256, (32, 32), np.uint8)).save(root / "cohort" / label / f"{name:02d}.png")
    save = jobs.save

    def noted(figures, folder):
        save(figures, folder)
        texts.update({name: [found.get_text() for found in figures[name].findobj(Text)] for name in figures})

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(jobs, "save", noted)
        Study(root / "cohort", settings(*STUDY)).run(root / "run", "evaluate", processes=False)
        reopen(root / "run").run(root / "run", "report", processes=False)
    return root / "run", texts


@pytest.fixture(scope="module")
def run(study):
    return study[0]


def test_tables_name_classes_in_cells_alone(run):
    predictions, table, classes, verdicts = (
        text(run / "evaluation" / f"{name}.csv") for name in ("predictions", "table", "classes", "verdicts")
    )
    assert list(table["arm"]) == list(ARMS)
    scores = ("accuracy", "balanced_accuracy", "f1", "auc", "ppv", "recall", "brier", "calibration_error")
    ends = ("", "_sd", "_low", "_high")
    about = ["arm", "status", "n_train", "n_validation", "runs"]
    assert list(table) == about + [f"{name}{end}" for name in scores for end in ends]
    assert list(classes) == ["arm", "class", "metric", "value", "low", "high"]
    assert not classes.duplicated(["arm", "class", "metric"]).any()
    of_class = predictions[[f"p_{label}" for label in LABELS]].astype(float).set_axis(LABELS, axis=1)
    right = of_class.idxmax(axis=1) == predictions["label"]
    recall = classes[classes["metric"] == "recall"].set_index(["arm", "class"])["value"].astype(float)
    assert recall.to_dict() == pytest.approx(right.groupby([predictions["arm"], predictions["label"]]).mean().to_dict())
    for metric, named in {"recall": ["", *LABELS], "excess": LABELS, "f1": [""], "accuracy": [""]}.items():
        for arm in ARMS[1:]:
            assert list(verdicts[(verdicts["arm"] == arm) & (verdicts["metric"] == metric)]["class"]) == named


def test_a_class_called_all_is_not_all_classes(run):
    fidelity = text(run / "evaluation" / "fidelity.csv")
    counts = fidelity[fidelity["metric"] == "mean"].drop_duplicates("class").set_index("class")["n_real"]
    assert counts.to_dict() == {"": str(2 * len(LABELS)), **dict.fromkeys(LABELS, "2")}


def test_what_is_text_in_one_cell_is_read_as_text_in_all(run):
    for file in (run / "evaluation").glob("*.csv"):
        for column, cells in text(file).items():
            numbers = pd.to_numeric(cells[~cells.isin(["", "True", "False"])], errors="coerce")
            assert numbers.notna().all() or column in jobs.TEXT, f"{file.name}: {column}"


@pytest.mark.parametrize(
    ("figure", "named"),
    [
        ("confusion", (*LABELS, *ARMS)),
        ("roc", ("real images alone", *(f"{arm}\nmean over classes" for arm in ARMS[1:]))),
        ("calibration", ("real images alone", *(f"{arm}\nmean over classes" for arm in ARMS[1:]))),
        ("grid", (*LABELS, "real", "nan", "01")),
        ("balance", LABELS),
        ("refinement", (LABELS[0], LABELS[-1], "nan", "01")),
        ("forest", ARMS[1:]),
        ("fidelity", ("nan", "01")),
        ("speckle", ("nan", "01")),
    ],
)
def test_figures_say_every_name(study, figure, named):
    assert set(named) <= set(study[1][figure])


def test_the_page_says_every_name_and_offers_the_tables_as_they_are(run):
    page = (run / "report.html").read_text(encoding="utf-8")
    for arm in ARMS[1:]:
        for label in LABELS:
            cells = "".join(f'<td class="text">{text}</td>' for text in ("real", "recall", label))
            assert f"<tr><td>{arm}</td>{cells}" in page
        assert f"<li>{arm}: macro F1 is " in page
    assert not re.search(r"\bnan (to|--|–) nan\b", page)
    for name in ("table", "classes", "verdicts", "fidelity"):
        data = re.search(rf'download="{name}\.csv" href="data:text/csv;base64,([^"]+)"', page)[1]
        given = (run / "evaluation" / f"{name}.csv").read_bytes()
        assert base64.b64decode(data) == given, name


def test_the_terminal_says_every_name(run):
    lines = (run / ".parts" / "summary.txt").read_text(encoding="utf-8").splitlines()
    assert [line.split("│")[1].strip() for line in lines if line.startswith("│")] == list(ARMS)
    assert [line.split(":")[0] for line in lines if "not enough runs for a verdict" in line] == list(ARMS[1:])
    assert not any("nan to nan" in line or "+nan" in line for line in lines)
