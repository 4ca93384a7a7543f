"""What observers see in images whose lesions are known, and that no scored image has a part in it."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sonosynth.artefacts import Artefact, CohortImages, Split, SyntheticSet
from sonosynth.cohort.mask_jobs import CohortMasks
from sonosynth.errors import UserError
from sonosynth.evidence.overlap import dice
from sonosynth.jobs import Made
from sonosynth.tasks.segmentation import obedience, observers
from sonosynth.tasks.segmentation.observers import Observers
from sonosynth.tasks.segmentation.settings import Segmenter

pytest.importorskip("monai")

SIDE = 32
OBSERVING = obedience.Observing("masked", 0, 1, "2")


def opened(kind, folder):
    return kind(Made("", {file.name: file for file in folder.iterdir()}, {}, "", 0.0, 0))


def boxes(labels, rng):
    """Bright boxes in noise, none in images of "n"; and their masks."""
    masks = np.zeros((len(labels), SIDE, SIDE), bool)
    for mask, label in zip(masks, labels, strict=True):
        y, x, h, w = rng.integers((2, 2, 8, 8), (16, 16, 14, 14))
        mask[y : y + h, x : x + w] = label != "n"
    return shown(masks, rng), masks


def shown(masks, rng):
    return (rng.integers(0, 90, masks.shape) + 90 * masks).astype(np.uint8)


@dataclass
class Known:
    cohort: CohortImages
    masks: CohortMasks
    split: Split
    folder: object


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """A cohort of boxes, its masks and its split: of "a" and "n", 18 for training and 6 for validation each, and one
    training image of "r", which is rare.
    """
    folder = tmp_path_factory.mktemp("boxes")
    sides = {"train": 18, "validation": 6}
    rows = [{"label": label, "split": side} for label in "an" for side, n in sides.items() for _ in range(n)]
    images = pd.DataFrame([*rows, {"label": "r", "split": "train"}])
    images = images.assign(id=[f"i{n}" for n in images.index], sha256=[f"sha {n}" for n in images.index])
    images = images.assign(group="", excluded="", mask="x", known=True)
    pixels, squares = boxes(images["label"], np.random.default_rng(0))
    for name, arrays in {"cohort": {"pixels": pixels}, "masks": {"masks": squares}, "split": {}}.items():
        (folder / name).mkdir()
        for role, array in arrays.items():
            with (folder / name / role).open("wb") as file:
                np.save(file, array)
    images.to_csv(folder / "cohort" / "images", index=False)
    pd.DataFrame({"id": ["i0"], "twin": ["i18"]}).to_csv(folder / "cohort" / "twins", index=False)
    images.to_csv(folder / "masks" / "table", index=False)
    images.to_csv(folder / "split" / "table", index=False)
    return Known(*(opened(kind, folder / name) for name, kind in
                   (("cohort", CohortImages), ("masks", CohortMasks), ("split", Split))), folder)  # fmt: skip


def training(**more):
    return observers.Training(
        Segmenter(batch=6, resolution=SIDE, learning_rate=0.01, steps=30), True, True, "fp32", **{"seed": 0, **more}
    )


@pytest.fixture(scope="module")
def trained(known):
    work = known.folder / "observers"
    work.mkdir()
    observers.train_observers(training(), cohort=known.cohort, masks=known.masks, split=known.split, work=work)
    return opened(Artefact, work)


def made(folder, labels, pixels, masks, own=None, of_masks=None):
    """A set of these images under these masks, and what both come from."""
    images = folder / "images"
    images.mkdir(parents=True)
    rows = pd.DataFrame({"file_name": [f"{n}.png" for n in range(len(labels))], "label": labels, "flaw": ""})
    rows = rows.assign(mask_file_name=[f"{n}_mask.png" for n in rows.index], mask_source="", source="", prompt="")
    for name, mask in zip(rows["mask_file_name"], masks, strict=True):
        Image.fromarray(mask.astype(np.uint8) * 255).save(images / name)
    rows.to_csv(images / "metadata.csv", index=False)
    with (folder / "pixels").open("wb") as file:
        np.save(file, pixels)
    stored = {
        "real": False,
        "shared": [],
        "own": own or [],
        "samples": [],
        "masks": [of_masks or [[]] * len(labels), []],
    }
    (folder / "origins").write_text(json.dumps(stored))
    return opened(SyntheticSet, folder)


def observed(known, trained, images, tmp_path, split=None):
    work = tmp_path / "observed"
    work.mkdir()
    obedience.observe_set(OBSERVING, split=split or known.split, images=images, observers=trained, work=work)
    found = opened(Artefact, work)
    return found.table("table", "generator"), np.unpackbits(found.array("seen"), axis=-1, count=SIDE)


def test_images_that_show_their_masks_obey_and_those_of_other_masks_do_not(known, trained, tmp_path):
    labels = ["a"] * 8 + ["n"] * 4
    rng = np.random.default_rng(1)
    pixels, masks = boxes(labels, rng)
    asked = np.roll(masks, 12, axis=(1, 2))
    obeying, seen = observed(known, trained, made(tmp_path / "good", labels, pixels, masks), tmp_path)
    assert list(obeying.columns) == obedience.COLUMNS and list(obeying["generator"]) == ["2"] * 12
    lesions = obeying["label"] == "a"
    assert obeying["dice"][lesions].mean() > 0.85 and obeying["dice"][~lesions].isna().all()
    assert obeying["nothing"][~lesions].mean() > 0.9 and obeying["nothing"][lesions].mean() == 0
    assert obeying["asked"][0] == masks[0].mean() and obeying["seen"][0] == pytest.approx(masks[0].mean(), abs=0.05)
    assert np.mean([dice(*pair) for pair in zip(masks[:8], seen[:8], strict=True)]) > 0.85
    moved, _ = observed(known, trained, made(tmp_path / "bad", labels, pixels, asked), tmp_path / "bad")
    assert moved["dice"][lesions].mean() < 0.4 < obeying["dice"][lesions].mean() - obeying["exchanged"][lesions].mean()
    assert moved["unmatched"][lesions].mean() > 0.3 > obeying["unmatched"][lesions].mean()


def test_the_same_is_measured_of_real_validation_images_but_not_of_near_duplicates(known, trained, tmp_path):
    obedience.observe_real(
        replace(OBSERVING, name="real", generator=""), cohort=known.cohort, masks=known.masks, split=known.split,
        observers=trained, work=tmp_path,
    )  # fmt: skip
    table = opened(Artefact, tmp_path).table("table")
    validation = known.split.validation["id"]
    assert set(table["image"]) == {*validation} - {"i18"}  # a twin of a training image
    assert table["dice"][table["label"] == "a"].mean() > 0.8


def test_each_observer_is_trained_without_a_third_and_no_validation_image_is_among_them(known, trained):
    about = trained.json("about")
    train = known.split.train
    assert about["folds"].keys() == {*train["sha256"]} and about["side"] == SIDE
    folds = train["sha256"].map(about["folds"])
    assert pd.crosstab(train["label"], folds).loc[["a", "n"]].eq(6).all().all()
    grouped = train.assign(group=["g" if n < 10 else "" for n in range(len(train))])
    dealt = observers._dealt(grouped, 0)
    assert len(set(dealt[:10])) == 1 and set(dealt) == {0, 1, 2}
    assert np.array_equal(dealt, observers._dealt(grouped, 0)) and not np.array_equal(
        dealt, observers._dealt(grouped, 1)
    )
    with pytest.raises(UserError, match="2 training images or groups have masks"):
        observers._dealt(train[:2], 0)


class Seer:
    """A segmenter that sees what is bright, moved to the right by some pixels."""

    def __init__(self, moved):
        self.moved = moved

    def masks(self, images):
        return np.roll((images > 80).astype(np.uint8), self.moved, axis=2)


class Blind:
    """A segmenter that sees nothing."""

    def masks(self, images):
        return np.zeros(images.shape, np.uint8)


def test_only_those_judge_that_know_neither_start_nor_mask(known, trained, tmp_path, monkeypatch):
    masks = np.zeros((5, SIDE, SIDE), bool)
    masks[:4, 8:16, 8:16] = True
    pixels = masks.astype(np.uint8) * 200
    seers = Observers([Seer(0), Seer(4), Seer(8)], {"sha 0": 0, "sha 1": 1, "sha 2": 2}, SIDE)
    monkeypatch.setattr(Observers, "open", classmethod(lambda cls, made, split: seers))
    own, of_masks = [[], [], ["sha 2"], ["sha 2"], ["sha 1"]], [[], ["sha 1"], [], ["sha 0"], []]
    images = made(tmp_path / "set", ["a", "a", "a", "a", "n"], pixels, masks, own, of_masks)
    table, seen = observed(known, trained, images, tmp_path)
    assert list(table["dice"][:4]) == [0.5, 0.5, 0.0, 0.0] and list(table["nothing"]) == [0, 0, 0, 0, 1]
    assert list(table["known"]) == [False, False, False, True, False]
    assert np.array_equal(seen[1], np.roll(masks[1], 4, axis=1)) and np.array_equal(
        seen[2], np.roll(masks[2], 8, axis=1)
    )
    origins = [frozenset(own) for own in ([], ["sha 0"], ["sha 2"], ["sha 1"], ["sha 0"])]
    nothing = [frozenset[str]()] * 5
    assert list(seers.obedience(pixels, masks, origins, nothing)) == [0.5, 1.0, 0.0, 0.5, 1.0]
    assert list(seers.obedience(pixels, masks, nothing, origins)) == [0.5, 1.0, 0.0, 0.5, 1.0]


def test_nothing_may_be_seen_by_any_judge_where_nothing_was_asked_for():
    seen = np.zeros((1, SIDE, SIDE), np.uint8)
    seen[0, 4:8, 4:8] = 200
    seers = Observers([Seer(0), Seer(0), Blind()], {"sha 0": 0, "sha 2": 2}, SIDE)
    masks = np.zeros((1, SIDE, SIDE), bool)
    assert list(seers.obedience(seen, masks, [frozenset()], [frozenset()])) == [0.0]
    assert list(seers.obedience(seen, masks, [frozenset({"sha 2"})], [frozenset()])) == [1.0]


def test_scored_images_have_no_part_in_what_is_seen(known, trained, tmp_path):
    scored = min(known.split.scored)
    images = made(tmp_path / "set", ["n"], np.zeros((1, SIDE, SIDE), np.uint8), np.zeros((1, SIDE, SIDE), bool))
    about = trained.json("about")
    (tmp_path / "about").write_text(json.dumps(about | {"folds": {**about["folds"], scored: 0}}))
    places = {**trained.made.places, "about": tmp_path / "about"}
    with pytest.raises(UserError, match="segmenters that observe: was made from 1 validation image"):
        observed(known, Artefact(replace(trained.made, places=places)), images, tmp_path)
    images = known.cohort.images.copy()
    images.loc[images["id"] == "i0", "sha256"] = scored
    images.to_csv(tmp_path / "images.csv", index=False)
    cohort = CohortImages(
        replace(known.cohort.made, places={**known.cohort.made.places, "images": tmp_path / "images.csv"})
    )
    with pytest.raises(UserError, match="the real training images: was made from 1 validation image"):
        observers.train_observers(training(), cohort=cohort, masks=known.masks, split=known.split, work=tmp_path)
