"""Who may judge an image: a model that knows none of the real images that it was made from."""

from sonosynth.tasks.cross_fitting import strangers

FOLDS = {"a": 0, "b": 1, "c": 2}


def test_a_model_judges_what_was_made_from_the_part_that_it_was_not_trained_on():
    origins = [frozenset(own) for own in ("", "a", "b", "x", "ax", "ab", "abc")]
    found = {
        "".join(sorted(own)): tuple(judges) for own, judges in zip(origins, strangers(FOLDS, origins).T, strict=True)
    }
    assert found == {
        "": (True, True, True), "a": (True, False, False), "b": (False, True, False), "x": (True, True, True),
        "ax": (True, False, False), "ab": (True, True, True), "abc": (True, True, True),
    }  # fmt: skip
    assert strangers(FOLDS, []).shape == (3, 0)
