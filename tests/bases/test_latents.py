"""Images to latents and back, and prompts to tokens."""

import numpy as np
import pytest
import torch
from PIL import Image

from sonosynth.bases import sd1
from sonosynth.bases.latents import Latents, encode_images, reconstruct, to_grey, to_tensor, tokenize
from sonosynth.errors import UserError


def test_latents_are_the_posterior_of_images_and_mirror_images(tiny_base):
    pipeline = sd1.load(tiny_base, torch.float32, "cpu")
    images = np.random.default_rng(0).integers(0, 255, (3, 32, 32), np.uint8)
    latents = encode_images(pipeline.vae, images, batch=2)
    posterior = pipeline.vae.encode(to_tensor(images[:, :, ::-1].copy())).latent_dist
    scale = pipeline.vae.config.scaling_factor
    assert torch.allclose(latents.mean[3:], posterior.mean * scale, atol=1e-5)
    assert torch.allclose(latents.deviation[3:], posterior.std * scale, atol=1e-5)
    draws = torch.stack([latents.sample(torch.tensor([1]), torch.Generator().manual_seed(s))[0] for s in range(400)])
    middle = (latents.mean[1] + latents.mean[4]) / 2
    assert torch.allclose(draws.mean(dim=0), middle, atol=0.25)


def test_latents_of_some_images_are_those_of_encoding_them_alone(tiny_base):
    vae = sd1.load(tiny_base, torch.float32, "cpu", without=("unet", "text_encoder")).vae
    images = np.random.default_rng(0).integers(0, 255, (5, 32, 32), np.uint8)
    chosen, alone = encode_images(vae, images).choose([4, 1]), encode_images(vae, images[[4, 1]])
    assert torch.allclose(chosen.mean, alone.mean, atol=1e-5)
    assert torch.allclose(chosen.deviation, alone.deviation, atol=1e-5)


def test_without_mirror_images_only_upright_latents_are_drawn():
    latents = Latents(torch.arange(6.0).reshape(6, 1, 1, 1), torch.zeros(6, 1, 1, 1))
    for mirror, expected in ((True, {1, 2, 4, 5}), (False, {1, 2})):
        chosen = latents.choose([1, 2], mirror=mirror)
        drawn = chosen.sample(torch.arange(40) % 2, torch.Generator().manual_seed(0))
        assert {int(x) for x in drawn.flatten()} == expected


def test_latents_are_saved_whatever_the_memory_format(tiny_base, tmp_path):
    vae = sd1.load(tiny_base, torch.float32, "cpu").vae.to(memory_format=torch.channels_last)
    latents = encode_images(vae, np.zeros((2, 32, 32), np.uint8))
    latents.save(tmp_path / "l.safetensors")
    assert torch.equal(Latents.load(tmp_path / "l.safetensors").mean, latents.mean)


def test_grey_is_pillows():
    decoded = torch.rand(2, 3, 9, 7) * 2.4 - 1.2
    rgb = ((decoded / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    expected = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in rgb])
    assert np.array_equal(to_grey(decoded), expected)


def test_prompts_that_would_be_cut_are_refused(tiny_base):
    pipeline = sd1.load(tiny_base, torch.float32, "cpu")
    with pytest.raises(UserError, match="has 82 tokens"):
        tokenize(pipeline.tokenizer, ["image " * 80])


def test_images_through_the_vae_are_those_of_plain_diffusers(tiny_base):
    vae = sd1.load(tiny_base, torch.float32, "cpu", without=("unet", "text_encoder")).vae
    images = np.random.default_rng(0).integers(0, 255, (10, 32, 32), np.uint8)
    with torch.no_grad():
        theirs = to_grey(vae(to_tensor(images), sample_posterior=False).sample)
    ours = reconstruct(vae, images)
    assert (ours.shape, ours.dtype) == (images.shape, np.uint8)
    assert np.abs(ours.astype(int) - theirs).max() <= 1
    assert np.array_equal(reconstruct(vae, images), ours)
