"""Scores of predicted masks by hand, and what an image's weight does to them."""

import numpy as np
import pandas as pd
import pytest

from sonosynth.evidence import segmented
from sonosynth.evidence.segmented import OF_ALL, OF_LESIONS

ROWS = pd.DataFrame(
    {
        "arm": "real", "draw": 0, "split": [0, 0, 1, 1, 1], "generator": "", "seed": 0, "id": list("abcde"),
        "label": ["benign", "malignant", "benign", "normal", "normal"],
        "dice": [0.9, 0.5, 0.0, np.nan, np.nan], "hd95": [2.0, 10.0, 45.0, np.nan, np.nan],
        "lesions": [1, 2, 1, 0, 0], "found": [1, 1, 0, 0, 0], "false": [0, 1, 0, 3, 0],
    }
)  # fmt: skip


def values(scores, rows):
    return {metric.name: score(rows)[0] for metric, score in scores.items()}


def test_scores_by_hand():
    assert values(OF_LESIONS, segmented.with_lesions(ROWS)) == pytest.approx(
        {"dice": 1.4 / 3, "hd95": 19, "sensitivity": 2 / 4, "nothing_predicted": 1 / 3}
    )
    assert values(OF_ALL, ROWS) == pytest.approx({"false_per_image": 4 / 5, "false_alarms": 1 / 2})
    assert np.isnan(values(OF_ALL, segmented.with_lesions(ROWS))["false_alarms"])


@pytest.mark.parametrize(("metric", "of_all"), [*((m, False) for m in OF_LESIONS), *((m, True) for m in OF_ALL)])
def test_influences_are_what_the_weight_of_an_image_does(metric, of_all):
    """An image that counts twice moves a score by its influence, to first order."""
    score, rows = (OF_ALL, ROWS) if of_all else (OF_LESIONS, segmented.with_lesions(ROWS))
    many = pd.concat([rows] * 2000, ignore_index=True)
    value, influence = score[metric](rows)
    assert influence.sum() == pytest.approx(0)
    for place in range(len(rows)):
        more, _ = score[metric](pd.concat([many, rows.iloc[[place]]]))
        assert (more - value) * 2000 == pytest.approx(influence[place], abs=0.002 * max(1, abs(value)))


def test_every_arm_has_a_row_and_its_scores():
    predictions = pd.concat([ROWS, ROWS.assign(arm="other", dice=ROWS["dice"] / 2)])
    table = segmented.scores(predictions, {}, {"real": 7, "other": 9, "absent": 0}).set_index("arm")
    assert list(table["status"]) == ["run", "run", "not run"]
    assert table["dice"].to_list()[:2] == pytest.approx([1.4 / 3, 0.7 / 3])
    assert (table.loc["real", "n_lesions"], table.loc["real", "n_validation"]) == (3, 5)
    known = table.loc[["real", "other"]]
    assert (known["dice_low"] <= known["dice"]).all() and (known["dice"] <= known["dice_high"]).all()
    found = segmented.differences(predictions, {}, {"other": ["real"]}, 0.0)
    assert set(found["metric"]) == {metric.name for metric in [*OF_LESIONS, *OF_ALL]} - {"dice"}
    assert found.set_index("metric")["difference"].to_dict() == pytest.approx(dict.fromkeys(found["metric"], 0))
