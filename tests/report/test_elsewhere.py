"""What is said of a test on another cohort."""

from dataclasses import replace

import pandas as pd
import pytest

from sonosynth.report import facts
from sonosynth.report.elsewhere import COLUMNS, SCORES, Elsewhere

NAN = float("nan")


def table(**aucs):
    """Rows of table.csv, from the AUC of each arm with its interval."""
    rows = pd.DataFrame({"arm": list(aucs), "status": "run"})
    for name in SCORES:
        rows[[name, f"{name}_low", f"{name}_high"]] = [[0.5, 0.4, 0.6]] * len(rows)
    rows[["auc", "auc_low", "auc_high"]] = list(aucs.values())
    return rows


@pytest.fixture
def there():
    labels = ["benign"] * 3 + ["malignant"] * 2 + [""]
    images = pd.DataFrame({"id": range(6), "label": labels, "excluded": [""] * 4 + ["known to the study"] * 2})
    verdicts = pd.DataFrame(
        {"arm": ["b", "b"], "metric": ["f1", "auc"], "class": "", "finding": "no evidence", "sentence": ["b: so.", ""]}
    )
    lacking = {"real": (), "b": ("c",)}
    return Elsewhere(
        facts.Tested("there", "/x/hospital", "", {"B": "benign", "malignant": "malignant"}, "2026-01-02", 3, lacking),
        images, pd.DataFrame(), table(real=(0.5, 0.4, 0.6), b=(0.8, 0.7, 0.9)), verdicts,
        table(real=(0.9, 0.85, 0.95), b=(0.9, 0.85, 0.95), other=(0.9, 0.8, 1.0)),
    )  # fmt: skip


def test_a_fall_beyond_the_intervals_is_a_warning(there):
    (said,) = there.warnings()
    assert said.startswith(
        "real does not hold on there: its AUC is 0.500 there (95% interval 0.400 to 0.600), which was not shown to be"
        " better than chance,"
    )
    assert "Scores don't tell why" in said and "may be harder" in said
    assert "and 0.900 (0.850 to 0.950) on the study's own" in said
    worse = replace(there, table=table(real=(0.7, 0.6, 0.8), b=(0.8, NAN, NAN)))
    (said,) = worse.warnings()
    assert said.startswith("real does not hold on there") and "chance" not in said


def test_what_was_tested_and_what_is_missing_is_said(there):
    about, out, warning, arm, lacking = there.sentences()
    assert about == (
        "there: the classifiers of this study on 4 images of hospital (3 benign, 1 malignant), none of which it knows;"
        " first done with these settings on 2026-01-02; labels: benign = B; 3 looks at these images (each with other"
        " settings or labels: the more there are, the likelier is a chance finding)."
    )
    assert out.startswith("2 images left out: 2 known to the study. tests/there/cohort.csv")
    assert warning in there.warnings() and arm == "b: so."
    assert lacking == "b is not compared with c there, whose classifiers were not kept (test.arms)."
    few = replace(there, verdicts=there.verdicts.assign(finding="not enough runs"))
    needed = "A verdict on another cohort needs the classifiers of at least 5 blocks"
    assert any(said.startswith(needed) for said in few.sentences())


def test_the_table_has_the_scores_there_and_at_home(there):
    first, second = there.rows()
    assert (first["arm"], first["auc"], first["own auc"], first["finding"]) == ("real", "0.500", "0.900", "–")
    assert (first["auc_interval"], first["own auc_interval"]) == ("0.400 to 0.600", "0.850 to 0.950")
    assert (second["arm"], second["finding"]) == ("b", "no evidence")
    assert all(name in first for name in COLUMNS)
