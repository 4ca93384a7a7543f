"""The adapters: what they change, and that plain diffusers makes the same images with them."""

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionImg2ImgPipeline, StableDiffusionPipeline
from PIL import Image
from safetensors.torch import load_file, save_file

from sonosynth.diffusion import base, lora, token
from sonosynth.diffusion.adapt import Examples, _noise_error, encode, learn_lora, learn_token, with_token
from sonosynth.diffusion.latents import Latents, encode_images, to_grey, to_tensor, tokenize
from sonosynth.diffusion.sampling import Recipe, Sampler
from sonosynth.diffusion.training import Schedule
from sonosynth.errors import UserError

TOKEN = "<ultrasound>"
PROMPTS = ["ultrasound image of a benign breast lesion", "ultrasound image of a malignant breast lesion"]


@pytest.fixture(scope="module")
def adapted(tiny_base, tmp_path_factory):
    """A token and a LoRA, trained a few steps at a high rate so that they show."""
    folder = tmp_path_factory.mktemp("adapter")
    images = np.random.default_rng(0).integers(0, 255, (6, 32, 32), np.uint8)
    encode(tiny_base, images, "fp32", folder / "latents.safetensors")
    examples = Examples(Latents.load(folder / "latents.safetensors"), [PROMPTS[i % 2] for i in range(6)])
    losses, movement = learn_token(
        tiny_base, examples, TOKEN, "ultrasound", Schedule(5, 2, 0.05, weight_decay=0), "fp32", 0, folder / "w",
        folder / "learned_embeds.safetensors",
    )  # fmt: skip
    assert len(losses) == 5
    lora_losses = learn_lora(
        tiny_base, examples, folder / "learned_embeds.safetensors", TOKEN, 4, "all", Schedule(8, 2, 0.02), "fp32", 0,
        folder / "w", folder,
    )  # fmt: skip
    assert len(lora_losses) == 8
    return folder, movement


def test_only_the_tokens_row_is_learned_and_its_movement_is_told(tiny_base, adapted):
    folder, movement = adapted
    plain = base.load(tiny_base, torch.float32, "cpu")
    start = plain.text_encoder.get_input_embeddings().weight[
        plain.tokenizer("ultrasound", add_special_tokens=False)["input_ids"]
    ].mean(dim=0)  # fmt: skip
    before = plain.text_encoder.get_input_embeddings().weight.clone()
    learned = load_file(folder / "learned_embeds.safetensors")[TOKEN][0]
    assert movement["moved"] == pytest.approx(float((learned - start).norm()), rel=1e-5)
    assert movement["moved"] > 0.01
    token.load(plain, TOKEN, folder / "learned_embeds.safetensors")
    after = plain.text_encoder.get_input_embeddings().weight
    assert torch.equal(after[: len(before)], before)
    assert torch.equal(after[-1], learned)


def test_training_reaches_the_token_and_nothing_else(tiny_base):
    pipeline = base.load(tiny_base, torch.float32, "cpu")
    new = token.add(pipeline, TOKEN, "ultrasound image")
    ids = tokenize(pipeline.tokenizer, [with_token(PROMPTS[0], TOKEN), PROMPTS[0]])
    with token.trained_in_place_of_its_row(pipeline, new):
        new.vector.data += 1
        outputs = pipeline.text_encoder(ids)[0]
        outputs.sum().backward()
    assert new.vector.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in pipeline.text_encoder.parameters())
    unchanged = pipeline.text_encoder(ids)[0]
    assert not torch.allclose(outputs[0], unchanged[0])
    assert torch.equal(outputs[1], unchanged[1])


@pytest.mark.parametrize("side", [8, 40])
def test_bfloat16_has_float32s_gradient_and_never_holds_all_pairs_of_many_positions(tiny_base, side):
    draws = torch.Generator().manual_seed(0)
    mean, embeddings = torch.randn(4, 4, side, side, generator=draws), torch.randn(2, 77, 32, generator=draws)

    def gradient_and_largest_tensor(dtype):
        pipeline = base.load(tiny_base, dtype, "cpu", without=("vae", "text_encoder"))
        error = _noise_error(pipeline, Latents(mean, torch.zeros_like(mean)))
        parameters, sizes = lora.attach(pipeline, 4, "attention", 0), []
        kept = torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.numel()) or x, lambda x: x)
        with kept, torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            error(torch.tensor([0, 1]), embeddings, torch.Generator().manual_seed(1)).backward()
        return torch.cat([p.grad.flatten() for p in parameters]), max(sizes)

    exact, _ = gradient_and_largest_tensor(torch.float32)
    rounded, largest = gradient_and_largest_tensor(torch.bfloat16)
    assert torch.cosine_similarity(rounded, exact, dim=0) > 0.99
    assert float(rounded.norm()) == pytest.approx(float(exact.norm()), rel=0.02)
    assert side == 8 or largest < side**4


