import numpy as np
import pytest

from sonosynth.errors import UserError
from sonosynth.firewall import Origins, check, check_pixels


def test_choosing_rows_chooses_their_origins():
    images = Origins.of_images(["a", "b", "c"])
    assert images.all() == {"a", "b", "c"}
    assert images.choose([2, 0]).all() == {"a", "c"}
    assert images.choose(np.array([1, 1])).own == (frozenset("b"), frozenset("b"))
    shared = Origins(frozenset("x"), (frozenset(), frozenset("y")))
    assert shared.choose([0]).all() == {"x"}
    assert shared.choose([]).all() == frozenset()  # nothing was computed from anything


def test_adding_rows_keeps_the_origins_of_each():
    synthetic = Origins(frozenset("x"), (frozenset(), frozenset("y")))
    both = Origins.of_images(["a"]) + synthetic
    assert [own | both.shared for own in both.own] == [{"a"}, {"x"}, {"x", "y"}]
    assert both.choose([0]).all() == {"a"}
    assert synthetic + synthetic == Origins(frozenset("x"), synthetic.own * 2)


def test_a_scored_image_among_the_origins_is_refused():
    check({"a", "b"}, {"c"}, "the set")
    with pytest.raises(
        UserError, match=r"the set: was made from 2 validation image\(s\), the first with the SHA-256 a"
    ):
        check({"a", "b", "z"}, {"b", "a", "c"}, "the set")


def test_a_scored_picture_is_refused_whatever_its_origins_say():
    pictures = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    check_pixels(pictures[:2], ["a", "b"], pictures[2:])
    with pytest.raises(UserError, match="b: is a validation image"):
        check_pixels(pictures[:2], ["a", "b"], pictures[1:])
