"""Sampling with an adapted base: plain diffusers makes the same images with the same adapter."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from PIL import Image

from sonosynth.adapters.learning import Examples, learn_lora, learn_token, learn_unet, with_token
from sonosynth.adapters.settings import Lora, Token, Unet
from sonosynth.adapters.token import place
from sonosynth.bases import sd1
from sonosynth.bases.latents import encode_images
from sonosynth.errors import UserError
from sonosynth.run import Study
from sonosynth.synthesis.sampling import Sampler
from sonosynth.synthesis.settings import Synthesis
from sonosynth.synthesis.times import spaced

TOKEN = "<ultrasound>"
PROMPTS = ["ultrasound image of a benign breast lesion", "ultrasound image of a malignant breast lesion"]


@pytest.fixture(scope="module")
def base(tiny_base):
    return sd1.resolve(str(tiny_base))


@pytest.fixture(scope="module")
def examples(base):
    images = np.random.default_rng(0).integers(0, 255, (6, 32, 32), np.uint8)
    latents = encode_images(sd1.load(base.folder, torch.float32, "cpu").vae, images)
    return Examples(latents, [PROMPTS[i % 2] for i in range(6)])


@pytest.fixture(scope="module")
def adapter(base, examples, tmp_path_factory):
    """A token and a LoRA, trained a few steps at a high rate so that they show."""
    folder = tmp_path_factory.mktemp("adapter")
    common = {"precision": "fp32", "seed": 0, "work": folder / "work", "out": folder}
    learn_token(Token(steps=5, batch=2, learning_rate=0.05), TOKEN, base, examples, **common)
    recipe = {"schedule": "cosine", "average": 0.5, "drop_prompt": 0.1}
    prompted = replace(examples, prompts=[with_token(prompt, TOKEN) for prompt in examples.prompts])
    learn_lora(Lora(rank=4, steps=8, batch=2, learning_rate=0.02, **recipe), base, prompted, **common)
    return folder


@pytest.fixture
def sampler(base, adapter):
    """An adapted base that samples with the given settings, by default with the base's own solver."""

    def made(steps, guidance, *, solver="base", **settings):
        chosen = Synthesis(steps=steps, guidance=guidance, solver=solver, **settings)
        return Sampler(base, adapter, "fp32", 32, chosen)

    return made


@pytest.fixture
def plain(tiny_base, adapter):
    """A pipeline of plain diffusers that has loaded the adapter."""

    def made(kind=StableDiffusionPipeline):
        pipeline = kind.from_pretrained(tiny_base, safety_checker=None)
        pipeline.load_textual_inversion(adapter / "learned_embeds.safetensors")
        pipeline.load_lora_weights(adapter)
        return pipeline

    return made


def test_text_to_image_equals_plain_diffusers(sampler, plain):
    prompts = [with_token(prompt, TOKEN) for prompt in PROMPTS]
    ours, pipeline = sampler(4, 5.0).generate(prompts, [11, 12]), plain()
    for prompt, seed, image in zip(prompts, (11, 12), ours, strict=True):
        theirs = pipeline(
            prompt, num_inference_steps=4, guidance_scale=5.0, height=32, width=32,
            generator=torch.Generator().manual_seed(seed),
        ).images[0]  # fmt: skip
        assert np.abs(image.astype(int) - np.asarray(theirs.convert("L"))).max() <= 1


def test_a_token_of_each_class_is_loaded_by_plain_diffusers_from_a_file_of_its_own(base, examples, tmp_path):
    tokens = {"benign": "<b>", "malignant": "<m>"}
    prompts = [with_token(prompt, text) for prompt, text in zip(PROMPTS, tokens.values(), strict=True)]
    common = {"precision": "fp32", "seed": 0, "work": tmp_path / "work"}
    for i, (label, text) in enumerate(tokens.items()):
        own = Examples(examples.latents.choose(np.arange(i, 6, 2)), [PROMPTS[i]] * 3)
        learn_token(
            Token(steps=5, batch=2, learning_rate=1), text, base, own,
            **common | {"work": tmp_path / "work" / label}, out=place(tmp_path, label),
        )  # fmt: skip
    prompted = replace(examples, prompts=[prompts[i % 2] for i in range(6)])
    learn_lora(Lora(rank=4, steps=8, batch=2, learning_rate=0.02), base, prompted, **common, out=tmp_path)
    sampler = Sampler(base, tmp_path, "fp32", 32, Synthesis(steps=4, guidance=50.0, solver="base"))
    ours = sampler.generate([*prompts, f"{PROMPTS[0]} <m>"], [11, 12, 11])
    assert np.abs(ours[0].astype(int) - ours[2]).mean() > 1  # at this guidance, the token matters

    pipeline = StableDiffusionPipeline.from_pretrained(base.folder, safety_checker=None)
    for label in tokens:
        pipeline.load_textual_inversion(tmp_path / "tokens" / label)
    pipeline.load_lora_weights(tmp_path)
    for prompt, seed, image in zip(prompts, (11, 12), ours[:2], strict=True):
        theirs = pipeline(
            prompt, num_inference_steps=4, guidance_scale=50.0, height=32, width=32,
            generator=torch.Generator().manual_seed(seed),
        ).images[0]  # fmt: skip
        assert np.abs(image.astype(int) - np.asarray(theirs.convert("L"))).max() <= 1
    with pytest.raises(RuntimeError, match="<b> or <m> does not reach the text encoder"):
        sampler.generate(PROMPTS[:1], [11])


