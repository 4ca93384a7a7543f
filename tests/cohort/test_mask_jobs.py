"""The masks of a cohort, at the study's resolution, and which of them are known."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from sonosynth.artefacts import CohortImages
from sonosynth.cohort import jobs, mask_jobs
from sonosynth.cohort.mask_jobs import CohortMasks, ReadingMasks
from sonosynth.cohort.masks import resized, to_square
from sonosynth.cohort.reading import list_files
from sonosynth.errors import UserError
from sonosynth.jobs import Made


@pytest.fixture
def decoded(cohort_folder, tmp_path):
    """The masks of the cohort as it is now, and its images."""

    def made(empty=()):
        files = list_files(cohort_folder)
        for name in ("images", "masks"):
            (tmp_path / name).mkdir(exist_ok=True)
        work = tmp_path / "images"
        jobs.decode(jobs.Reading(files, 24, skip_bad=True), work=work)
        images = CohortImages(Made("", {p.name: p for p in work.iterdir()}, {}, "", 0.0, 0))
        work = tmp_path / "masks"
        mask_jobs.decode(ReadingMasks(files, 24, empty), cohort=images, work=work)
        return CohortMasks(Made("", {p.name: p for p in work.iterdir()}, {}, "", 0.0, 0)), images

    return made


def test_masks_stand_in_the_order_of_the_images_and_show_their_lesions(decoded, cohort_folder):
    masks, images = decoded()
    assert list(masks.rows["id"]) == list(images.images["id"]) and masks.rows["known"].all()
    assert np.array_equal(masks.shown, (masks.rows["label"] != "normal").to_numpy())
    for name, square in zip(masks.rows["id"], masks.squares, strict=True):
        with Image.open(cohort_folder / f"{name}_mask.png") as file:
            whole = np.asarray(file) > 0
        assert np.array_equal(square, whole.reshape(24, 2, 24, 2).mean(axis=(1, 3)) >= 0.5)
    chosen = images.images["id"].iloc[[5, 2]]
    assert list(masks.places(chosen)) == [5, 2]
    assert [list(own) for own in masks.origins(np.array([5])).own] == [[images.images["sha256"].iloc[5]]]


def test_an_image_without_a_mask_file_is_not_annotated_unless_its_class_has_no_lesions(decoded, cohort_folder):
    (cohort_folder / "benign" / "benign (3)_mask.png").unlink()
    for file in (cohort_folder / "normal").glob("*_mask.png"):
        file.unlink()
    masks, _ = decoded(("normal",))
    rows = masks.rows.set_index("id")
    assert not rows["known"]["benign/benign (3)"] and rows["known"].sum() == len(rows) - 1
    assert not masks.squares[masks.places(rows.index.to_series()[["normal/normal (1)"]])].any()


def test_a_cohort_or_a_class_without_masks_is_refused(cohort_folder):
    files = list_files(cohort_folder)
    mask_jobs.check(files, ())
    with pytest.raises(UserError, match=r"masks\.empty: the cohort has no class cyst"):
        mask_jobs.check(files, ("cyst",))
    for file in (cohort_folder / "normal").glob("*_mask.png"):
        file.unlink()
    files = list_files(cohort_folder)
    mask_jobs.check(files, ())
    with pytest.raises(UserError, match="no image of normal has a mask file") as error:
        mask_jobs.check_every_class(files, ())
    assert "masks.empty=[normal]" in str(error.value)
    mask_jobs.check_every_class(files, ("normal",))
    bare = dataclasses.replace(files, sources=tuple(dataclasses.replace(x, masks=()) for x in files.sources))
    with pytest.raises(UserError, match="no image has a mask that shows a lesion"):
        mask_jobs.check(bare, ("normal",))


def test_a_lesion_smaller_than_a_pixel_stays_one():
    mask = np.zeros((64, 64), bool)
    mask[33, 17] = True
    assert np.argwhere(to_square(mask, 8)).tolist() == [[4, 2]]
    assert not to_square(np.zeros((64, 64), bool), 8).any()
    assert to_square(np.ones((50, 80), bool), 16).all()
    small = resized(np.stack([mask, mask & False]), 8)
    assert small.dtype == np.uint8 and list(small.sum(axis=(1, 2))) == [1, 0]
    assert resized(np.empty((0, 1, 1), bool), 8).shape == (0, 8, 8)
