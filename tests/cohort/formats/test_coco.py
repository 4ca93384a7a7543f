import json
import os

import numpy as np
import pytest
from PIL import Image

from sonosynth.artefacts import TRAIN, VALIDATION
from sonosynth.cohort.decoding import Unusable, decode
from sonosynth.cohort.formats._outlines import _numbers, drawn
from sonosynth.cohort.places import Part
from sonosynth.cohort.reading import read
from sonosynth.cohort.sources import list_sources
from sonosynth.errors import UserError

RNG = np.random.default_rng(0)
SQUARE = [[2, 4, 10, 4, 10, 10, 2, 10]]  # x, y, …
CATEGORIES = [{"id": 1, "name": "benign"}, {"id": 2, "name": "malignant"}]


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (20, 16), np.uint8)).save(path)


def annotated(path, labels, segmentation=SQUARE, names="{}.png"):
    """COCO's file for images 1, 2, … whose categories are given, image by image."""
    images = [{"id": n, "file_name": names.format(n), "height": 20, "width": 16} for n in range(1, len(labels) + 1)]
    annotations = [
        {"image_id": n, "category_id": category, "segmentation": segmentation}
        for n, categories in enumerate(labels, 1) for category in categories
    ]  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": CATEGORIES}))


def expected():
    mask = np.zeros((20, 16), bool)
    mask[4:10, 2:10] = True
    return mask


@pytest.mark.parametrize(
    ("file", "folder"),
    [
        ("annotations/instances.json", "images"),
        ("x.json", "."),
        ("annotations/instances_train2017.json", "train2017"),
        ("annotations/instances_train2017.json", "images/train2017"),
        ("train/_annotations.coco.json", "train"),
    ],
)
def test_images_are_found_with_label_and_mask(tmp_path, file, folder):
    for n in range(1, 5):
        picture(tmp_path / folder / f"{n}.png")
    annotated(tmp_path / file, [[1], [2], [1, 1], [2]])
    cohort = read(tmp_path)
    assert list(cohort.images["label"]) == ["benign", "malignant", "benign", "malignant"]
    assert set(cohort.images["given"]) == {""}  # one side is no split
    assert list(cohort.images["lesion"]) == [48 / 320] * 4
    assert cohort.problems == cohort.ignored == {}


def test_a_json_itself_and_several_splits(tmp_path):
    for split in ("train", "valid"):
        for n in range(1, 3):
            picture(tmp_path / split / f"{n}.png")
        annotated(tmp_path / split / "_annotations.coco.json", [[1], [2]])
    assert [(s.id, s.given) for s in list_sources(tmp_path).sources] == [
        ("train/1.png", TRAIN), ("train/2.png", TRAIN), ("valid/1.png", VALIDATION), ("valid/2.png", VALIDATION),
    ]  # fmt: skip
    assert len(list_sources(tmp_path / "train" / "_annotations.coco.json").sources) == 2


def test_images_of_several_or_no_categories_are_named(tmp_path):
    for n in range(1, 5):
        picture(tmp_path / f"{n}.png")
    annotated(tmp_path / "x.json", [[1], [1, 2], [], [2], [1]])
    found = list_sources(tmp_path)
    assert [source.id for source in found.sources] == ["1.png", "4.png"]
    assert found.problems["2.png"] == "has annotations of 2 categories (benign, malignant); one label is expected"
    assert found.problems["5.png"] == "is not a file"
    assert found.ignored == {"3.png": "has no annotation, so it has no label"}


def test_names_and_links_don_t_lead_out_of_the_folder(tmp_path):
    picture(tmp_path / "1.png")
    folder = tmp_path / "cohort"
    annotated(folder / "x.json", [[1]], names="../{}.png")
    assert list_sources_problems(folder) == {"../1.png": "is outside the folder"}
    annotated(folder / "x.json", [[1]])
    os.symlink(tmp_path / "1.png", folder / "1.png")
    assert list_sources_problems(folder) == {"1.png": "is a link that points outside the folder"}


def list_sources_problems(folder):
    from sonosynth.cohort.formats import coco

    return coco.listing(folder).problems


RUNS = [44, 6] + [14, 6] * 7 + [130]  # down the columns: 6 rows from the fourth on, in columns 2 to 9


@pytest.mark.parametrize("counts", [RUNS, "\\\\16>0000000000000000002T4"])
def test_polygons_and_run_lengths_are_the_same_mask(counts):
    if isinstance(counts, str):
        counts = compressed(RUNS)
        assert _numbers(counts) == RUNS
    assert np.array_equal(drawn([{"size": [20, 16], "counts": counts}], 20, 16), expected())
    assert np.array_equal(drawn([SQUARE], 20, 16), expected())


def test_a_polygon_covers_the_pixels_whose_centres_it_holds():
    """Its area is then unbiased, unlike that of outlines drawn through whole pixels, and what is outside is cut off."""
    rows, columns = np.mgrid[:60, :80] + 0.5
    angles = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    for x, y, radius in ((40, 30, 20.3), (5, 55, 12.1), (70.2, 2.7, 9)):
        circle = np.c_[x + radius * np.cos(angles), y + radius * np.sin(angles)]
        found = drawn([[circle.ravel().tolist()]], 60, 80)
        assert (found != (np.hypot(columns - x, rows - y) < radius)).sum() <= 4
    assert drawn([[[0, 0, 10, 10, 10, 0, 0, 10]]], 10, 10).sum() == 50  # a bow tie: two triangles


def compressed(lengths):
    """pycocotools' rleToString."""
    text = ""
    for n, length in enumerate(lengths):
        value = length - (lengths[n - 2] if n > 2 else 0)
        more = True
        while more:
            bits = value & 31
            value >>= 5
            more = value != (-1 if bits & 16 else 0)
            text += chr(bits + 32 * more + 48)
    return text


@pytest.mark.parametrize(
    "segmentation",
    [
        [["a", "b", "c", "d"]], [[1, 2, 3]], [[1, 2]], {"size": [20, 16], "counts": [400]},
        {"size": [9, 9], "counts": [81]},
        {"size": [20, 16], "counts": "\x01"}, {"counts": [320]}, [[float("nan")] * 6],
    ],
)  # fmt: skip
def test_segmentations_that_are_none_are_refused(tmp_path, segmentation):
    picture(tmp_path / "1.png")
    annotated(tmp_path / "x.json", [[1]], segmentation)
    with pytest.raises(Unusable, match="neither polygons nor run lengths"):
        decode(Part(tmp_path / "x.json", "coco", "1"))


def test_other_json_is_no_cohort_and_incomplete_coco_is_named(tmp_path):
    for text in ("[]", "{", '{"images": 3}'):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(UserError, match="holds no images"):
            list_sources(tmp_path)
    (tmp_path / "x.json").write_text('{"images": [], "annotations": [{"image_id": 1}], "categories": []}')
    with pytest.raises(UserError, match=r"x.json: KeyError: 'category_id'\nexpected: a JSON object with images"):
        list_sources(tmp_path)