def test_text_to_image_equals_plain_diffusers(tiny_base, adapted):
    folder, _ = adapted
    sampler = Sampler(tiny_base, folder, TOKEN, "fp32", 32, Recipe(4, 5.0))
    prompts = [with_token(prompt, TOKEN) for prompt in PROMPTS]
    ours, _ = sampler.generate(prompts, [11, 12])

    plain = StableDiffusionPipeline.from_pretrained(tiny_base, safety_checker=None)
    plain.load_textual_inversion(folder / "learned_embeds.safetensors")
    plain.load_lora_weights(folder)
    for prompt, seed, image in zip(prompts, (11, 12), ours, strict=True):
        theirs = plain(
            prompt, num_inference_steps=4, guidance_scale=5.0, height=32, width=32,
            generator=torch.Generator().manual_seed(seed),
        ).images[0]  # fmt: skip
        assert np.abs(image.astype(int) - np.asarray(theirs.convert("L"))).max() <= 1


@pytest.mark.parametrize("start", ["pixels", "latent"])
def test_refinement_equals_plain_diffusers(tiny_base, adapted, start):
    folder, _ = adapted
    sampler = Sampler(tiny_base, folder, TOKEN, "fp32", 32, Recipe(6, 3.0))
    prompt = with_token(PROMPTS[1], TOKEN)
    images, latents = sampler.generate([prompt] * 2, [1, 2])
    source = images if start == "pixels" else sampler.stack(list(latents))
    ours = sampler.refine(source, [prompt] * 2, [3, 4], strength=0.5)
    assert not np.array_equal(ours, images)

    plain = StableDiffusionImg2ImgPipeline.from_pretrained(tiny_base, safety_checker=None)
    plain.load_textual_inversion(folder / "learned_embeds.safetensors")
    plain.load_lora_weights(folder)
    picture = Image.fromarray(images[1]).convert("RGB") if start == "pixels" else latents[1:]
    theirs = plain(
        prompt, image=picture, strength=0.5, num_inference_steps=6, guidance_scale=3.0,
        generator=torch.Generator().manual_seed(4),
    ).images[0]  # fmt: skip
    assert np.abs(ours[1].astype(int) - np.asarray(theirs.convert("L"))).max() <= 1


def test_an_image_does_not_depend_on_its_batch(tiny_base, adapted):
    sampler = Sampler(tiny_base, adapted[0], TOKEN, "fp32", 32, Recipe(3, 3.0))
    prompt = with_token(PROMPTS[0], TOKEN)
    together, _ = sampler.generate([prompt] * 3, [5, 6, 7])
    alone, _ = sampler.generate([prompt], [6])
    assert np.abs(together[1].astype(int) - alone[0]).max() <= 1
    assert np.abs(together[1].astype(int) - together[2]).mean() > 1


def test_guidance_is_applied_to_the_noise_levels_that_are_asked_for(tiny_base, adapted):
    prompt, passes = with_token(PROMPTS[0], TOKEN), []

    def image(guidance, interval):
        sampler = Sampler(tiny_base, adapted[0], TOKEN, "fp32", 32, Recipe(6, guidance, interval, "dpm++"))
        sampler.pipeline.unet.register_forward_pre_hook(lambda _, inputs: passes.append(len(inputs[0])))
        made = sampler.generate([prompt], [5])[0][0].astype(int)
        levels = [(1 - a) ** 0.5 / a**0.5 for a in sampler.pipeline.scheduler.alphas_cumprod.double()]
        return made, [float(levels[int(t)]) for t in sampler.pipeline.scheduler.timesteps]

    always, levels = image(5.0, None)
    assert passes == [2] * 6
    assert np.array_equal(image(5.0, (0.0, 1e9))[0], always)
    never, _ = image(1.0, None)
    assert np.array_equal(image(5.0, (1e8, 1e9))[0], never)
    passes.clear()
    middle, _ = image(5.0, (levels[3], levels[1]))
    assert passes == [1, 2, 2, 2, 1, 1]
    assert not np.array_equal(middle, always) and not np.array_equal(middle, never)


def test_the_solver_is_the_one_asked_for(tiny_base, adapted):
    prompt = with_token(PROMPTS[0], TOKEN)
    sampler = Sampler(tiny_base, adapted[0], TOKEN, "fp32", 32, Recipe(4, 3.0, None, "dpm++"))
    plain = StableDiffusionPipeline.from_pretrained(tiny_base, safety_checker=None)
    plain.load_textual_inversion(adapted[0] / "learned_embeds.safetensors")
    plain.load_lora_weights(adapted[0])
    assert not isinstance(plain.scheduler, DPMSolverMultistepScheduler)
    plain.scheduler = DPMSolverMultistepScheduler.from_config(plain.scheduler.config)
    theirs = plain(
        prompt, num_inference_steps=4, guidance_scale=3.0, height=32, width=32,
        generator=torch.Generator().manual_seed(3),
    ).images[0]  # fmt: skip
    ours = sampler.generate([prompt], [3])[0][0]
    assert np.abs(ours.astype(int) - np.asarray(theirs.convert("L"))).max() <= 1


