"""When the page warns that images do not show the masks that segmenters learn from them."""

import pandas as pd
import pytest

from sonosynth.report.obedience import Obedience

NAN = float("nan")


def rows(name, label, asked, dice, exchanged, nothing, unmatched, count=10):
    one = {"set": name, "label": label, "asked": asked, "dice": dice, "exchanged": exchanged, "nothing": nothing}
    return pd.DataFrame([one | {"unmatched": unmatched, "usable": True, "known": False}] * count)


def said(*parts):
    real = (rows("real", "m", 0.1, 0.8, 0.2, 0, 0), rows("real", "n", 0, NAN, NAN, 0.9, 0.1))
    found = Obedience(pd.concat([*(parts if parts and parts[0]["set"].iloc[0] == "real" else (*real, *parts))]))
    return [text.partition(":")[0] for text in found.warnings({"s"})]


@pytest.mark.parametrize(
    ("dice", "exchanged", "warned"), [(0.7, 0.2, []), (0.3, 0.2, ["Wrong masks"]), (0.7, NAN, ["Unchecked masks"])]
)
def test_images_that_hardly_show_their_masks(dice, exchanged, warned):
    assert said(rows("s", "m", 0.1, dice, exchanged, 0, 0)) == warned


@pytest.mark.parametrize(("nothing", "warned"), [(0.8, []), (0.2, ["Wrong masks"])])
def test_lesions_where_none_was_asked_for(nothing, warned):
    assert said(rows("s", "m", 0.1, 0.7, 0.2, 0, 0), rows("s", "n", 0, NAN, NAN, nothing, 3)) == warned


def test_segmenters_that_see_nothing_of_real_lesions_can_tell_nothing():
    blind = rows("real", "m", 0.1, 0.2, 0.2, 0, 0)
    assert said(blind, rows("s", "m", 0.1, 0.2, 0.2, 0, 0)) == ["Unchecked masks"]
    assert said(rows("s", "m", 0.1, 0.2, 0.2, 0, 0), rows("other", "m", 0.1, 0.2, 0.2, 0, 0)) == ["Wrong masks"]


def test_lesions_that_match_none_are_counted_in_images_without_one_too():
    table = pd.concat(
        [rows("real", "m", 0.1, 0.8, 0.2, 0, 0), rows("s", "m", 0.1, 0.7, 0.2, 0, 0), rows("s", "n", 0, NAN, NAN, 0, 3)]
    )
    [text] = Obedience(table).trained_on({"s"})
    assert "find 1.50 lesions per image that match none of these" in text
