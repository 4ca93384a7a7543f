"""Images that are in no split, why, and how many."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sonosynth.cohort.exclusions import Reason, of_conflict
from sonosynth.cohort.reading import read
from sonosynth.cohort.settings import Split
from sonosynth.cohort.split import exclusions, to_table
from sonosynth.errors import UserError


@pytest.fixture
def cohort(tmp_path):
    """10 images each of a, b and c; one picture is twice in a and once in b, another once in b and once in c."""
    rng = np.random.default_rng(0)
    pixels = {f"{label}{i}": rng.integers(0, 250, (24, 20), np.uint8) for label in "abc" for i in range(10)}
    pixels["a1"] = pixels["b0"] = pixels["a0"]
    pixels["c0"] = pixels["b1"]
    for name, image in pixels.items():
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    (tmp_path / "c.csv").write_text("file,label\n" + "\n".join(f"{name}.png,{name[0]}" for name in pixels))
    return read(tmp_path / "c.csv")


def counted(cohort, fold=None, **settings):
    split = Split(**settings)
    found = exclusions(cohort, split, to_table(cohort, split, 0, fold))
    return {(row["label"], row["reason"]): row["images"] for row in found.to_dict("records")}


def test_conflicts_are_left_out_kept_or_decided_by_the_majority(cohort):
    assert counted(cohort) == {("a", Reason.CONFLICT): 2, ("b", Reason.CONFLICT): 2, ("c", Reason.CONFLICT): 1}
    assert counted(cohort, conflicts="keep") == {}
    assert counted(cohort, conflicts="majority") == {
        ("b", Reason.OUTVOTED): 1, ("b", Reason.CONFLICT): 1, ("c", Reason.CONFLICT): 1,
    }  # fmt: skip
    table = to_table(cohort, Split(conflicts="majority"), 0).set_index("id")
    assert table["excluded"]["b0.png"] == "outvoted by its near-duplicates a0.png (a), a1.png (a)"
    assert table["split"]["a0.png"] == table["split"]["a1.png"] != ""


def test_a_tie_of_the_commonest_labels_decides_nothing():
    found = of_conflict(["x", "y", "z", "w", "v"], ["a", "a", "b", "b", "c"], majority=True)
    assert {exclusion.reason for exclusion in found.values()} == {Reason.CONFLICT} and len(found) == 5


def test_every_kind_is_counted(cohort):
    cohort.problems["broken.png"] = "is empty"
    found = counted(cohort, keep=0.5)
    assert found["", Reason.UNUSABLE] == 1
    assert sum(n for (_, reason), n in found.items() if reason == Reason.KEEP) == 9  # of 19 training images


def with_places(cohort, **named):
    """A hospital for each image: that of its twins' first image, else A, B or C in turn; but for those `named`."""
    ids = [name.removesuffix(".png") for name in cohort.images["id"]]
    places = {name: "ABC"[n % 3] for n, name in enumerate(ids)}
    places |= {"a1": places["a0"], "b0": places["a0"], "c0": places["b1"]} | named
    return pd.DataFrame({"id": cohort.images["id"], "hospital": [places[name] for name in ids]})


def test_each_value_of_a_column_is_held_out_in_turn(cohort):
    object.__setattr__(cohort, "own", with_places(cohort))
    split = Split(leave_out="hospital", conflicts="keep")
    tables = [to_table(cohort, split, 0, (3, fold)).set_index("id") for fold in range(3)]
    for place, table in zip("ABC", tables, strict=True):
        assert set(table["hospital"][table["split"] == "validation"]) == {place}
        assert set(table["hospital"][table["split"] == "train"]) == set("ABC") - {place}


def test_images_of_no_hospital_and_groups_of_several_are_left_out(cohort):
    object.__setattr__(cohort, "own", with_places(cohort, a5="", a0="A", a1="B", b0="B", b1="C", c0="C"))
    assert counted(cohort, (3, 0), leave_out="hospital", conflicts="keep") == {
        ("a", Reason.NOWHERE): 1, ("a", Reason.ACROSS): 2, ("b", Reason.ACROSS): 1,
    }  # fmt: skip
    table = to_table(cohort, Split(leave_out="hospital", conflicts="keep"), 0, (3, 0)).set_index("id")
    assert table["excluded"]["a5.png"] == "has no hospital"
    assert "A, B" in table["excluded"]["a0.png"]


def test_a_hospital_with_a_class_of_its_own_can_not_be_held_out(cohort):
    only = {name.removesuffix(".png"): "A" for name in cohort.images["id"] if name[0] == "c"}
    object.__setattr__(cohort, "own", with_places(cohort, **only))
    with pytest.raises(UserError, match="without A, there is no train image of c"):
        to_table(cohort, Split(leave_out="hospital", conflicts="keep"), 0, (3, 0))
