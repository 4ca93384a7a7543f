"""Scores of predicted masks by hand, and what an image's weight does to them."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sonosynth.evidence import segmented
from sonosynth.evidence.segmented import OF_ALL, OF_HEALTHY, OF_LESIONS

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
    assert values(OF_ALL, ROWS) == pytest.approx({"false_per_image": 4 / 5})
    assert values(OF_HEALTHY, ROWS[ROWS["lesions"] == 0]) == pytest.approx({"false_alarms": 1 / 2})


PARTS = ((OF_LESIONS, ROWS[ROWS["lesions"] > 0]), (OF_ALL, ROWS), (OF_HEALTHY, ROWS[ROWS["lesions"] == 0]))


@pytest.mark.parametrize(
    ("score", "rows"), [pytest.param(f, rows, id=m.name) for scores, rows in PARTS for m, f in scores.items()]
)
def test_influences_are_what_the_weight_of_an_image_does(score, rows):
    """An image that counts twice moves a score by its influence, to first order."""
    many = pd.concat([rows] * 2000, ignore_index=True)
    value, influence = score(rows)
    assert influence.sum() == pytest.approx(0)
    for place in range(len(rows)):
        more, _ = score(pd.concat([many, rows.iloc[[place]]]))
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
    assert set(found["metric"]) == {metric.name for metric in [*OF_LESIONS, *OF_ALL, *OF_HEALTHY]} - {"dice"}
    assert found.set_index("metric")["difference"].to_dict() == pytest.approx(dict.fromkeys(found["metric"], 0))


def test_false_alarms_are_as_uncertain_as_the_images_without_a_lesion_are_few():
    """Wilson's interval of 0 of 13, however many images with lesions there are."""
    lesions = ROWS.iloc[[0]].loc[np.zeros(60, int)].assign(id=[f"l{n}" for n in range(60)])
    healthy = ROWS.iloc[[4]].loc[np.full(13, 4)].assign(id=[f"h{n}" for n in range(13)])
    runs = [pd.concat([lesions, healthy]).assign(seed=seed) for seed in range(3)]
    [row] = segmented.scores(pd.concat(runs), {}, {"real": 7}).to_dict("records")
    assert (row["false_alarms"], row["false_alarms_low"]) == (0, 0)
    t = stats.t.ppf(0.975, 12)
    assert row["false_alarms_high"] == pytest.approx(t**2 / (13 + t**2))
    assert "false_alarms" not in segmented.scores(pd.concat(runs).query("lesions > 0"), {}, {"real": 7})
