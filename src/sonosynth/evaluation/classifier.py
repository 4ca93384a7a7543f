"""The classifier of the ablation, trained on one arm with one seed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForImageClassification, ResNetConfig, ResNetForImageClassification

from sonosynth import seeding
from sonosynth.errors import UserError, first_line

IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def make_model(name: str, classes: int, seed: int) -> torch.nn.Module:
    """ResNet-18 with random weights ("resnet-18"), or a pretrained transformers model with a new head.

    Raises:
        UserError: if `name` is neither, or its weights can't be had as safetensors.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if name == "resnet-18":
            config = ResNetConfig(
                hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], layer_type="basic", num_labels=classes
            )
            return ResNetForImageClassification(config)
        try:
            return AutoModelForImageClassification.from_pretrained(
                name, num_labels=classes, ignore_mismatched_sizes=True, use_safetensors=True
            )
        except Exception as error:
            # The hub's client and the loaders raise many kinds of errors; all mean that there is no such model.
            raise UserError(
                f"classifier.model: {name} can't be loaded ({first_line(error)})",
                "resnet-18, or an image classifier of transformers with safetensors, by hub id or folder",
                "give the folder of a download, or classifier.model=resnet-18 to train one from random weights",
            ) from None


def check_model(name: str) -> None:
    """Raise UserError now, before hours of adaptation, if `name` can't be loaded."""
    if name == "resnet-18":
        return
    try:
        AutoConfig.from_pretrained(name)
    except Exception:
        make_model(name, 2, 0)  # raises, with the reason


def identity(name: str) -> str:
    """What the key of a stage has to hold so that other weights of the same name are noticed."""
    folder = Path(name)
    if not folder.is_dir():
        return name
    return f"{name}:{sorted((p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in folder.iterdir())}"


def predict(
    train_images: np.ndarray,
    train_labels: np.ndarray,
    images: np.ndarray,
    *,
    model: str,
    classes: int,
    steps: int,
    batch: int,
    learning_rate: float,
    seed: int,
    precision: str,
    advance: Callable[[int], None],
) -> np.ndarray:
    """Train on `train_images` (N, H, W) uint8 with `train_labels` (N,) and predict `images` (M, H, W).

    Cross-entropy, Adam, horizontal flips, normalisation (ImageNet's for pretrained models, else the training
    images' own), `steps` optimiser steps whatever N is, the last one scored. Returns probabilities (M, classes).
    `precision` is of the training, "fp32" or "bf16"; `advance` is told of every step.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = make_model(model, classes, seeding.derive(seed, "classifier"))
    network = network.train().to(device)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate, fused=True)
    if model == "resnet-18":
        mean, deviation = (train_images.mean() / 255,) * 3, (max(train_images.std() / 255, 1e-3),) * 3
    else:
        mean, deviation = IMAGENET_MEAN, IMAGENET_DEVIATION
    shift = torch.tensor(mean, device=device, dtype=torch.float32).view(3, 1, 1)
    scale = torch.tensor(deviation, device=device, dtype=torch.float32).view(3, 1, 1)

    def prepared(pixels: Tensor) -> Tensor:
        grey = pixels.to(device, torch.float32)[:, None] / 255
        return ((grey - shift) / scale).contiguous(memory_format=torch.channels_last)

    pixels, targets = torch.from_numpy(train_images), torch.from_numpy(train_labels)
    generator = seeding.torch_generator(seed, "classifier", "batches")
    order = torch.empty(0, dtype=torch.long)
    for _ in range(steps):
        while len(order) < batch:
            order = torch.cat([order, torch.randperm(len(pixels), generator=generator)])
        chosen, order = order[:batch], order[batch:]
        flipped = torch.rand(batch, generator=generator) < 0.5
        inputs = pixels[chosen]
        inputs[flipped] = inputs[flipped].flip(-1)
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            logits = network(prepared(inputs)).logits
        loss = F.cross_entropy(logits.float(), targets[chosen].to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        advance(1)

    network.eval()
    with torch.no_grad():
        parts = [network(prepared(part)).logits.float().softmax(1).cpu() for part in torch.from_numpy(images).split(64)]
    return torch.cat(parts).double().numpy()
