"""The methods paragraph says what was done, and not what was not."""

import pytest
import yaml

from sonosynth import settings as loading
from sonosynth.report import page
from sonosynth.study import declared

SETS = "sets={again: {kind: copy, from: real}, coded: {from: real, strength: 0}, varied: {from: real, strength: 0.5}}"

PLAIN = ("lora={schedule: constant, average: 0, drop_prompt: 0}", "adapt.balance=none")


def methods(*changes, **more):
    settings = loading.load("quick", (), changes)
    values = yaml.safe_load(loading.as_yaml(settings))
    values["resolved"] = {"versions": {"sonosynth": "0"}}
    names = ("cohort", "excluded", "repeats", "near-duplicates", "base", "classifier", "fidelity")
    return page.methods(values, {name: name for name in names}, declared(settings), ["benign", "malignant"], **more)


@pytest.mark.parametrize(
    "said",
    [
        "The set again repeats real training images, as a control. ",
        "The set coded consists of real training images, encoded and decoded without noise. ",
        "The set varied was made from real training images with the unadapted base, noised to 0.5 of the"
        " time steps and denoised in 10 steps of DPM-Solver++(2M), without guidance. ",
        "The set sd was made from noise and text with the adapter sd, in 12 steps of DPM-Solver++(2M), without"
        " guidance. ",
        "The set few was made from real training images with the unadapted base, noised to 0.3 of the time steps and"
        " denoised in 5 steps of DPM-Solver++(2M), without guidance. ",
    ],
)
def test_each_set_is_said_to_be_made_as_it_was(said):
    assert said in methods(SETS, "sets.few={from: real, refine: {steps: 5}}")


def test_a_refinement_by_diffusers_rule_is_said_to_be_one():
    assert "in the last 0.3 of 12 steps of DPM-Solver++(2M), without guidance. " in methods("refine.steps=null")


def test_only_a_declared_comparator_is_named():
    named = "where it was declared, and with real+classical+oversampling;"
    assert named in methods()
    assert "where it was declared;" in methods("arms.real+classical+oversampling=null")


def test_the_recipe_of_a_lora_is_said():
    plain = "rate 0.001)", "was trained on the training images by"
    assert all(text in methods(*PLAIN) for text in plain)
    other = methods("lora={schedule: cosine, average: 0.9, drop_prompt: 0.2}", "adapt.balance=classes")
    assert "The adapter sd was trained on the training images, with class-balanced sampling, by low-rank" in other
    assert (
        "learning rate 0.001 with cosine decay to zero, prompt dropout 0.2,"
        " exponential moving average of the weights (decay 0.9)). "
    ) in other


def test_a_token_for_all_classes_and_one_for_each_are_said_to_be_what_they_are():
    texts = "{benign: <b>, malignant: <m>}"
    text = methods(
        "token.steps=9", f"adapters.each={{token: {texts}}}", f"adapters.both={{token: {texts}, lora: {{}}}}"
    )
    trained = "was trained on the training images, with class-balanced sampling, by textual inversion of"
    one = (
        f"The adapter sd+ti {trained} the token <ultrasound> (9 steps of 4 images, learning rate 0.005) and by low-rank"
    )
    each = (
        "a token for each class on the images of that class alone, <b> for benign, <m> for malignant (9 steps of 4"
        " images for each, learning rate 0.005)"
    )
    assert one in text and f"The adapter each {trained} {each}. " in text
    assert f"The adapter both {trained} {each} and by low-rank adaptation" in text


@pytest.mark.parametrize(("start", "said"), [("random", "random weights"), ("base", "the base's weights")])
def test_a_whole_unet_is_said_to_be_one_and_to_start_from_its_weights(start, said):
    text = methods("adapters.whole={unet: {steps: 9, batch: 4, accumulation: 2}}", f"unet.start={start}")
    assert (
        "The adapter whole was trained on the training images, with class-balanced sampling, as a full U-Net with the"
        f" base's architecture, from {said}, with the base's VAE and text encoder (9 steps of 8 images, AdamW, learning"
        " rate 0.0005 with cosine decay to zero, prompt dropout 0.1, exponential moving average of the weights"
        " (decay 0.99)). "
    ) in text


def test_a_diagnostic_term_is_said_where_there_is_one():
    said = "plus the cross-entropy of diagnostic encoders on predicted clean latents, weighted by 0.1"
    assert methods("adapters.sd.lora={diagnostic: 0.1}").count(said) == 1
    assert "diagnostic" not in methods()


def test_chosen_steps_and_guidance_are_said_to_be_chosen():
    said = methods("adapt.stop=probe", "synthesis.guidance=auto")
    assert (
        "a quarter, half or all of 500 steps, chosen by the kernel distance of trial adapters to a held-back fifth of"
        " these images, of 4 images, AdamW"
    ) in said
    assert "in 12 steps of DPM-Solver++(2M), at the guidance chosen for the adapter in the same way. " in said
    assert "chosen" not in methods()


