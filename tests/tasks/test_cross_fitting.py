"""Who may judge an image: a model that knows none of the real images that it was made from."""

from sonosynth.tasks.cross_fitting import judges, strangers

FOLDS = {"a": 0, "b": 1, "c": 2}


def test_a_model_judges_what_was_made_from_the_part_that_it_was_not_trained_on():
    origins = [frozenset(own) for own in ("", "a", "b", "x", "ax", "ab", "abc")]
    found = {
        "".join(sorted(own)): tuple(which) for own, which in zip(origins, strangers(FOLDS, origins).T, strict=True)
    }
    assert found == {
        "": (True, True, True), "a": (True, False, False), "b": (False, True, False), "x": (True, True, True),
        "ax": (True, False, False), "ab": (False, False, False), "abc": (False, False, False),
    }  # fmt: skip
    assert strangers(FOLDS, []).shape == (3, 0)


def test_where_every_model_knows_some_those_judge_that_know_least_of_the_image_itself():
    origins = [frozenset(own) for own in ("a", "a", "ab", "", "x")]
    masks = [frozenset(own) for own in ("a", "b", "c", "b", "ac")]
    found, clean = judges(FOLDS, origins, masks)
    assert found.T.tolist() == [
        [True, False, False],
        [True, False, False],  # the mask is of another part
        [True, True, True],
        [False, True, False],
        [True, True, True],
    ]
    assert clean.tolist() == [True, False, False, True, False]
    assert judges(FOLDS, origins)[1].tolist() == [True, True, False, True, True]
    assert judges(FOLDS, [], [])[0].shape == (3, 0)
