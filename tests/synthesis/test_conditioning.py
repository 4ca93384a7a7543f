"""Which masks images are made under, where these come from, and that no scored image has a part in them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage

from sonosynth.artefacts import Split
from sonosynth.cohort.mask_jobs import CohortMasks
from sonosynth.errors import UserError
from sonosynth.jobs import Made
from sonosynth.synthesis import given_masks
from sonosynth.synthesis.conditioning import GIVEN, Condition, drawing, under_masks
from sonosynth.synthesis.requests import Request
from sonosynth.synthesis.settings import LESION, SHAPES, SURROUNDINGS, TRAINING

SIDES = {"train": 7, "validation": 2, "inner": 1}  # images of each class
SIDE = 32
Y, X = np.indices((SIDE, SIDE))


@pytest.fixture
def known(tmp_path):
    """The masks of a cohort, a disc in each image of "a" and none in those of "n", and its split."""
    rows = [
        {"id": f"{label}{side}{i}", "sha256": f"hash {label}{side}{i}", "label": label, "split": side, "excluded": "",
         "known": True} for label in "an" for side, count in SIDES.items() for i in range(count)
    ]  # fmt: skip
    discs = [np.hypot(Y - 10 - n, X - 16) < 5 + n / 4 for n in range(10)]
    masks = np.stack([*discs, *(disc & False for disc in discs)])

    def opened(masks=masks, **changed):
        table = pd.DataFrame(rows)
        for column, values in changed.items():
            table[column] = values(table)
        table.to_csv(tmp_path / "cohort.csv", index=False)
        np.save(tmp_path / "masks.npy", masks)
        made = Made("", {"table": tmp_path / "cohort.csv", "masks": tmp_path / "masks.npy"}, {}, "", 0.0, 0)
        return CohortMasks(made), Split(made)

    opened.masks = masks
    return opened


def draw(masks, split, source=TRAINING, given=None, labels=("a", "n"), seed=0, depth=0):
    return drawing(Condition(source, None, given, True), "set", seed, depth, masks, split, labels)


def folder(tmp_path, **masks):
    for label, some in masks.items():
        (tmp_path / "drawn" / label).mkdir(parents=True)
        for n, mask in enumerate(some):
            Image.fromarray(mask).save(tmp_path / "drawn" / label / f"{n}_mask.png")
    return given_masks.find(str(tmp_path / "drawn"), "set", ["a", "n"])


@pytest.mark.parametrize("source", [TRAINING, SHAPES])
def test_masks_follow_from_training_masks_alone(known, source):
    """Whatever the masks of validation and inner images are, those that are drawn stay the same."""
    masks, split = known()
    first = [draw(masks, split, source)(label, n) for label in "an" for n in range(9)]
    others = known.masks.copy()
    others[(split.rows["split"] != "train").to_numpy()] = np.hypot(Y - 16, X - 16) < 14
    again = draw(*known(others), source)
    assert all(np.array_equal(one.mask, again(label, n).mask) for one, (label, n) in zip(
        first, ((label, n) for label in "an" for n in range(9)), strict=True
    ))  # fmt: skip
    assert all(one.mask.any() for one in first[:9]) and not any(one.mask.any() for one in first[9:])
    origins = frozenset().union(*(one.origins for one in first))
    assert origins == {f"hash {label}train{n}" for label in "an" for n in range(7)}


def test_training_masks_come_in_turn_each_deformed_anew_and_streams_are_named(known):
    masks, split = known()
    found = [draw(masks, split)("a", n) for n in range(14)]
    assert [one.source for one in found[:7]] == [one.source for one in found[7:]]
    assert {one.source for one in found} == {f"atrain{n}" for n in range(7)}
    assert all(one.origins == {f"hash {one.source}"} for one in found)
    assert not np.array_equal(found[0].mask, found[7].mask)
    assert np.array_equal(found[0].mask, draw(masks, split, labels=("a",))("a", 0).mask)
    for changed in ({"seed": 1}, {"depth": 2}):
        assert not np.array_equal(found[0].mask, draw(masks, split, **changed)("a", 0).mask)


@pytest.mark.parametrize("source", [TRAINING, SHAPES])
@pytest.mark.parametrize("side", ["validation", "inner"])
def test_a_training_mask_that_is_of_a_scored_image_is_refused(known, source, side):
    def planted(table):
        return table["sha256"].where(table["id"] != "atrain2", f"hash a{side}0")

    with pytest.raises(UserError, match="the masks of a for set: was made from 1 validation image"):
        draw(*known(sha256=planted), source)


def test_a_drawn_mask_that_is_an_images_comes_from_that_image(known, tmp_path):
    masks, split = known()
    own = np.hypot(Y - 20, X - 9) < 6
    given = folder(tmp_path, a=[own, known.masks[3]])
    drawn = draw(masks, split, GIVEN, given)
    assert np.array_equal(drawn("a", 0).mask, own) and drawn("a", 0).origins == frozenset()
    assert drawn("a", 1).origins == {"hash atrain3"} and drawn("a", 1).source == "a/1_mask.png"
    assert np.array_equal(drawn("a", 2).mask, own)
    assert not drawn("n", 0).mask.any()  # a class without lesions needs none
    Image.fromarray(known.masks[8]).save(tmp_path / "drawn" / "a" / "2.png")
    with pytest.raises(UserError, match="drawn: was made from 1 validation image"):
        draw(masks, split, GIVEN, given_masks.find(str(tmp_path / "drawn"), "set", ["a", "n"]))


def test_what_is_wrong_with_a_folder_is_said(known, tmp_path):
    masks, split = known()
    with pytest.raises(UserError, match=r"sets\.set\.masks: .*none: does not exist"):
        given_masks.find(str(tmp_path / "none"), "set", ["a"])
    given = folder(tmp_path, n=[known.masks[0]])
    with pytest.raises(UserError, match="drawn: holds no mask of a") as error:
        draw(masks, split, GIVEN, given)
    assert "sets.set.count, without a" in str(error.value)
    with pytest.raises(UserError, match="holds masks of n, and the cohort has no such class"):
        given_masks.find(str(tmp_path / "drawn"), "set", ["a"])
    (tmp_path / "drawn" / "n" / "0_mask.png").write_bytes(b"no image")
    given = given_masks.find(str(tmp_path / "drawn"), "set", ["a", "n"])
    with pytest.raises(UserError, match=r"0_mask\.png is not a PNG"):
        given_masks.decode(given, SIDE, "set")
    (tmp_path / "drawn" / "n" / "0_mask.png").unlink()
    with pytest.raises(UserError, match="holds no masks in class folders"):
        given_masks.find(str(tmp_path / "drawn"), "set", ["a", "n"])


def test_a_class_of_which_too_few_masks_are_known_is_refused(known):
    masks, split = known(known=lambda table: ~table["id"].str.startswith("atrain"))
    for source in (TRAINING, SHAPES):
        with pytest.raises(UserError, match=r"sets\.set: no training image of a has a mask"):
            draw(masks, split, source)
    masks, split = known(known=lambda table: ~table["id"].isin([f"atrain{n}" for n in range(4)]))
    with pytest.raises(UserError, match=r"sets\.set\.masks: shapes, of a: 3 masks show a lesion"):
        draw(masks, split, SHAPES)
    assert draw(masks, split)("a", 0).mask.any()


def test_what_is_kept_of_an_image_follows_from_its_mask_and_the_new_one(known):
    masks, split = known()
    own = known.masks[:2]
    wanted = [Request("a", f"a/{n}.png", "", n, f"atrain{n}") for n in range(2)]
    settings = Condition(None, None, None, True)
    around = np.stack([ndimage.distance_transform_cdt(~mask, "taxicab") <= SIDE / 16 for mask in own])
    for keep, new, regions in (
        (None, False, None), (LESION, False, ~own), (SURROUNDINGS, False, around), (SURROUNDINGS, True, around)
    ):  # fmt: skip
        drawn = draw(masks, split) if new else None
        found, origins = under_masks(replace(settings, keep=keep), "set", wanted, own, {}, drawn)
        for n, request in enumerate(found):
            mask = drawn("a", n).mask if drawn else own[n]
            assert np.array_equal(request.mask, mask)
            assert request.mask_source == (drawn("a", n).source if drawn else request.source)
            if regions is None:
                assert request.region is None
            else:
                assert np.array_equal(request.region, regions[n] | mask if drawn else regions[n])
        assert origins == (frozenset().union(*(drawn("a", n).origins for n in range(2))) if drawn else frozenset())
    with pytest.raises(UserError, match=r"sets\.set\.keep: surroundings: nothing of atrain0 would change"):
        under_masks(replace(settings, keep=SURROUNDINGS), "set", wanted, own & False, {}, None)
    came = {"atrain0": ("atrain7", frozenset({"7"}))}  # an image that was made under the mask of another
    found, origins = under_masks(settings, "set", wanted, own, came, None)
    assert [(one.mask_source, one.mask_origins) for one in found] == [*came.values(), ("atrain1", frozenset())]
    assert origins == {"7"}


def test_the_masks_of_a_set_are_as_varied_as_those_of_the_class(known):
    """They are no copies of training masks: none is equal to one, but sizes and places are theirs."""
    masks, split = known()
    drawn = draw(masks, split)
    found = np.stack([drawn("a", n).mask for n in range(40)])
    assert not {one.tobytes() for one in found} & {one.tobytes() for one in known.masks[:7]}
    areas, centres = found.sum(axis=(1, 2)), np.array([ndimage.center_of_mass(one) for one in found])
    assert areas.mean() == pytest.approx(known.masks[:7].sum(axis=(1, 2)).mean(), rel=0.15)
    assert centres.mean(axis=0) == pytest.approx([13, 16], abs=2)
