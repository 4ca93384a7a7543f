"""Which images readers are shown."""

import pandas as pd
import pytest
from kit_examples import candidates

from sonosynth.errors import UserError
from sonosynth.reader.choosing import choose


def table(*rows):
    names = ["origin", "set", "label", "unit"]
    return pd.DataFrame([dict(zip(names, row, strict=True)) for row in rows])


@pytest.mark.parametrize(("each", "of_sets"), [(4, (2, 2)), (3, (1, 2))])
def test_half_of_each_class_is_real_and_sets_have_equal_shares(each, of_sets):
    chosen = choose(candidates().rows, each, 0)
    counts = chosen.groupby(["label", "set"]).size().unstack()
    assert list(counts[""]) == [each] * 2
    for _, row in counts[["sd", "variation"]].iterrows():
        assert tuple(sorted(row)) == of_sets
    if each == 3:  # the odd one goes to another set in each class
        assert counts["sd"].sum() == counts["variation"].sum()


def test_the_order_comes_from_the_seed_and_tells_nothing():
    rows = candidates(count=20).rows
    chosen = choose(rows, 20, 0)
    assert chosen.equals(choose(rows, 20, 0)) and not chosen.equals(choose(rows, 20, 1))
    real = chosen["origin"] == "real"
    places = pd.Series(range(len(real)))
    assert abs(places[real].mean() - places[~real].mean()) < 12  # 80 images: the standard deviation is 5
    assert 20 < (real != real.shift()).sum() < 60  # runs of one kind are neither long nor avoided


def test_no_two_images_are_of_one_origin():
    """Refined images resemble those that they were made from, and the same noise makes similar images in two sets."""
    noise = [("synthetic", name, "a", f"noise {n}") for name in ("sd", "sd+ti", "refined") for n in range(6)]
    rows = table(*noise, *(("real", "", "a", f"patient {n // 2}") for n in range(12)))
    for seed in range(5):
        chosen = choose(rows, None, seed)
        assert len(chosen) == 12 and not chosen["unit"].duplicated().any()
        assert list(chosen[chosen["origin"] == "synthetic"].groupby("set").size()) == [2, 2, 2]


def test_a_set_with_few_origins_gets_them_even_if_others_could_use_them():
    few = [("synthetic", "few", "a", "1"), *(("synthetic", "many", "a", str(n)) for n in range(1, 3))]
    rows = table(*few, *(("real", "", "a", f"p{n}") for n in range(4)))
    for seed in range(5):
        chosen = choose(rows, 2, seed)
        assert set(zip(chosen["set"], chosen["unit"], strict=True)) >= {("few", "1"), ("many", "2")}


def test_by_default_there_are_as_many_of_each_set_as_there_can_be():
    assert len(choose(candidates(count=30).rows, None, 0)) == 80
    rows = candidates().rows
    scarce = rows[~((rows["label"] == "benign") & (rows["set"] == "") & (rows["row"] >= 5))]
    assert dict(choose(scarce, None, 0).groupby(["label", "origin"]).size()) == dict.fromkeys(
        [(label, origin) for label in {*rows["label"]} for origin in ("real", "synthetic")], 4
    )


def test_too_few_images_are_refused_and_what_is_possible_is_said():
    with pytest.raises(UserError, match="--each 7: enough images of benign for 6 only") as refused:
        choose(candidates().rows, 7, 0)
    assert refused.value.fix == "--each 6"
    rows = candidates().rows
    with pytest.raises(UserError, match="enough images of benign for 0 only"):
        choose(rows[(rows["label"] != "benign") | (rows["set"] == "")], None, 0)