def test_a_prompt_without_the_token_is_refused(tiny_base, adapted):
    sampler = Sampler(tiny_base, adapted[0], TOKEN, "fp32", 32, Recipe(2, 3.0))
    with pytest.raises(RuntimeError, match="does not reach the text encoder"):
        sampler.generate([PROMPTS[0]], [1])


def test_prompts_that_would_be_cut_are_refused(tiny_base):
    pipeline = base.load(tiny_base, torch.float32, "cpu")
    with pytest.raises(UserError, match="has 82 tokens"):
        tokenize(pipeline.tokenizer, ["image " * 80])


def test_the_layers_that_are_asked_for_are_adapted(tiny_base):
    def adapted_names(layers):
        pipeline = base.load(tiny_base, torch.float32, "cpu")
        lora.attach(pipeline, 4, layers, 0)
        return [name for name, p in pipeline.unet.named_parameters() if p.requires_grad]

    attention, everything = adapted_names("attention"), adapted_names("all")
    assert attention and all("attn" in name for name in attention)
    assert {name for name in everything if "attn" in name} == set(attention)
    assert any("resnets.0.conv1" in name for name in everything)


@pytest.mark.parametrize("layers", ["attention", "all"])
def test_what_was_trained_is_what_is_loaded_here_and_in_plain_diffusers(tiny_base, tmp_path, layers):
    trained = base.load(tiny_base, torch.float32, "cpu")
    for parameter in lora.attach(trained, 4, layers, 0):
        torch.nn.init.normal_(parameter, std=0.1)
    lora.save(trained, tmp_path)
    ours = base.load(tiny_base, torch.float32, "cpu")
    untouched = ours.unet(*(inputs := _unet_inputs())).sample
    lora.load(ours, tmp_path)
    plain = StableDiffusionPipeline.from_pretrained(tiny_base, safety_checker=None)
    plain.load_lora_weights(tmp_path)
    wanted = trained.unet(*inputs).sample
    assert (wanted - untouched).abs().max() > 0.02
    for pipeline in (ours, plain):
        assert torch.allclose(pipeline.unet(*inputs).sample, wanted, atol=1e-4)


def _unet_inputs():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, 4, 8, 8, generator=generator), torch.tensor(500), torch.randn(1, 77, 32, generator=generator)


def test_layers_that_the_loader_leaves_out_are_noticed(tiny_base, tmp_path):
    trained = base.load(tiny_base, torch.float32, "cpu")
    lora.attach(trained, 4, "all", 0)
    lora.save(trained, tmp_path)
    old = {"lora_A": "lora.down", "lora_B": "lora.up"}
    tensors = load_file(tmp_path / lora.FILE)
    for name in [name for name in tensors if "attn1.to_q" in name]:
        part = "lora_A" if "lora_A" in name else "lora_B"
        tensors[name.replace(part, old[part])] = tensors.pop(name)
    save_file(tensors, tmp_path / lora.FILE)
    with pytest.raises(RuntimeError, match="not every layer"):
        lora.load(base.load(tiny_base, torch.float32, "cpu"), tmp_path)


def test_an_adapter_of_another_base_is_refused(adapted, tiny_base, tmp_path):
    other = StableDiffusionPipeline.from_pretrained(tiny_base, safety_checker=None)
    config = dict(other.unet.config) | {"cross_attention_dim": 48}
    other.unet = type(other.unet).from_config(config)
    other.save_pretrained(tmp_path / "other")
    with pytest.raises(UserError, match="does not fit the base"):
        Sampler(tmp_path / "other", adapted[0], TOKEN, "fp32", 32, Recipe(2, 3.0))


def test_latents_are_the_posterior_of_images_and_mirror_images(tiny_base):
    pipeline = base.load(tiny_base, torch.float32, "cpu")
    images = np.random.default_rng(0).integers(0, 255, (3, 32, 32), np.uint8)
    latents = encode_images(pipeline.vae, images, batch=2)
    posterior = pipeline.vae.encode(to_tensor(images[:, :, ::-1].copy())).latent_dist
    scale = pipeline.vae.config.scaling_factor
    assert torch.allclose(latents.mean[3:], posterior.mean * scale, atol=1e-5)
    assert torch.allclose(latents.deviation[3:], posterior.std * scale, atol=1e-5)
    draws = torch.stack([latents.sample(torch.tensor([1]), torch.Generator().manual_seed(s))[0] for s in range(400)])
    middle = (latents.mean[1] + latents.mean[4]) / 2
    assert torch.allclose(draws.mean(dim=0), middle, atol=0.25)


def test_latents_are_saved_whatever_the_memory_format(tiny_base, tmp_path):
    vae = base.load(tiny_base, torch.float32, "cpu").vae.to(memory_format=torch.channels_last)
    latents = encode_images(vae, np.zeros((2, 32, 32), np.uint8))
    latents.save(tmp_path / "l.safetensors")
    assert torch.equal(Latents.load(tmp_path / "l.safetensors").mean, latents.mean)


def test_grey_is_pillows(tiny_base):
    decoded = torch.rand(2, 3, 9, 7) * 2.4 - 1.2
    rgb = ((decoded / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    expected = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in rgb])
    assert np.array_equal(to_grey(decoded), expected)
