"""What is kept of an image is kept: its pixels away from the region, and its latents as plain diffusers keeps them."""

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline
from PIL import Image

from sonosynth.bases import sd1
from sonosynth.synthesis.blending import FEATHER, Kept, pasted
from sonosynth.synthesis.sampling import Sampler
from sonosynth.synthesis.settings import Synthesis

PROMPT = "ultrasound image of a benign breast lesion"


def test_latents_that_show_any_pixel_of_a_region_belong_to_it():
    regions = np.zeros((1, 32, 32), bool)
    regions[0, 15, 15:17] = True
    kept = Kept.outside(regions, torch.zeros(1, 4, 8, 8), torch.zeros(1, 4, 8, 8))
    assert kept.region[0, 0].nonzero().tolist() == [[3, 3], [3, 4]]
    mixed = kept.into(torch.ones(1, 4, 8, 8), None, None)
    assert mixed.sum() == 2 * 4 and mixed[0, :, 3, 3:5].all()


def test_pixels_are_the_images_own_but_for_the_region_and_its_feathered_edge():
    images, made = np.full((2, 64, 64), 40, np.uint8), np.full((2, 64, 64), 200, np.uint8)
    regions = np.zeros((2, 64, 64), bool)
    regions[0, 20:40, 20:40] = True
    found = pasted(made, images, regions)
    assert FEATHER * 64 == 2
    assert found[0, 30, 16:24].tolist() == [40, 40, 40, 120, 200, 200, 200, 200]
    assert (found[1] == 40).all()
    assert (pasted(made, images, ~regions[1:].repeat(2, 0)) == 200).all()


@pytest.mark.parametrize("solver", ["base", "dpm++"])
def test_a_changed_region_equals_plain_diffusers(tiny_base, solver):
    base = sd1.resolve(str(tiny_base))
    sampler = Sampler(base, None, "fp32", 32, Synthesis(steps=6, guidance=3.0, solver=solver))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (2, 32, 32), np.uint8)
    regions = np.zeros((2, 32, 32), bool)
    regions[0, 8:20, 4:24], regions[1, 16:, :16] = True, True  # of whole latents: diffusers takes every fourth pixel
    ours = sampler.refine(images, [PROMPT] * 2, [1, 2], 0.7, None, regions=regions)
    pipeline = StableDiffusionInpaintPipeline(**sampler.pipeline.components, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    for image, region, seed, own in zip(images, regions, (1, 2), ours, strict=True):
        theirs = pipeline(
            PROMPT, Image.fromarray(image).convert("RGB"), Image.fromarray(region), height=32, width=32, strength=0.7,
            num_inference_steps=6, guidance_scale=3.0, generator=torch.Generator().manual_seed(seed),
        ).images[0]  # fmt: skip
        expected = pasted(np.asarray(theirs.convert("L"))[None], image[None], region[None])[0]
        assert np.abs(own.astype(int) - expected).max() <= 1
        assert (own[region] != image[region]).mean() > 0.5