def test_how_classifiers_are_trained_is_said():
    text = methods()
    assert (
        "learning rate 0.001 with cosine decay to zero, batch 16) took the same number of optimiser steps (400)" in text
    )
    cheap = "real+classical+oversampling"
    shares = ", ".join(f"{cheap}+{name} 0.25" for name in ("variation", "sd+ti", "sd+ti+img2img"))
    assert f"a fixed share was synthetic: {shares}. Arms were compared" in text
    assert "found for each split on a fifth of its training images, in all arms, except" in methods(
        "classifier.steps=auto", "compare.exposures=true"
    )
    paper = methods("classifier={steps: null, schedule: constant}", "arms.real+classical+oversampling+sd+ti=null")
    assert "learning rate 0.001, batch 16) took the same number of optimiser steps in all arms. " in paper


def test_the_ways_in_which_an_arm_uses_its_sets_are_said():
    text = methods(
        "split.keep=0.25",
        "sets.varied={from: real, adapter: sd+ti, strength: [0.3, 0.5], each: 2, mirror: true}",
        "sets.crossed={kind: between, from: real, adapter: sd+ti, strength: 0.5, count: 100}",
        "sets.gan={kind: folder, folder: gan}",
        "arms.swapped={sets: [varied], replace: 0.5, weight: confidence}",
        "arms.first={sets: [crossed], share: 1, until: 0.3, settle: true, weight: threshold}",
    )
    for said in (
        "Of the training images of each split, a fraction of 0.25 was kept; the rest were not used. ",
        "The set varied was made from real training images and their mirror images with the adapter sd+ti, noised to"
        " 0.3, 0.5 of the time steps and denoised in 10 steps of DPM-Solver++(2M), without guidance, 2 per training"
        " image. ",
        "The set crossed was made from real training images with the adapter sd+ti under the prompt of another class,"
        " noised to 0.5 of the time steps",
        "The set gan was made by another generator, which was trained on unknown images. ",
        "In the arm swapped, real images were replaced with probability 0.5 by ones made from them; each"
        " synthetic image was weighted by the confidence that classifiers trained on real images had in its label. ",
        "In the arm first, synthetic images were used only in the first 0.3 of the steps; batch-norm statistics were"
        " recomputed on the real training images; synthetic images that classifiers trained on real images"
        " assigned to another class had no weight. ",
    ):
        assert said in text
    plain = methods()
    assert "kept" not in plain and "In the arm" not in plain and " ," not in text and " ." not in text


def test_who_repeats_the_study_finds_splits_prompts_arms_seeds_and_versions():
    text = methods("seed=7", "arms.real={seeds: [0, 1, 2]}", "sets.sd.synthesis={solver: base, guidance: 3}")
    for said in (
        "A share of 0.2 of each class was held out at random. Images of one patient or group (where the cohort names"
        " any), exact copies and detected near-duplicates were never separated by a split. Near-duplicates with"
        " different labels were left out",
        'Prompts: benign, "ultrasound image of benign"; malignant, "ultrasound image of malignant". Prompts for an'
        " adapter with a token end with the token. ",
        "in 12 steps of the base's own scheduler, at guidance 3",
        "Arms: real (real images only); real+classical+oversampling (real images, rare classes oversampled, classical"
        " augmentation); ",
        "Seeds: 7 for the study, 0, 1 for classifiers, 0, 1, 2 for real. Versions: sonosynth 0.",
    ):
        assert said in text
    folds = methods("repeats={folds: 5, draws: 2}", "split={groups: none, conflicts: keep, sealed: 0.2}")
    assert "divided into 5 folds, each of which was held out in turn, stratified by class." in folds
    assert "near-duplicates were split like other images. Near-duplicates with different labels were kept." in folds
    assert "A share of 0.2 of each class was set aside before anything was trained" in folds
    assert "Each value of hospital was held out in turn. " in methods("split.leave_out=hospital")


def test_masks_are_said_to_be_what_they_were():
    text = methods(
        "adapters.mask={lora: {}, control: {kind: mask, steps: 70}}",
        "sets.masked={from: noise, adapter: mask, condition: mask}",
        "sets.tissue={from: real, adapter: mask, condition: mask, keep: lesion}",
        "sets.drawn={from: noise, adapter: mask, condition: mask, masks: /drawn}",
    )
    for said in (
        "A control branch (ControlNet) was then trained on the lesion masks of these images, from the encoder of the"
        " U-Net (70 steps of 8 images, AdamW, learning rate 0.0005 with cosine decay to zero, prompt dropout 0.1,"
        " exponential moving average of the weights (decay 0.99)). ",
        "The set masked was made from noise and text with the adapter mask, conditioned on lesion masks of training"
        " images, deformed at random, in 12 steps of",
        "The set tissue was made from real training images with the adapter mask, conditioned on the lesion masks of"
        " these, of which the lesion stayed (blended latents), noised to 0.3",
        "conditioned on given lesion masks, in 12 steps",
    ):
        assert said in text
    assert "mask" not in methods()


def test_what_was_held_out_is_said():
    at_random, own = "A share of 0.2 of each class was held out at random. ", "The cohort's own split into training and"
    assert at_random in methods() and own not in methods()
    assert own in methods(own_split=True) and at_random not in methods(own_split=True)
