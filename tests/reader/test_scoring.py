"""What answers say."""

import math

import numpy as np
import pandas as pd
import pytest

from sonosynth.evidence.tests import wilson
from sonosynth.reader.scoring import Share, fleiss, kappa, score

# Fleiss' kappa, Wikipedia: 14 psychiatrists put ten patients into five categories.
PUBLISHED = np.array(
    [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]
)  # fmt: skip

KEY = pd.DataFrame(
    {
        "origin": ["real"] * 4 + ["synthetic"] * 4, "set": [""] * 4 + ["sd"] * 3 + ["ti"],
        "label": ["a", "a", "b", "b"] * 2, "seen": ["no"] * 3 + ["yes"] + [""] * 4, "sha256": [*"12345678"],
    }
)  # fmt: skip


def said(origins, classes="aabbaabb", qualities="33333333"):
    names = {"r": "real", "s": "synthetic"}
    return pd.DataFrame({"origin": [names[x] for x in origins], "class": [*classes], "quality": [*qualities]})


def test_fleiss_kappa_of_the_published_example():
    assert fleiss(PUBLISHED) == pytest.approx(0.210, abs=5e-4)
    given = np.array([np.repeat(np.arange(5), row) for row in PUBLISHED])
    assert kappa(given) == fleiss(PUBLISHED)


def test_kappa_of_two_is_cohens():
    """Of 50 grants, both said yes to 20 and no to 15; A alone to 5, B alone to 10 (Wikipedia, Cohen's kappa): 0.4."""
    given = np.repeat(np.array([["y", "y"], ["y", "n"], ["n", "y"], ["n", "n"]]), [20, 5, 10, 15], axis=0)
    assert kappa(given) == pytest.approx(0.4)
    assert fleiss(np.array([[2, 0]] * 20 + [[1, 1]] * 15 + [[0, 2]] * 15)) == pytest.approx(13 / 33)  # another number


def test_kappa_without_disagreement():
    assert kappa(np.array([["a"] * 3, ["b"] * 3])) == 1
    assert kappa(np.array([["a"] * 3, ["a"] * 3])) is None


def test_shares_of_one_reader():
    found = score("kit", KEY, {"AB": said("rrrsssrr", "abbbaaab", "12345123")})
    (one,) = found.readers
    assert (found.real, found.synthetic, found.sets, found.seen, found.kappas) == (4, 4, ("sd", "ti"), 1, {})
    assert one.accuracy == Share(5, 8)
    assert (one.specificity, one.sensitivity) == (Share(3, 4), Share(2, 4))
    assert one.agreement == (Share(3, 4), Share(3, 4))
    real, sd, ti = one.sources
    assert (real.set, real.synthetic, real.quality) == ("", Share(1, 4), 2.5)
    assert real.spread == pytest.approx(np.std([1, 2, 3, 4], ddof=1))
    assert (sd.set, sd.synthetic, sd.agreement, sd.quality) == ("sd", Share(2, 3), Share(2, 3), 8 / 3)
    assert (ti.synthetic, ti.agreement, ti.quality, ti.spread) == (Share(0, 1), Share(1, 1), 3.0, None)
    assert one.accuracy.interval == wilson(5, 8)
    assert math.isnan(Share(0, 0).value) and all(map(math.isnan, Share(0, 0).interval))


def test_readers_agree_on_the_images_that_all_have_read():
    found = score("kit", KEY, {"A": said("rrrrssss"), "B": said("rrrsss", "aabbaa", "333333")})
    assert found.common == 6
    assert found.kappas["class"] == 1
    assert found.kappas["origin"] == pytest.approx((5 / 6 - 0.5) / 0.5)
    assert [one.accuracy for one in found.readers] == [Share(8, 8), Share(5, 6)]
    assert found.readers[1].sources[2].quality is None


def test_it_may_be_unknown_what_a_generator_has_seen():
    unknown = KEY.assign(seen=KEY["seen"].replace({"no": "unknown", "yes": "unknown"}))
    assert score("kit", unknown, {"A": said("rrrrssss")}).seen is None
