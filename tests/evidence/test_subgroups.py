"""Scores within subgroups, against the same scores of their images alone."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from sonosynth.evidence.subgroups import UNKNOWN, subgroups


@pytest.fixture
def predictions():
    """Five folds of 60 images; `better` separates the classes in hospital A, `real` nowhere."""
    rng, rows = np.random.default_rng(0), []
    for arm in ("real", "better"):
        for image in range(300):
            label, here = "ab"[image % 2], "A" if image % 3 else "B"
            shift = 4.0 * (label == "b") * (arm == "better" and here == "A")
            p = 1 / (1 + np.exp(-rng.normal(shift - shift / 2)))
            rows.append((arm, 0, image % 5, 0, f"i{image}", label, 1 - p, p))
    return pd.DataFrame(rows, columns=["arm", "draw", "split", "seed", "id", "label", "p_a", "p_b"])


def test_each_value_has_the_scores_and_differences_of_its_images_alone(predictions):
    values = {f"i{n}": "A" if n % 3 else "B" for n in range(297)}
    found = subgroups(predictions, values, reference="real", groups={}).set_index(
        ["subgroup", "arm", "class", "metric"]
    )
    assert set(found.index.get_level_values("subgroup")) == {"A", "B", UNKNOWN}
    own = predictions[predictions["id"].map(values).eq("A") & (predictions["arm"] == "better")]
    aucs = [roc_auc_score(rows["label"] == "b", rows["p_b"]) for _, rows in own.groupby("split")]
    weights = [len(rows) for _, rows in own.groupby("split")]
    assert found.loc[("A", "better", "", "auc"), "score"] == pytest.approx(np.average(aucs, weights=weights))
    recall = (own["p_b"] > own["p_a"])[own["label"] == "b"].mean()
    row = found.loc[("A", "better", "b", "recall")]
    assert (row["score"], row["images"]) == (pytest.approx(recall), (own["label"] == "b").sum())
    assert row["low"] < recall < row["high"]
    assert found.loc[("A", "better", "", "auc"), "difference_low"] > 0.1
    elsewhere = found.loc[("B", "better", "", "auc")]
    assert elsewhere["difference_low"] < 0 < elsewhere["difference_high"]
    assert found.loc[("A", "real", "", "auc"), "difference"] != found.loc[("A", "real", "", "auc"), "difference"]  # NaN


def test_a_value_without_a_class_has_no_recall_of_it(predictions):
    values = {f"i{n}": "odd" if n % 2 else "even" for n in range(300)}
    found = subgroups(predictions, values, reference="real", groups={})
    row = found.query("subgroup == 'odd' and arm == 'better' and `class` == 'a' and metric == 'recall'").iloc[0]
    assert np.isnan(row["score"]) and row["images"] == 0
