import pytest

from sonosynth.errors import UserError
from sonosynth.feasibility import check
from sonosynth.settings import load

LABELS = ("benign", "malignant", "normal")


def checked(*changes):
    check(load("quick", (), changes), LABELS, {})


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ("{kind: copy}", "sets.x: copy makes images from real, not from noise"),
        ("{kind: copy, from: sd}", "sets.x: copy makes images from real, not from sd"),
        ("{kind: image}", "sets.x: image makes images from images, not from noise"),
        ("{kind: text, from: real}", "sets.x: text makes images from noise, not from real"),
        ("{kind: copy, from: real, adapter: sd}", "sets.x: copy uses no model, and takes no adapter"),
        (
            "{kind: copy, from: real, strength: 0.2, synthesis: {steps: 3}}",
            "sets.x: copy uses no model, and takes no strength, synthesis",
        ),
        ("{kind: copy, from: real, refine: {strength: 0.2}}", "sets.x: copy uses no model, and takes no refine"),
        ("{kind: copy, from: real, count: {cyst: 3}}", "sets.x.count: there is no class cyst in the cohort"),
    ],
)
def test_a_set_that_can_not_be_made_is_refused(made, message):
    with pytest.raises(UserError) as error:
        checked(f"sets.x={made}")
    assert message in str(error.value)


def test_copies_and_reconstructions_can_be_made():
    checked("sets.x={kind: copy, from: real}", "sets.y={from: real, strength: 0}", "sets.z={from: sd, strength: 0}")


@pytest.mark.parametrize(
    ("sets", "missing"),
    [
        ({"x": "{from: noise}"}, "the largest class"),
        ({"x": "{from: noise}", "y": "{from: x}"}, "the largest class"),
        ({"x": "{from: noise, count: {benign: 3, normal: 0}}"}, "malignant, normal"),
        ({"x": "{count: {benign: 3}}", "y": "{from: x}"}, "malignant, normal"),
        ({"x": "{count: 0}"}, "benign, malignant, normal"),
    ],
)
def test_an_arm_without_real_images_needs_synthetic_ones_of_every_class(sets, missing):
    arm = f"arms.alone={{sets: [{list(sets)[-1]}], real: false}}"
    with pytest.raises(UserError) as error:
        checked(*(f"sets.{name}={made}" for name, made in sets.items()), arm)
    assert f"arms.alone.real: is false, and its sets have no image of {missing} to train on" in str(error.value)
    assert "count=100" in str(error.value)


@pytest.mark.parametrize(
    "sets",
    [
        {"x": "{count: 2}"},
        {"x": "{count: 2}", "y": "{from: x}"},
        {"x": "{count: {benign: 3}}", "y": "{count: {malignant: 1, normal: 1}}"},
        {"x": "{count: {benign: 3}}", "y": "{}"},  # the split decides whether benign is the largest class
    ],
)
def test_an_arm_without_real_images_may_have_enough_of_every_class(sets):
    arm = f"arms.alone={{sets: [{', '.join(sets)}], real: false}}"
    checked(*(f"sets.{name}={made}" for name, made in sets.items()), arm)


def test_the_largest_class_may_get_images_if_a_number_is_asked_for():
    checked("balance.target=400", "sets.x={}", "arms.alone={sets: [x], real: false}")
