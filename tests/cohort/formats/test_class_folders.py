"""Folders as they are shared: classes, masks and sides in folders of their own."""

import numpy as np
import pytest
from PIL import Image

from sonosynth.artefacts import TRAIN, VALIDATION
from sonosynth.cohort.formats._masks import named, paired
from sonosynth.cohort.reading import list_files, read
from sonosynth.cohort.settings import Split
from sonosynth.cohort.sources import By, list_sources
from sonosynth.cohort.split import exclusions, to_table
from sonosynth.errors import UserError


def picture(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, *path.name.encode()])
    Image.fromarray(rng.integers(0, 255, (16, 16), np.uint8)).save(path)


def mask(path, rows=4):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.uint8([[255] * 16] * rows + [[0] * 16] * (16 - rows))).save(path)


def found(root):
    """Label, side, and the masks of each image, relative to the cohort."""
    listing = list_sources(root)
    assert listing.problems == {}
    return {
        source.id: (source.label, source.given, [m.relative_to(root).as_posix() for m in source.masks])
        for source in listing.sources
    }


@pytest.mark.parametrize(
    ("image", "its_mask"),
    [
        ("images/{}/x.png", "masks/{}/x.png"),
        ("Images/{}/x.jpg", "Masks/{}/x.png"),
        ("{}/images/x.png", "{}/masks/x.png"),
        ("{}/x.png", "{}/segmentations/x.png"),
        ("{}/x.png", "masks/{}/x_mask.png"),
        ("{}/x.png", "labels/{}/x_label.png"),
        ("images/{}/x.png", "annotations/{}/mask_x.png"),
        ("{}/scan_{}.png", "masks/{}/mask_{}.png"),
        ("{}/{}_x.png", "Ground Truth/{}_x_gt.png"),
        ("{}/x.png", "{}/x_seg.png"),
    ],
)
def test_folders_of_images_and_masks_are_no_classes(tmp_path, image, its_mask):
    for label in ("benign", "malignant"):
        picture(tmp_path / image.replace("{}", label))
        mask(tmp_path / its_mask.replace("{}", label))
    rows = found(tmp_path)
    assert {row[0]: row[2] for row in rows.values()} == {
        x: [its_mask.replace("{}", x)] for x in ("benign", "malignant")
    }
    assert set(read(tmp_path).images["lesion"]) == {0.25}


def test_several_masks_of_one_image_are_joined_whichever_folder_they_are_in(tmp_path):
    picture(tmp_path / "a" / "x.png")
    picture(tmp_path / "b" / "y.png")
    for name, rows in (("a/x_mask.png", 2), ("a/masks/x_1.png", 4), ("masks/a/x_2.png", 8)):
        mask(tmp_path / name, rows)
    assert found(tmp_path)["a/x"][2] == ["a/x_mask.png", "a/masks/x_1.png", "masks/a/x_2.png"]
    assert read(tmp_path).images["lesion"][0] == 0.5


def test_a_mask_is_of_the_image_with_exactly_its_name_before_any_other():
    files = {name: named(folders, name) for name, folders in {"x": (), "x_1": (), "z_x": ()}.items()}
    masks = {"m x_1": named(("masks",), "x_1"), "m x": named(("masks",), "mask_x"), "m y": named(("masks",), "y")}
    pairs = paired(files | masks)
    assert pairs.masks == {((), "x_1"): ["m x_1"], ((), "x"): ["m x"]}
    assert pairs.lost == ["m y"]


def test_a_mask_whose_image_could_be_one_of_two_is_named_and_given_to_neither(tmp_path):
    for label in "ab":
        picture(tmp_path / label / "x.png")
    mask(tmp_path / "masks" / "x.png")
    listing = list_sources(tmp_path)
    assert listing.problems == {"masks/x.png": "is a mask, but there is no image of that name"}
    assert not any(source.masks for source in listing.sources)


def test_files_that_only_end_like_masks_are_images(tmp_path):
    for label in "ab":
        picture(tmp_path / label / "x_seg.png")
    assert {row[0] for row in found(tmp_path).values()} == {"a", "b"}


