"""What users run today, written plainly with the same libraries: the other sides of the benchmarks.

Adaptation and textual inversion do, step by step, what diffusers' example scripts `train_text_to_image_lora.py` and
`textual_inversion.py` do; `adaptation.py --script` runs the script itself. The notebook samples one image at a time.
The classifier is trained from a folder through a DataLoader, as with torchvision's ImageFolder and transforms.
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import DDPMScheduler, StableDiffusionImg2ImgPipeline, StableDiffusionPipeline
from peft import LoraConfig
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from sonosynth.tasks.classification import models
from sonosynth.tasks.classification.settings import RANDOM

Item = tuple[Path, int]


class Folder(Dataset[tuple[Tensor, int]]):
    """Image files, decoded, resized, mirrored at random and normalised whenever they are asked for."""

    def __init__(self, items: Sequence[Item], side: int, mirrored: bool = True) -> None:
        self.items, self.side, self.mirrored = items, side, mirrored

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        file, label = self.items[place]
        image = Image.open(file).convert("RGB").resize((self.side, self.side), Image.Resampling.BILINEAR)
        if self.mirrored and random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy()).float() / 255
        return (pixels - 0.5) / 0.5, label


def adapt(
    base: Path, items: Sequence[Item], prompts: Sequence[str], *, resolution: int, batch: int, rank: int, steps: int,
    token: str = "",
) -> Iterator[tuple[int, StableDiffusionPipeline]]:  # fmt: skip
    """Train a LoRA on the attention projections, or, where `token` is given, that token's vector, in float32.

    Yields the number of each step and the pipeline after it.
    """
    pipeline = StableDiffusionPipeline.from_pretrained(base, safety_checker=None)
    unet, vae, encoder, tokenizer = pipeline.unet, pipeline.vae, pipeline.text_encoder, pipeline.tokenizer
    noise_scheduler = DDPMScheduler.from_config(pipeline.scheduler.config)
    for module in (unet, vae, encoder):
        module.requires_grad_(False)
        module.to("cuda" if torch.cuda.is_available() else "cpu", torch.float32)
    if token:
        tokenizer.add_tokens(token)
        encoder.resize_token_embeddings(len(tokenizer))
        table = encoder.get_input_embeddings().weight
        table.requires_grad_(True)
        parameters, before = [table], table.detach().clone()
        prompts = [f"{prompt} {token}" for prompt in prompts]
    else:
        unet.add_adapter(
            LoraConfig(
                r=rank,
                lora_alpha=rank,
                init_lora_weights="gaussian",
                target_modules=["to_k", "to_q", "to_v", "to_out.0"],
            )
        )
        parameters = [p for p in unet.parameters() if p.requires_grad]
    unet.train()
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    ids = tokenizer(
        list(prompts), max_length=tokenizer.model_max_length, padding="max_length", return_tensors="pt"
    ).input_ids
    loader = DataLoader(Folder(items, resolution), batch, shuffle=True)
    step = 0
    while step < steps:
        for pixels, labels in loader:
            latents = vae.encode(pixels.to(vae.device)).latent_dist.sample() * vae.config.scaling_factor
            noise = torch.randn_like(latents)
            times = torch.randint(0, noise_scheduler.config.num_train_timesteps, (len(latents),), device=unet.device)
            noisy = noise_scheduler.add_noise(latents, noise, times)
            embeddings = encoder(ids[labels].to(unet.device))[0]
            velocity = noise_scheduler.config.prediction_type == "v_prediction"
            target = noise_scheduler.get_velocity(latents, noise, times) if velocity else noise
            loss = F.mse_loss(unet(noisy, times, embeddings).sample, target)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            if token:  # no other row may change
                with torch.no_grad():
                    table[: len(before) - 1] = before[:-1]
            loss.item()
            step += 1
            yield step, pipeline
            if step == steps:
                break


def notebook(
    base: Path, adapter: Path, prompts: Sequence[str], seeds: Sequence[int], out: Path, *, resolution: int,
    guidance: float, strength: float,
) -> None:  # fmt: skip
    """Sample one image at a time, in 50 steps and float32, write it, read it back, refine it, write that."""
    pipe = StableDiffusionPipeline.from_pretrained(base, safety_checker=None)
    if (adapter / "learned_embeds.safetensors").is_file():
        pipe.load_textual_inversion(adapter / "learned_embeds.safetensors")
    pipe.load_lora_weights(adapter)
    pipe.to("cuda" if torch.cuda.is_available() else "cpu")
    refiner = StableDiffusionImg2ImgPipeline(**pipe.components, requires_safety_checker=False)
    for pipeline in (pipe, refiner):
        pipeline.set_progress_bar_config(disable=True)
    for number, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True)):
        file = out / f"{number:05d}.png"
        about = {"num_inference_steps": 50, "guidance_scale": guidance}
        generator = torch.Generator().manual_seed(seed)
        pipe(prompt, height=resolution, width=resolution, generator=generator, **about).images[0].save(file)
        picture = Image.open(file).convert("RGB")
        refined = refiner(prompt, image=picture, strength=strength, generator=generator, **about).images[0]
        refined.save(out / f"{number:05d}_refined.png")


def classify(items: Sequence[Item], classes: int, side: int, batch: int, epochs: int) -> None:
    """Train a ResNet-18 in float32; every image is decoded and transformed again in every epoch."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = models.make(models.resolve(RANDOM), classes, 0).module.to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    loader = DataLoader(Folder(items, side), batch, shuffle=True, drop_last=True)
    for _ in range(epochs):
        for pixels, labels in loader:
            loss = F.cross_entropy(network(pixels.to(device)).logits, labels.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
