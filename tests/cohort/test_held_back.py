"""The fifth of the training images that judges probes."""

import pandas as pd
import pytest

from sonosynth.artefacts import Split
from sonosynth.cohort.held_back import HoldingBack, hold_back
from sonosynth.errors import UserError
from sonosynth.jobs import Made

SIDES = {"train": 30, "inner": 6, "validation": 6, "sealed": 3}  # images of each class, in pairs of one patient


def divided(tmp_path, sides=SIDES):
    """A split with all sides and an excluded image, before and after; rows in no particular order."""
    rows = [
        {"id": f"{label}{side}{i}", "sha256": f"sha {label}{side}{i}", "label": label, "split": side, "excluded": "",
         "group": f"{label}{side}{i // 2}"}
        for label in "ab" for side, count in sides.items() for i in range(count)
    ]  # fmt: skip
    rows.append(rows[0] | {"id": "odd", "sha256": "sha odd", "split": "", "excluded": "label conflict", "group": ""})
    before = pd.DataFrame(rows).sample(frac=1, random_state=0).reset_index(drop=True)
    before.to_csv(tmp_path / "cohort.csv", index=False)
    split = Split(Made("split", {"table": tmp_path / "cohort.csv"}, {}, "", 0.0, 0))
    hold_back(HoldingBack(3), split=split, work=tmp_path)
    return split, Split(Made("split", {"table": tmp_path / "table"}, {}, "", 0.0, 0))


def test_it_is_a_fifth_of_the_training_images_in_whole_groups_and_all_other_images_stay_scored(tmp_path):
    before, after = divided(tmp_path)
    assert after.rows.drop(columns="split").equals(before.rows.drop(columns="split"))
    assert set(after.train["id"]) | set(after.inner["id"]) == set(before.train["id"])
    for label in "ab":
        assert (after.inner["label"] == label).sum() == 6
    assert not set(after.train["group"]) & set(after.inner["group"])
    assert set(after.validation["id"]) == set(before.validation["id"]) | set(before.inner["id"])
    assert set(after.sealed["id"]) == set(before.sealed["id"])
    assert after.scored == before.scored | set(after.inner["sha256"])
    assert after.rows.loc[after.rows["id"] == "odd", "split"].item() == ""


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (8, r"adapt\.stop=probe: a fifth of the training images can't be held back: 4 group\(s\) of a for 5 folds"),
        (10, r"adapt\.stop=probe: the fifth .* has 1 group\(s\) of a\n.*\nfix: adapt\.stop=fixed"),
    ],
)
def test_too_few_groups_are_refused_before_anything_is_trained(tmp_path, count, said):
    with pytest.raises(UserError, match=said):
        divided(tmp_path, SIDES | {"train": count})