@pytest.mark.parametrize("start", ["random", "base"])
def test_a_whole_unet_takes_the_place_of_the_bases_as_in_plain_diffusers(base, examples, tmp_path, start):
    recipe = Unet(start=start, steps=8, batch=2, learning_rate=0.02, average=0.5)
    learn_unet(recipe, base, examples, precision="fp32", seed=0, work=tmp_path / "work", out=tmp_path)
    chosen = Synthesis(steps=4, guidance=5.0, solver="base")
    ours, bare = (Sampler(base, a, "fp32", 32, chosen).generate(PROMPTS[:1], [11])[0] for a in (tmp_path, None))
    assert np.abs(ours.astype(int) - bare).mean() > 1
    pipeline = StableDiffusionPipeline.from_pretrained(
        base.folder, safety_checker=None, unet=UNet2DConditionModel.from_pretrained(tmp_path, subfolder="unet")
    )
    theirs = pipeline(
        PROMPTS[0], num_inference_steps=4, guidance_scale=5.0, height=32, width=32,
        generator=torch.Generator().manual_seed(11),
    ).images[0]  # fmt: skip
    assert np.abs(ours.astype(int) - np.asarray(theirs.convert("L"))).max() <= 1


def test_refinement_equals_plain_diffusers(sampler, plain):
    prompt = with_token(PROMPTS[1], TOKEN)
    adapted = sampler(6, 3.0)
    images = adapted.generate([prompt] * 2, [1, 2])
    ours = adapted.refine(images, [prompt] * 2, [3, 4], strength=0.5, steps=None)
    assert not np.array_equal(ours, images)

    theirs = plain(StableDiffusionImg2ImgPipeline)(
        prompt, image=Image.fromarray(images[1]).convert("RGB"), strength=0.5, num_inference_steps=6,
        guidance_scale=3.0, generator=torch.Generator().manual_seed(4),
    ).images[0]  # fmt: skip
    assert np.abs(ours[1].astype(int) - np.asarray(theirs.convert("L"))).max() <= 1


@pytest.mark.parametrize(("strength", "times"), [(0.3, [300, 225, 150, 75]), (1.0, [999, 749, 500, 250])])
def test_a_refinement_from_an_exact_time_equals_plain_diffusers_with_its_timesteps(sampler, plain, strength, times):
    prompt = with_token(PROMPTS[1], TOKEN)
    adapted, pipeline = sampler(6, 3.0, solver="dpm++"), plain(StableDiffusionImg2ImgPipeline)
    images = np.random.default_rng(0).integers(0, 255, (2, 32, 32), np.uint8)
    ours = adapted.refine(images, [prompt] * 2, [3, 4], strength, steps=4)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    theirs = pipeline(
        prompt, image=Image.fromarray(images[1]).convert("RGB"), strength=1.0, timesteps=times,
        guidance_scale=3.0, generator=torch.Generator().manual_seed(4),
    ).images[0]  # fmt: skip
    assert np.abs(ours[1].astype(int) - np.asarray(theirs.convert("L"))).max() <= 1
    assert np.abs(ours[1].astype(int) - images[1]).mean() > 1


def test_the_noise_of_a_strength_does_not_depend_on_the_sampling_steps(sampler):
    prompt, images = with_token(PROMPTS[0], TOKEN), np.full((1, 32, 32), 90, np.uint8)
    few, many = (sampler(steps, 3.0, solver="dpm++").refine(images, [prompt], [1], 0.3, 5) for steps in (2, 9))
    assert np.array_equal(few, many)


@pytest.mark.parametrize(
    ("strength", "steps", "times"),
    [
        (0.3, 10, [300, 270, 240, 210, 180, 150, 120, 90, 60, 30]),
        (0.1664, 1, [166]),
        (1.0, 2, [999, 500]),
        (0.002, 10, [2, 1, 0]),
        (0.0001, 3, [0]),
    ],
)
def test_times_are_evenly_spaced_from_the_one_that_the_strength_names(strength, steps, times):
    assert spaced(strength, steps, 1000) == times


def test_a_solver_that_can_not_start_at_a_given_time_is_refused_by_the_plan(settings, phantoms):
    with pytest.raises(UserError, match="PNDMScheduler can't start at the time") as error:
        Study(phantoms, settings("synthesis.solver=base")).statuses()
    assert "refine.steps=null" in str(error.value)
    assert Study(phantoms, settings("synthesis.solver=base", "refine.steps=null")).statuses()


