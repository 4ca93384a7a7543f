"""Selection while a set is made, with critics and features that are known."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sonosynth.evidence.overlap import dice
from sonosynth.fidelity.nearness import Floor
from sonosynth.synthesis.making import RETRIES, Maker, make_set
from sonosynth.synthesis.requests import from_images, from_noise
from sonosynth.synthesis.selector import DISOBEYS, OTHER_CLASS, TOO_NEAR, ByCritics, ByMask, Selector
from sonosynth.synthesis.selector import RETRIES as MORE

CLASSES = ("a", "b")


def picture(label, place, rng):
    """Noise of a mean grey level: a's are dark, b's bright, and `place` (0 to 50) tells images of a class apart."""
    return (rng.integers(0, 20, (32, 32)) + 40 + place + 120 * (label == "b")).astype(np.uint8)


def critics(images, _):
    bright = images.reshape(len(images), -1).mean(axis=1) > 110
    return np.stack([~bright, bright], axis=1).astype(float)


def features(images):
    return images.reshape(len(images), -1).mean(axis=1, keepdims=True).astype(np.float32)


def selector(floor=0.0, judging=critics, others=1000):
    return Selector([ByCritics(CLASSES, judging, features, dict.fromkeys(CLASSES, Floor(floor, others)))])


def made(folder, wanted, make, chosen, batch=2):
    pixels = make_set(wanted, None, Maker(make, {}), folder, name="sd", batch=batch, selector=chosen)
    return pixels, pd.read_csv(folder / "metadata.csv", keep_default_na=False)


def drawing(wanted, first):
    """Each image in its turn: the n-th request's first one as `first` says (label, place), later ones at random."""
    planned = {request.seed: first[n] for n, request in enumerate(wanted) if n in first}

    def make(chosen, _):
        images = []
        for request in chosen:
            rng = np.random.default_rng(request.seed)
            label, place = planned.get(request.seed, (request.label, rng.integers(0, 50)))
            images.append(picture(label, place, rng) if label else np.full((32, 32), 90, np.uint8))
        return np.stack(images)

    return make


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_what_shows_another_class_or_comes_too_near_is_dropped_for_that_reason(tmp_path, batch):
    wanted = from_noise({"a": 4, "b": 2}, {"a": "p", "b": "q"}, seed=0)
    first = {0: ("a", 0), 1: ("b", 20), 2: ("a", 1), 3: (None, 0), 4: ("b", 50), 5: ("b", 0)}
    chosen = selector(floor=3.0)
    pixels, rows = made(tmp_path / "sd", wanted, drawing(wanted, first), chosen, batch)
    table = chosen.table()
    begun = table[table["attempt"] == 1]
    assert list(begun["reason"]) == ["", OTHER_CLASS, TOO_NEAR, "constant", "", ""]
    assert list(begun["seed"]) == [request.seed for request in wanted]
    last = table.groupby("file_name", sort=False).tail(1)
    assert list(last["file_name"]) == list(rows["file_name"]) and list(last["label"]) == list(rows["label"])
    assert list(last["seed"]) == list(rows["seed"]) and list(last["attempt"]) == list(rows["attempts"])
    assert set(last["reason"]) == set(rows["flaw"]) == {""}
    levels = features(pixels)[:, 0]
    assert all((level > 110) == (label == "b") for level, label in zip(levels, rows["label"], strict=True))
    for label in CLASSES:
        apart = np.diff(np.sort(levels[rows["label"] == label]))
        assert apart.min() >= 3.0


def test_without_a_floor_images_may_be_near_each_other(tmp_path):
    """The floor can fail: without one, the same images that it would drop are kept."""
    wanted = from_noise({"a": 2}, {"a": "p"}, seed=0)
    for floor, reasons in ((0.0, ["", ""]), (20.0, ["", TOO_NEAR])):
        chosen = selector(floor)
        made(tmp_path / str(floor), wanted, drawing(wanted, {0: ("a", 0), 1: ("a", 10)}), chosen)
        table = chosen.table()
        assert list(table["reason"][table["attempt"] == 1]) == reasons


def test_a_set_whose_labels_mean_nothing_ends_with_unusable_images(tmp_path, capsys):
    """Images of either class at random, whatever was asked for; and a generator that draws a's alone."""
    wanted = from_noise({"a": 3, "b": 40}, {"a": "p", "b": "q"}, seed=0)
    calls = []

    def make(asked, _):
        calls.extend(asked)
        return np.stack([picture("a", 0, np.random.default_rng(request.seed)) for request in asked])

    chosen = selector()
    _, rows = made(tmp_path / "sd", wanted, make, chosen, batch=8)
    assert list(rows["attempts"]) == [1] * 3 + [1 + MORE] * 40
    assert set(rows["flaw"][3:]) == {OTHER_CLASS}
    assert len(calls) == len(chosen.table()) == 3 + 40 * (1 + MORE)
    assert "sd: 40 images made again, by selection; 40 remain unusable" in capsys.readouterr().err