@pytest.mark.parametrize("names", [("Training", "Testing"), ("train", "val"), ("TRAIN", "test")])
@pytest.mark.parametrize("place", ["{side}/{label}", "{label}/{side}", "{side}/images/{label}"])
def test_sides_above_or_in_class_folders_are_the_split(tmp_path, names, place):
    for side in names:
        for n, label in enumerate(("glioma", "meningioma", "notumor", "pituitary")):
            picture(tmp_path / place.format(side=side, label=label) / f"{side}{n}.png", n)
    assert {row[:2] for row in found(tmp_path).values()} == {
        (label, side) for label in ("glioma", "meningioma", "notumor", "pituitary") for side in (TRAIN, VALIDATION)
    }
    assert list_sources(tmp_path).taken["split"].by is By.FOLDER


def test_one_side_alone_is_no_split_and_neither_is_a_class_that_is_called_so(tmp_path):
    for label in "ab":
        picture(tmp_path / "one" / "train" / label / "x.png")
    assert {row[:2] for row in found(tmp_path / "one").values()} == {("a", ""), ("b", "")}
    for label in ("test", "control"):
        picture(tmp_path / "two" / label / "x.png")
    assert {row[:2] for row in found(tmp_path / "two").values()} == {("test", ""), ("control", "")}


def test_what_says_that_images_are_simulated_is_no_stray_file(tmp_path):
    for label in "ab":
        picture(tmp_path / label / "x.png")
    for name in ("SIMULATED.txt", "README.txt"):
        (tmp_path / name).write_text("no patients")
    assert set(list_sources(tmp_path).ignored) == {"README.txt"}
    assert list_files(tmp_path).simulated


def test_links_to_folders_are_named_not_followed(tmp_path):
    for label in "ab":
        picture(tmp_path / "c" / label / "x.png")
    picture(tmp_path / "elsewhere" / "y.png")
    (tmp_path / "c" / "linked").symlink_to(tmp_path / "elsewhere")
    assert list_sources(tmp_path / "c").problems == {
        "linked": "is a link to a folder, and links to folders are not followed"
    }


@pytest.fixture
def divided(tmp_path):
    """Two classes, of each six images to train on and three to test; one of those is a copy of a training image."""
    for label in "ab":
        for side, count in (("train", 6), ("test", 3)):
            for n in range(count):
                picture(tmp_path / side / label / f"{side}{label}{n}.png")
    (tmp_path / "test/a/copy.png").write_bytes((tmp_path / "train/a/traina0.png").read_bytes())
    return tmp_path


def test_the_cohorts_own_split_is_used_without_what_is_on_both_sides(divided):
    cohort = read(divided)
    table = to_table(cohort, Split(), 0).set_index("id")
    assert table["split"]["test/a/copy"] == VALIDATION
    assert table["split"]["train/a/traina0"] == ""
    assert "are among the validation images" in table["excluded"]["train/a/traina0"]
    assert table["split"].value_counts().to_dict() == {TRAIN: 11, VALIDATION: 7, "": 1}
    told = exclusions(cohort, Split(), table.reset_index()).to_dict("records")
    assert told == [{"label": "a", "reason": "belongs with images of another part", "images": 1}]


@pytest.mark.parametrize(("settings", "fold"), [({"given": "ignore"}, None), ({"sealed": 0.2}, None), ({}, (3, 0))])
def test_the_cohorts_own_split_is_not_used_where_images_are_divided_anew(divided, settings, fold):
    table = to_table(read(divided), Split(**settings), 0, fold).set_index("id")
    assert (table["excluded"] == "").all()
    assert {*table["split"][table.index.str.startswith("train")]} == {TRAIN, VALIDATION}


def test_an_own_split_that_lacks_a_class_is_refused(divided):
    for file in (divided / "train" / "b").iterdir():
        file.rename(divided / "train" / "a" / file.name)
    with pytest.raises(UserError, match=r"its own split .* has no train image of b"):
        to_table(read(divided), Split(), 0)
