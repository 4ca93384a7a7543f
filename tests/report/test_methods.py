"""The methods paragraph says what was done, and not what was not."""

import jinja2
import pytest
import yaml

from sonosynth import settings as loading

SETS = "sets={again: {kind: copy, from: real}, coded: {from: real, strength: 0}, varied: {from: real, strength: 0.5}}"

PLAIN = ("lora={schedule: constant, average: 0, drop_prompt: 0}", "adapt.balance=none")


def methods(*changes):
    values = yaml.safe_load(loading.as_yaml(loading.load("quick", (), changes)))
    values["resolved"] = {"versions": {"sonosynth": "0"}}
    names = ("cohort", "repeats", "near-duplicates", "base", "classifier", "fidelity")
    loader = jinja2.PackageLoader("sonosynth.report", "templates")
    template = jinja2.Environment(undefined=jinja2.StrictUndefined, loader=loader).get_template("methods.txt.j2")
    return template.render(s=values, facts={name: name for name in names})


@pytest.mark.parametrize(
    "said",
    [
        "The set again repeats real training images, as a control. ",
        "The set coded is real training images, encoded and decoded without noise. ",
        "The set varied was made from real training images with the base as it is, noised to 0.5 of the"
        " time steps and denoised in 10 steps, without guidance. ",
        "The set sd was made from noise and text with the adapter sd, in 12 steps, without guidance. ",
        "The set few was made from real training images with the base as it is, noised to 0.3 of the time steps and"
        " denoised in 5 steps, without guidance. ",
    ],
)
def test_each_set_is_said_to_be_made_as_it_was(said):
    assert said in methods(SETS, "sets.few={from: real, refine: {steps: 5}}")


def test_a_refinement_by_diffusers_rule_is_said_to_be_one():
    assert "in the last 0.3 of 12 steps, without guidance. " in methods("refine.steps=null")


def test_only_a_declared_comparator_is_named():
    named = "where it was declared, and with real+classical+oversampling;"
    assert named in methods()
    assert "where it was declared;" in methods("arms.real+classical+oversampling=null")


def test_the_recipe_of_a_lora_is_said():
    plain = "rate 0.001)", "was trained on the training images by"
    assert all(text in methods(*PLAIN) for text in plain)
    other = methods("lora={schedule: cosine, average: 0.9, drop_prompt: 0.2}", "adapt.balance=classes")
    assert "The adapter sd was trained on the training images, every class equally often, by low-rank" in other
    assert (
        "learning rate 0.001 decaying to zero by a cosine, 0.2 of the prompts left empty,"
        " running average of the weights (0.9)). "
    ) in other


def test_a_diagnostic_term_is_said_where_there_is_one():
    said = "the cross-entropy of diagnostic encoders on predicted clean latents added with the weight 0.1"
    assert methods("adapters.sd.lora={diagnostic: 0.1}").count(said) == 1
    assert "diagnostic" not in methods()


def test_chosen_steps_and_guidance_are_said_to_be_chosen():
    said = methods("adapt.stop=probe", "synthesis.guidance=auto")
    assert (
        "a quarter, half or all of 500 steps, chosen by the kernel distance of trial adapters to a held-back fifth of"
        " these images, of 4 images, AdamW"
    ) in said
    assert "in 12 steps, at the guidance chosen for the adapter in the same way. " in said
    assert "chosen" not in methods()


def test_how_classifiers_are_trained_is_said():
    text = methods()
    assert (
        "learning rate 0.001 decaying to zero by a cosine, batch 16) took the same number of optimiser steps (400)"
        in text
    )
    cheap = "real+classical+oversampling"
    shares = ", ".join(f"{cheap}+{name} 0.25" for name in ("variation", "sd+ti", "sd+ti+img2img"))
    assert f"a fixed share was synthetic: {shares}. Arms were compared" in text
    assert "found for each split on a fifth of its training images, in all arms, except" in methods(
        "classifier.steps=auto", "compare.exposures=true"
    )
    paper = methods("classifier={steps: null, schedule: constant}", "arms.real+classical+oversampling+sd+ti=null")
    assert "learning rate 0.001, batch 16) took the same number of optimiser steps in all arms. " in paper
