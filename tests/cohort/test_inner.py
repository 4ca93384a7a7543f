"""The inner side of a split: the training images that choose the epoch."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sonosynth import seeding
from sonosynth.cohort.reading import read
from sonosynth.cohort.settings import Split
from sonosynth.cohort.split import crossing, folds, to_table


@pytest.fixture
def cohort(tmp_path):
    """30 images of a and 21 of b, from patients with three images each."""
    rng, lines = np.random.default_rng(0), ["file,label,group"]
    for label, count in (("a", 30), ("b", 21)):
        for i in range(count):
            Image.fromarray(rng.integers(0, 255, (12, 10), np.uint8)).save(tmp_path / f"{label}{i}.png")
            lines.append(f"{label}{i}.png,{label},{label} {i // 3}")
    (tmp_path / "c.csv").write_text("\n".join(lines))
    return read(tmp_path / "c.csv")


@pytest.mark.parametrize("fold", [None, (3, 1)])
def test_it_is_a_fifth_of_the_training_images_and_nothing_else_moves(cohort, fold):
    before, after = (to_table(cohort, Split(), 5, fold, inner=inner) for inner in (False, True))
    assert set(before["split"]) == {"train", "validation"}
    assert after.drop(columns="split").equals(before.drop(columns="split"))
    inner = after["split"] == "inner"
    assert after["split"].where(~inner, "train").equals(before["split"])
    for label in "ab":
        own = before[(before["label"] == label) & (before["split"] == "train")].index
        assert inner[own].mean() == pytest.approx(0.2, abs=0.15), label  # 7 or 8 patients
    assert (after.groupby("group")["split"].nunique() == 1).all()
    train = before[before["split"] == "train"]
    columns = (list(train[name]) for name in ("label", "sha256", "group"))
    assert list(inner[train.index]) == [number == 0 for number in folds(*columns, 5, seeding.derive(5, "inner"))]


def test_twins_on_any_two_sides_cross():
    rows = pd.DataFrame({"id": list("abcde"), "split": ["train", "inner", "validation", "train", ""]})
    twins = pd.DataFrame([["a", "b"], ["b", "c"], ["a", "c"], ["a", "d"], ["d", "e"]], columns=["id", "twin"])
    assert crossing(rows, twins) == [("a", "b"), ("b", "c"), ("a", "c")]
