"""Images under masks: plain diffusers makes the same ones from the saved files."""

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, StableDiffusionControlNetImg2ImgPipeline, StableDiffusionControlNetPipeline
from PIL import Image

from sonosynth.adapters import control
from sonosynth.adapters.learning import Examples, learn_lora, learn_token, with_token
from sonosynth.adapters.settings import Lora, Token
from sonosynth.bases import sd1
from sonosynth.bases.latents import encode_images
from sonosynth.synthesis.sampling import Sampler
from sonosynth.synthesis.settings import Synthesis

TOKEN = "<ultrasound>"
PROMPTS = [
    with_token(f"ultrasound image of a {kind} breast lesion", TOKEN) for kind in ("benign", "malignant")
]  # fmt: skip


@pytest.fixture(scope="module")
def base(tiny_base):
    return sd1.resolve(str(tiny_base))


@pytest.fixture(scope="module")
def masks():
    found = np.zeros((2, 32, 32), bool)
    found[0, 4:20, 9:25], found[1, 12:, :11] = True, True
    return found


@pytest.fixture(scope="module")
def adapter(base, tmp_path_factory):
    """A token and a LoRA, trained a few steps at a high rate so that they show, and a control with a random effect."""
    folder = tmp_path_factory.mktemp("adapter")
    images = np.random.default_rng(0).integers(0, 255, (4, 32, 32), np.uint8)
    latents = encode_images(sd1.load(base.folder, torch.float32, "cpu").vae, images)
    examples = Examples(latents, PROMPTS * 2)
    bare = Examples(latents, [prompt.removesuffix(f" {TOKEN}") for prompt in PROMPTS * 2])
    common = {"precision": "fp32", "seed": 0, "work": folder / "work", "out": folder}
    learn_token(Token(steps=3, batch=2, learning_rate=0.05), TOKEN, base, bare, **common)
    learn_lora(Lora(rank=4, steps=4, batch=2, learning_rate=0.02), base, examples, **common)
    network = control.start(sd1.load_network(base.folder, "unet", torch.float32), 4, None, 0)
    torch.manual_seed(0)
    for name, value in network.state_dict().items():
        if "controlnet" in name:
            value.add_(torch.randn(value.shape) * 0.2)
    control.save(network, torch.float32, folder)
    return folder


@pytest.fixture(scope="module")
def sampler(base, adapter):
    return Sampler(base, adapter, "fp32", 32, Synthesis(steps=4, guidance=5.0, solver="base"), controlled=True)


def plain(kind, base, adapter):
    """A pipeline of plain diffusers that has loaded the adapter and its control."""
    network = ControlNetModel.from_pretrained(adapter / "control")
    pipeline = kind.from_pretrained(base.folder, controlnet=network, safety_checker=None)
    pipeline.load_textual_inversion(adapter / "learned_embeds.safetensors")
    pipeline.load_lora_weights(adapter)
    return pipeline


def test_text_and_mask_to_image_equal_plain_diffusers(base, adapter, sampler, masks):
    ours, swapped = (sampler.generate(PROMPTS, [11, 12], given) for given in (masks, masks[::-1]))
    assert np.abs(ours.astype(int) - swapped).mean() > 1  # the masks matter
    pipeline = plain(StableDiffusionControlNetPipeline, base, adapter)
    for prompt, seed, mask, image in zip(PROMPTS, (11, 12), masks, ours, strict=True):
        theirs = pipeline(
            prompt, Image.fromarray(mask), num_inference_steps=4, guidance_scale=5.0, height=32, width=32,
            generator=torch.Generator().manual_seed(seed),
        ).images[0]  # fmt: skip
        assert np.abs(image.astype(int) - np.asarray(theirs.convert("L"))).max() <= 1


def test_refinement_under_a_mask_equals_plain_diffusers(base, adapter, sampler, masks):
    images = np.random.default_rng(1).integers(0, 255, (2, 32, 32), np.uint8)
    ours = sampler.refine(images, PROMPTS, [3, 4], 0.6, None, masks=masks)
    pipeline = plain(StableDiffusionControlNetImg2ImgPipeline, base, adapter)
    for prompt, seed, mask, image, own in zip(PROMPTS, (3, 4), masks, images, ours, strict=True):
        theirs = pipeline(
            prompt, Image.fromarray(image).convert("RGB"), Image.fromarray(mask), height=32, width=32, strength=0.6,
            num_inference_steps=4, guidance_scale=5.0, controlnet_conditioning_scale=1.0,
            generator=torch.Generator().manual_seed(seed),
        ).images[0]  # fmt: skip
        assert np.abs(own.astype(int) - np.asarray(theirs.convert("L"))).max() <= 1


def test_one_at_a_time_or_together_images_are_the_same(sampler, masks):
    together = sampler.generate(PROMPTS, [11, 12], masks)
    for n in range(2):
        alone = sampler.generate(PROMPTS[n : n + 1], [11 + n], masks[n : n + 1])[0]
        assert np.abs(alone.astype(int) - together[n]).max() <= 1
