"""Requests whose prompts say what the columns say of a training image."""

from collections import Counter
from dataclasses import replace

import pandas as pd

from sonosynth.synthesis.described import described
from sonosynth.synthesis.requests import from_images, from_noise

TRAIN = pd.DataFrame(
    {"id": [f"i{n}" for n in range(40)], "label": ["a", "b"] * 20, "device": [f"d{n}" for n in range(40)]}
)
PROMPTS = {"a": "a, {device}", "b": "b, {device}"}


def test_images_from_noise_are_described_as_training_images_of_their_class_and_the_same_whatever_their_number():
    few, many = (described(from_noise({"a": n, "b": n}, PROMPTS, 7), TRAIN, 7, {}, {}) for n in (5, 30))
    assert [request for request in many if request.file_name in {x.file_name for x in few}] == few
    for request in many:
        row = TRAIN.set_index("id").loc[request.described]
        assert row["label"] == request.label and request.prompt == f"{request.label}, {row['device']}"
    assert len({request.described for request in many}) > 15
    assert described(from_noise({"a": 5}, PROMPTS, 8), TRAIN, 8, {}, {}) != few[:5]


def test_an_image_that_starts_from_another_one_is_described_as_that_one_is():
    wanted = from_images({"a": 2}, PROMPTS, 7, {"a": ["sd/a/0", "i3"]}, 1)
    found = described(wanted, TRAIN, 7, {}, {"sd/a/0": "i8", "i3": "i3"})
    assert [request.prompt for request in found] == ["a, d8", "a, d3"]


def test_without_columns_nothing_changes():
    wanted = from_noise({"a": 3}, {"a": "a"}, 7)
    assert described(wanted, TRAIN, 7, {}, {}) == wanted
    assert [replace(x, prompt="a") for x in described(from_noise({"a": 3}, PROMPTS, 7), TRAIN, 7, {}, {})] != wanted


def test_a_learned_token_stays_where_a_value_is_missing():
    train = TRAIN.assign(device="")
    (found,) = described(from_noise({"a": 1}, {"a": "a, {device} <t>"}, 7), train, 7, {"a": "<t>"}, {})
    assert found.prompt == "a <t>"


def test_images_from_noise_are_described_as_images_of_the_stratum_whose_turn_it_is():
    train = TRAIN.assign(device=["X"] * 30 + ["Y", "X"] * 5)  # a: 15 X, 5 Y; b: 20 X
    # Of the 30 images that a will have, 20 : 5 would be 24 : 6.
    wanted = from_noise({"a": 10, "b": 2}, PROMPTS, 7)
    found = described(wanted, train, 7, {}, {}, ("device",))
    assert Counter(request.prompt for request in found) == {"a, X": 9, "a, Y": 1, "b, X": 2}
    assert len({request.described for request in found if request.label == "a"}) > 5
    rows = train.set_index("id")
    for request in found:
        row = rows.loc[request.described]
        assert (row["label"], f"{row['label']}, {row['device']}") == (request.label, request.prompt)
