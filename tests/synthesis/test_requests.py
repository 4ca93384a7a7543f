import pytest

from sonosynth import seeding
from sonosynth.errors import UserError
from sonosynth.synthesis.requests import declared, from_images, from_noise

PROMPTS = {"a": "p", "b": "q"}


def test_requests_share_seeds_between_models_and_differ_within_a_set():
    sd = from_noise({"a": 3, "b": 2}, PROMPTS, seed=0)
    ti = from_noise({"a": 3, "b": 2}, {"a": "p <x>", "b": "q <x>"}, seed=0)
    assert [r.seed for r in sd] == [r.seed for r in ti]
    assert [r.prompt for r in ti] == ["p <x>"] * 3 + ["q <x>"] * 2
    sources = {label: [f"sd/{r.file_name}" for r in sd if r.label == label] for label in PROMPTS}
    refined, again = (from_images({"a": 3, "b": 2}, PROMPTS, 0, sources, depth) for depth in (1, 2))
    assert len({r.seed for r in [*sd, *refined, *again]}) == 15
    assert [r.source for r in refined] == [r.source for r in again] == [f"sd/{r.file_name}" for r in sd]


def test_seeds_stay_those_of_the_first_version():
    (made,) = from_noise({"a": 1}, PROMPTS, seed=7)
    (refined,) = from_images({"a": 1}, PROMPTS, 7, {"a": ["sd/a/00000.png"]}, depth=1)
    assert made.seed == seeding.derive(7, "text-to-image", "a", 0)
    assert refined.seed == seeding.derive(7, "image-to-image", "a/00000.png")


def test_images_to_start_from_are_used_in_turn():
    wanted = from_images({"a": 5, "b": 1}, PROMPTS, 0, {"a": ["x", "y"], "b": ["z"]}, depth=1)
    assert [r.source for r in wanted] == ["x", "y", "x", "y", "x", "z"]
    assert len({r.seed for r in wanted}) == len({r.file_name for r in wanted}) == 6


def test_a_declared_count_is_of_every_class_or_of_those_that_it_names():
    assert declared(3, ["a", "b"], "sd") == {"a": 3, "b": 3}
    assert declared({"b": 2}, ["a", "b"], "sd") == {"a": 0, "b": 2}
    with pytest.raises(UserError, match=r"sets\.sd\.count: there is no class c, d in the cohort"):
        declared({"d": 1, "a": 1, "c": 1}, ["a", "b"], "sd")
