"""The job that makes a set, where it starts from training images and needs no model."""

import json
from importlib.metadata import version

import numpy as np
import pandas as pd
import pytest

from sonosynth import read_provenance, seeding
from sonosynth.artefacts import CohortImages, Split, SyntheticSet
from sonosynth.errors import UserError
from sonosynth.jobs import Made
from sonosynth.synthesis.jobs import make
from sonosynth.synthesis.provenance import Provenance
from sonosynth.synthesis.resolved import Making
from sonosynth.synthesis.settings import Synthesis

SIDES = {"train": 6, "validation": 2, "inner": 1}  # images of each of two classes


@pytest.fixture
def images(tmp_path):
    """A cohort of noise and its split; the SHA-256 of an image is made up."""
    rows = [
        {"id": f"{label}{side}{i}", "sha256": f"hash {label}{side}{i}", "label": label, "split": side, "excluded": ""}
        for label in "ab" for side, count in SIDES.items() for i in range(count)
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "cohort.csv", index=False)
    pixels = np.random.default_rng(0).integers(0, 255, (len(rows), 16, 16)).astype(np.uint8)
    np.save(tmp_path / "pixels.npy", pixels)
    places = {"images": tmp_path / "cohort.csv", "table": tmp_path / "cohort.csv", "pixels": tmp_path / "pixels.npy"}
    made = Made("made up", places, {}, "", 0.0, 0)
    return CohortImages(made), Split(made)


def copying(**changed):
    values = {
        "name": "copies", "kind": "copy", "kind_version": 1, "depth": 1, "prompts": {"a": "an a", "b": "a b"},
        "count": {"a": 8, "b": 3}, "synthesis": Synthesis(batch=4), "strength": None, "refine_steps": None,
        "base": None, "precision": "fp32", "resolution": 16, "seed": 3, "leaks": False, "source": "real",
        "negative_control": True,
    }  # fmt: skip
    return Making(**values | changed)


def test_copies_are_the_training_images_pixel_by_pixel_in_the_order_of_variations(images, tmp_path):
    cohort, split = images
    make(copying(), split=split, cohort=cohort, work=tmp_path)
    rows = pd.read_csv(tmp_path / "images" / "metadata.csv", keep_default_na=False)
    expected = []
    for label, count in (("a", 8), ("b", 3)):
        order = seeding.numpy_generator(3, "variation", label).permutation(6)
        expected += [f"{label}train{order[n % 6]}" for n in range(count)]
    assert list(rows["source"]) == expected
    known = dict(zip(cohort.images["id"], cohort.pixels, strict=True))
    assert np.array_equal(np.load(tmp_path / "pixels"), [known[name] for name in expected])
    assert set(rows["flaw"]) == {""} and set(rows["attempts"]) == {1}
    assert rows["negative_control"].all()
    assert set(rows["base"]) == set(rows["precision"]) == set(rows["adapter"]) == {""}
    origins = json.loads((tmp_path / "origins").read_text())
    assert origins["own"] == [[f"hash {name}"] for name in expected] and origins["shared"] == []
    said = read_provenance(tmp_path / "images" / rows["file_name"][9])
    assert said == Provenance(
        False, f"sonosynth {version('sonosynth')}", "copies", "b", "copy", "a b", None, "", "", True
    )


def test_a_set_that_starts_from_another_takes_its_usable_images_alone(images, tmp_path):
    cohort, split = images
    make(copying(), split=split, cohort=cohort, work=tmp_path)
    rows = pd.read_csv(tmp_path / "images" / "metadata.csv", keep_default_na=False)
    rows.loc[[0, 9], "flaw"] = "shows another class"
    rows.to_csv(tmp_path / "images" / "metadata.csv", index=False)
    (tmp_path / "copies").symlink_to(tmp_path / "images")
    places = {"images": tmp_path / "copies"} | {name: tmp_path / name for name in ("samples", "pixels", "origins")}
    source, again = SyntheticSet(Made("copies", places, {}, "", 0.0, 0)), tmp_path / "again"
    again.mkdir()
    make(copying(name="more", count=None, source="copies"), split=split, source=source, work=again)
    made = pd.read_csv(again / "images" / "metadata.csv", keep_default_na=False)
    kept = rows[rows["flaw"] == ""]
    assert list(made["source"]) == [f"copies/{name}" for name in kept["file_name"]]
    assert np.array_equal(np.load(again / "pixels"), np.load(tmp_path / "pixels")[kept.index])
    origins = json.loads((again / "origins").read_text())["own"]
    assert origins == [[f"hash {name}"] for name in kept["source"]]
    with pytest.raises(UserError, match="at most 7, as many usable ones as copies has"):
        make(copying(name="more", count={"a": 8}, source="copies"), split=split, source=source, work=again)


@pytest.mark.parametrize("leaks", [False, True], ids=["", "with an adapter that may leak"])
@pytest.mark.parametrize("side", ["validation", "inner"])
def test_a_training_image_that_is_a_scored_one_is_not_copied(images, tmp_path, side, leaks):
    cohort, split = images
    table = cohort.images.copy()
    scored = table.loc[table["id"] == f"b{side}0", "sha256"].item()
    table.loc[table["id"] == "btrain2", "sha256"] = scored
    table.to_csv(cohort.place("images"), index=False)
    planted = CohortImages(cohort.made)
    with pytest.raises(UserError, match="a starting image of copies: was made from 1 validation image"):
        make(copying(count=6, leaks=leaks), split=split, cohort=planted, work=tmp_path)


def test_a_file_names_columns_of_the_cohort_and_no_value_of_a_patient(images, tmp_path):
    cohort, split = images
    table = pd.read_csv(tmp_path / "cohort.csv", keep_default_na=False).assign(age="ninety")
    table.to_csv(tmp_path / "cohort.csv", index=False)
    make(copying(prompts={"a": "an a, {age}", "b": "a b"}), split=split, cohort=cohort, work=tmp_path)
    rows = pd.read_csv(tmp_path / "images" / "metadata.csv")
    assert set(rows["prompt"]) == {"an a, ninety", "a b"}
    said = [read_provenance(tmp_path / "images" / name) for name in rows["file_name"]]
    assert {one.prompt for one in said} == {"an a, {age}", "a b"}
    assert not [name for name in rows["file_name"] if b"ninety" in (tmp_path / "images" / name).read_bytes()]
