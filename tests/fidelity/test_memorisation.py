import json
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
from PIL import Image, ImageOps

from sonosynth.artefacts import Artefact, CohortImages, Description, Split, SyntheticSet
from sonosynth.errors import UserError
from sonosynth.fidelity import memorisation
from sonosynth.jobs import Made
from sonosynth.phantom import KINDS, simulate
from sonosynth.phantom.simulate import DEMO_PROBE

RNG = np.random.default_rng(0)


def made(**places):
    return Made("", places, {}, "", 0, 0)


def noisy(image):
    return np.uint8(np.clip(image + RNG.normal(0, 10, image.shape), 0, 255))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """30 training images, 6 validation images; images 0 and 1 are near-duplicates, 0 and 3 are of one patient."""
    folder = tmp_path_factory.mktemp("cohort")
    pixels = np.stack([simulate(KINDS[i % 3], np.random.default_rng(i), DEMO_PROBE).image for i in range(36)])
    pixels[1] = noisy(pixels[0])
    rows = pd.DataFrame({"id": [f"i{n}" for n in range(36)], "file": "", "label": [KINDS[n % 3] for n in range(36)]})
    rows = rows.assign(sha256=[f"hash {n}" for n in range(36)], mask="", group="", pixels="", mode="L", excluded="")
    rows.loc[[0, 3], "group"] = "patient"
    rows["split"] = ["train"] * 30 + ["validation"] * 6
    rows.to_csv(folder / "rows.csv", index=False)
    pd.DataFrame({"id": ["i0"], "twin": ["i1"]}).to_csv(folder / "twins.csv", index=False)
    np.save(folder / "pixels.npy", pixels)
    safetensors.numpy.save_file({"features": RNG.normal(size=(36, 32))}, folder / "features.safetensors")
    cohort = made(images=folder / "rows.csv", twins=folder / "twins.csv", pixels=folder / "pixels.npy")
    return {
        "cohort": CohortImages(cohort), "split": Split(made(table=folder / "rows.csv")),
        "features": Description(made(values=folder / "features.safetensors")),
    }  # fmt: skip


@pytest.fixture(scope="module")
def real(inputs, tmp_path_factory):
    """What the search among real images makes."""
    work = tmp_path_factory.mktemp("real")
    memorisation.search_real(None, **inputs, work=work)
    return Artefact(made(table=work / "table", thresholds=work / "thresholds"))


def search(inputs, real, work, pixels, own, flaws="", shared=(), foreign=None):
    """The table of a set of benign images with these origins and flaws."""
    images = work / "variation"
    images.mkdir()
    rows = pd.DataFrame({"file_name": [f"{n}.png" for n in range(len(pixels))], "label": "benign"})
    rows.assign(prompt="", source="gan/" + rows["file_name"], flaw=flaws).to_csv(images / "metadata.csv", index=False)
    np.save(work / "pixels.npy", pixels)
    (work / "origins.json").write_text(json.dumps({"real": True, "shared": [*shared], "own": own, "samples": []}))
    safetensors.numpy.save_file({"features": np.zeros((len(pixels), 32))}, work / "features.safetensors")
    made_set = SyntheticSet(made(images=images, pixels=work / "pixels.npy", origins=work / "origins.json"))
    memorisation.search(
        foreign, cohort=inputs["cohort"], split=inputs["split"], images=made_set, real_features=inputs["features"],
        features=Description(made(values=work / "features.safetensors")), real=real, work=work,
    )  # fmt: skip
    return pd.read_csv(work / "table", keep_default_na=False)