def test_an_interrupted_selection_ends_with_the_same_images_and_the_same_table(tmp_path):
    wanted = from_noise({"a": 6, "b": 4}, {"a": "p", "b": "q"}, seed=1)
    first = {0: ("b", 0), 3: ("b", 3), 5: ("a", 20), 7: (None, 0)}
    whole, chosen = drawing(wanted, first), selector(floor=2.0)
    pixels, rows = made(tmp_path / "whole", wanted, whole, chosen)
    calls = []

    def stopping(asked, starts):
        calls.append(len(asked))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return whole(asked, starts)

    with pytest.raises(KeyboardInterrupt):
        made(tmp_path / "again", wanted, stopping, selector(floor=2.0))
    assert (tmp_path / "again" / wanted[0].file_name).exists()
    resumed = selector(floor=2.0)
    others, again = made(tmp_path / "again", wanted, whole, resumed)
    assert np.array_equal(others, pixels) and again.equals(rows)
    assert resumed.table().equals(chosen.table()) and (chosen.table()["reason"] != "").sum() >= 4
    for request in wanted:
        assert (tmp_path / "again" / request.file_name).read_bytes() == (
            tmp_path / "whole" / request.file_name
        ).read_bytes()
    with Image.open(tmp_path / "whole" / wanted[0].file_name) as image:
        assert json.loads(image.info["dropped"])[0] == OTHER_CLASS


def test_images_are_judged_by_what_they_were_made_from(tmp_path):
    """Critics are told the origins of each image; without a selector nothing is asked, and nothing noted."""
    wanted = from_images({"a": 3}, {"a": "p"}, 0, {"a": ["x", "y", "z"]}, depth=1)
    wanted = [type(r)(**{**vars(r), "origins": frozenset([f"sha {r.source}"])}) for r in wanted]
    told = []

    def judging(images, origins):
        told.extend(origins)
        return critics(images, origins)

    chosen = selector(judging=judging)
    pixels, rows = made(tmp_path / "sd", wanted, drawing(wanted, {}), chosen)
    assert told == [frozenset([f"sha {name}"]) for name in "xyz"]
    plain = make_set(wanted, None, Maker(drawing(wanted, {}), {}), tmp_path / "plain", name="sd", batch=2)
    assert np.array_equal(plain, pixels)
    with Image.open(tmp_path / "plain" / wanted[0].file_name) as image:
        assert set(image.info) == {"seed", "attempts", "flaw", "check"}
    assert list(rows.columns) == list(pd.read_csv(tmp_path / "plain" / "metadata.csv").columns)
    assert MORE > RETRIES


def test_an_image_is_compared_with_as_many_as_real_ones_are_with_each_other():
    """The nearest of more images is nearer: so the set may be larger than its class without being dropped for that."""
    request, rng = from_noise({"a": 1}, {"a": "p"}, seed=0)[0], np.random.default_rng(0)
    for others, expected in ((0, ""), (1, ""), (2, TOO_NEAR), (3, TOO_NEAR)):
        chosen = selector(floor=5.0, others=others)
        for place in (0, 20, 40):
            chosen.add(request, picture("a", place, rng), [""])
        assert chosen.flaw(picture("a", 20, rng), request) == expected, others


def test_what_misses_its_mask_is_made_again_a_bounded_number_of_times(tmp_path):
    """Images are bright where their masks are, or where another one is: the first two, and every image of the last."""
    masks = np.zeros((4, 32, 32), bool)
    for n, mask in enumerate(masks[:3]):
        mask[4 + n : 12 + n, 4:12] = True
    plain = from_noise({"a": 4}, {"a": "p"}, seed=0)
    wanted = [replace(one, mask=mask, mask_origins=frozenset("m")) for one, mask in zip(plain, masks, strict=True)]
    first, never = {wanted[0].seed, wanted[1].seed}, wanted[2].mask

    def make(chosen, _):
        images = np.stack([np.random.default_rng(one.seed).integers(0, 60, (32, 32)) for one in chosen])
        missed = [one.seed in first or one.mask is never for one in chosen]
        there = np.stack([one.mask[::-1] if miss else one.mask for one, miss in zip(chosen, missed, strict=True)])
        return (images + 120 * there).astype(np.uint8)

    asked = []

    def obedience(images, under, origins, of_masks):
        asked.extend([*origins, *of_masks])
        bright = images[0] > 90
        return np.array([dice(under[0], bright) if under.any() else not bright.any()], float)

    chosen = Selector([ByMask(obedience, 0.5)])
    _, rows = made(tmp_path, wanted, make, chosen)
    assert list(rows["attempts"]) == [2, 2, 1 + MORE, 1] and list(rows["flaw"]) == ["", "", DISOBEYS, ""]
    reasons = chosen.table().groupby("file_name")["reason"].agg(list)
    assert list(reasons) == [[DISOBEYS, ""], [DISOBEYS, ""], [DISOBEYS] * (1 + MORE), [""]]
    assert set(asked) == {frozenset(), frozenset("m")}
    again = Selector([ByMask(obedience, 0.5)])  # as after an interruption: nothing is asked again
    made(tmp_path, wanted, None, again)
    assert again.table().equals(chosen.table())