@pytest.mark.parametrize(("solver", "steps"), [("base", None), ("dpm++", None), ("dpm++", 3)])
def test_the_timestep_that_is_told_is_the_noisiest_one_that_the_unet_sees(sampler, solver, steps):
    prompt, seen = with_token(PROMPTS[0], TOKEN), []
    adapted = sampler(6, 1.0, solver=solver)
    adapted.pipeline.unet.register_forward_pre_hook(lambda _, inputs: seen.append(int(inputs[1])))
    images = np.random.default_rng(0).integers(0, 255, (1, 32, 32), np.uint8)
    timesteps = []
    for strength in (0.2, 0.5, 1.0):
        seen.clear()
        adapted.refine(images, [prompt], [1], strength, steps)
        timesteps.append(int(adapted.times(strength, steps)[0]))
        assert timesteps[-1] == seen[0] == max(seen)
    assert timesteps == sorted(set(timesteps))


def test_an_image_does_not_depend_on_its_batch(sampler):
    prompt, adapted = with_token(PROMPTS[0], TOKEN), sampler(3, 3.0)
    together = adapted.generate([prompt] * 3, [5, 6, 7])
    alone = adapted.generate([prompt], [6])
    assert np.abs(together[1].astype(int) - alone[0]).max() <= 1
    assert np.abs(together[1].astype(int) - together[2]).mean() > 1


def test_guidance_is_applied_to_the_noise_levels_that_are_asked_for(sampler):
    prompt, passes = with_token(PROMPTS[0], TOKEN), []

    def image(guidance, interval):
        adapted = sampler(6, guidance, guidance_interval=interval, solver="dpm++")
        adapted.pipeline.unet.register_forward_pre_hook(lambda _, inputs: passes.append(len(inputs[0])))
        made = adapted.generate([prompt], [5])[0].astype(int)
        levels = [(1 - a) ** 0.5 / a**0.5 for a in adapted.pipeline.scheduler.alphas_cumprod.double()]
        return made, [float(levels[int(t)]) for t in adapted.pipeline.scheduler.timesteps]

    always, levels = image(5.0, None)
    assert passes == [2] * 6
    assert np.array_equal(image(5.0, (0.0, 1e9))[0], always)
    never, _ = image(1.0, None)
    assert np.array_equal(image(5.0, (1e8, 1e9))[0], never)
    passes.clear()
    middle, _ = image(5.0, (levels[3], levels[1]))
    assert passes == [1, 2, 2, 2, 1, 1]
    assert not np.array_equal(middle, always) and not np.array_equal(middle, never)


def test_the_solver_is_the_one_asked_for(sampler, plain):
    prompt, pipeline = with_token(PROMPTS[0], TOKEN), plain()
    assert not isinstance(pipeline.scheduler, DPMSolverMultistepScheduler)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    theirs = pipeline(
        prompt, num_inference_steps=4, guidance_scale=3.0, height=32, width=32,
        generator=torch.Generator().manual_seed(3),
    ).images[0]  # fmt: skip
    ours = sampler(4, 3.0, solver="dpm++").generate([prompt], [3])[0]
    assert np.abs(ours.astype(int) - np.asarray(theirs.convert("L"))).max() <= 1


def test_a_prompt_without_the_token_is_refused(sampler):
    with pytest.raises(RuntimeError, match="does not reach the text encoder"):
        sampler(2, 3.0).generate([PROMPTS[0]], [1])


def test_without_an_adapter_the_base_samples_as_it_is(base, sampler):
    settings = Synthesis(steps=2, guidance=3.0, solver="base")
    ours = Sampler(base, None, "fp32", 32, settings).generate([PROMPTS[0]], [1])[0]
    theirs = StableDiffusionPipeline.from_pretrained(base.folder, safety_checker=None)(
        PROMPTS[0], num_inference_steps=2, guidance_scale=3.0, height=32, width=32,
        generator=torch.Generator().manual_seed(1),
    ).images[0]  # fmt: skip
    assert np.abs(ours.astype(int) - np.asarray(theirs.convert("L"))).max() <= 1
    adapted = sampler(2, 3.0).generate([with_token(PROMPTS[0], TOKEN)], [1])[0]
    assert not np.array_equal(adapted, ours)


def test_an_adapter_of_another_base_is_refused(adapter, tiny_base, tmp_path):
    other = StableDiffusionPipeline.from_pretrained(tiny_base, safety_checker=None)
    config = dict(other.unet.config) | {"cross_attention_dim": 48}
    other.unet = type(other.unet).from_config(config)
    other.save_pretrained(tmp_path / "other")
    with pytest.raises(UserError, match="does not fit the base"):
        Sampler(sd1.resolve(str(tmp_path / "other")), adapter, "fp32", 32, Synthesis(steps=2, guidance=3.0))