def test_an_image_made_from_a_training_image_is_compared_with_other_patients(inputs, real, tmp_path):
    pixels = inputs["cohort"].pixels
    images = np.stack([noisy(pixels[0]), noisy(pixels[0]), noisy(pixels[6]), pixels[9]])
    own = [["hash 0"], [], ["hash 0"], []]  # a variation; a copy; a variation that became another's copy; verbatim
    found = search(inputs, real, tmp_path, images, own)
    assert found["nearest"][0] not in ("i0", "i1", "i3")
    assert found["nearest"][1] in ("i0", "i1")
    assert list(found["nearest"][2:]) == ["i6", "i9"]
    assert list(found["copy"]) == [False, True, True, True]
    assert list(found["verbatim"]) == [False, True, True, True]
    assert list(found["near_source"]) == [True, False, False, False]
    assert float(found["source_correlation"][0]) > 0.9
    assert float(found["source_correlation"][2]) < 0.6
    assert list(found["source_correlation"][[1, 3]]) == ["", ""]


def test_an_image_that_is_used_for_nothing_is_no_copy(inputs, real, tmp_path):
    pixels = inputs["cohort"].pixels
    found = search(inputs, real, tmp_path, pixels[[9, 12]], [[], []], ["shows another class", ""])
    assert list(found["file_name"]) == ["1.png"] and list(found["nearest"]) == ["i12"]


def test_a_copy_of_a_validation_image_that_the_generator_was_trained_on_is_one(inputs, real, tmp_path):
    """As with adapt.on=all: such an image is neither exported nor in a report without real images."""
    pixels = inputs["cohort"].pixels
    everything = [f"hash {n}" for n in range(36)]
    found = search(inputs, real, tmp_path, np.stack([noisy(pixels[30])]), [[]], shared=everything)
    assert list(found["nearest"]) == ["i30"] and found["copy"][0] and found["verbatim"][0]


def resized(image):
    return image.resize((40, 50), Image.Resampling.BICUBIC).resize(image.size, Image.Resampling.BICUBIC)


def recompressed(image):
    image.save(stored := BytesIO(), "JPEG", quality=50)
    return Image.open(stored)


@pytest.mark.parametrize("change", [lambda image: image, resized, recompressed, ImageOps.mirror])
def test_another_generators_set_with_a_scored_image_in_any_form_is_refused(inputs, real, tmp_path, change):
    pixels, foreign = inputs["cohort"].pixels, memorisation.Foreign()
    stranger = simulate(KINDS[0], np.random.default_rng(99), DEMO_PROBE).image
    images = np.stack([stranger, pixels[4], np.asarray(change(Image.fromarray(pixels[31])))])
    with pytest.raises(UserError, match=r"sets\.variation\.folder: gan/2\.png shows the validation image i31 again"):
        search(inputs, real, tmp_path, images, [[]] * 3, foreign=foreign)
    (tmp_path / "clean").mkdir()
    found = search(inputs, real, tmp_path / "clean", images[:2], [[]] * 2, foreign=foreign)
    assert list(found["verbatim"]) == [False, True]  # a training image is a copy, as in every set


def test_where_no_other_patient_is_left_nothing_is_flagged(inputs, real, tmp_path):
    one = inputs["split"].rows.assign(group=["patient"] * 30 + [""] * 6)
    one.to_csv(tmp_path / "rows.csv", index=False)
    inputs = inputs | {"split": Split(made(table=tmp_path / "rows.csv"))}
    found = search(inputs, real, tmp_path, inputs["cohort"].pixels[[5]], [["hash 5"]])
    assert (found["nearest"][0], found["nearest_by_features"][0]) == ("", "")
    assert not found["copy"][0] and not found["verbatim"][0]
    assert found["near_source"][0]


def test_thresholds_are_of_training_images_and_validation_images_are_listed(inputs, real):
    limits, table = real.json("thresholds"), real.table("table", "set", "file_name", "nearest")
    assert sorted(limits) == sorted(KINDS)
    assert len({value["correlation"] for value in limits.values()}) == 1  # too few of each class
    assert 0.2 < limits["benign"]["correlation"] < 0.6  # neither the near-duplicate nor the patient raises it
    assert list(table["set"]) == ["real validation"] * 6
    assert list(table["file_name"]) == [f"i{n}" for n in range(30, 36)]
    assert table["source_correlation"].isna().all() and not table["near_source"].any()
