"""The classifier of the ablation, trained on one arm with one seed."""

import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForImageClassification, ResNetConfig, ResNetForImageClassification

from sonosynth import seeding
from sonosynth.errors import loading
from sonosynth.evaluation.remedies import class_weights, classical, mixed, oversampled
from sonosynth.parallel import in_parallel

AT_ONCE = 4  # trainings in processes of their own, each with a copy of its images
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
        with loading(
            f"classifier.model: {name}",
            "resnet-18, or an image classifier of transformers with safetensors, by hub id or folder",
            "give the folder of a download, or classifier.model=resnet-18 to train one from random weights",
        ):
            return AutoModelForImageClassification.from_pretrained(
                name, num_labels=classes, ignore_mismatched_sizes=True, use_safetensors=True, trust_remote_code=False
            )


def check_model(name: str) -> None:
    """Raise UserError now, before hours of adaptation, if `name` can't be loaded."""
    if name == "resnet-18":
        return
    try:
        AutoConfig.from_pretrained(name, trust_remote_code=False)
    except Exception:
        make_model(name, 2, 0)  # raises, with the reason


def identity(name: str) -> str:
    """What the key of a stage has to hold so that other weights of the same name are noticed."""
    folder = Path(name)
    if not folder.is_dir():
        return name
    return f"{name}:{sorted((p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in folder.iterdir())}"


@dataclass(frozen=True)
class Recipe:
    """How a classifier is trained, the same for all arms: see `config.Classifier`; `steps` are the optimiser's."""

    model: str
    classes: int
    steps: int
    batch: int
    learning_rate: float
    precision: str


@dataclass(frozen=True)
class Remedy:
    """What one arm does about few, imbalanced images: see `config.Arm`."""

    balance: str = "none"
    augmentation: str = "flip"
    mixup: float = 0.0


@dataclass(frozen=True)
class Selection:
    """Images (N, H, W) uint8 and their labels (N,), scored every `every` steps: the best step's weights are used."""

    images: np.ndarray
    labels: np.ndarray
    every: int


def predict(
    train_images: np.ndarray,
    train_labels: np.ndarray,
    images: np.ndarray,
    *,
    recipe: Recipe,
    seed: int,
    remedy: Remedy | None = None,
    select: Selection | None = None,
) -> np.ndarray:
    """Train on `train_images` (N, H, W) uint8 with `train_labels` (N,) and predict `images` (M, H, W).

    Cross-entropy, Adam, horizontal flips, normalisation (ImageNet's for pretrained models, else the training
    images' own), as many optimiser steps whatever N is. The last step is scored, or, with `select`, the first of
    those that are most often right on its images. Returns probabilities (M, classes).
    """
    remedy = remedy or Remedy()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = make_model(recipe.model, recipe.classes, seeding.derive(seed, "classifier"))
    network = network.train().to(device)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate, fused=True)
    if recipe.model == "resnet-18":
        mean, deviation = (train_images.mean() / 255,) * 3, (max(train_images.std() / 255, 1e-3),) * 3
    else:
        mean, deviation = IMAGENET_MEAN, IMAGENET_DEVIATION
    shift = torch.tensor(mean, device=device, dtype=torch.float32).view(3, 1, 1)
    scale = torch.tensor(deviation, device=device, dtype=torch.float32).view(3, 1, 1)

    def prepared(grey: Tensor) -> Tensor:
        return ((grey.to(device) - shift) / scale).contiguous(memory_format=torch.channels_last)

    def to_float(pixels: Tensor) -> Tensor:
        return pixels[:, None].float() / 255

    @torch.no_grad()
    def chances(wanted: np.ndarray) -> np.ndarray:
        network.eval()
        parts = [network(prepared(to_float(x))).logits.float().softmax(1).cpu() for x in _batches(wanted)]
        network.train()
        return torch.cat(parts).double().numpy()

    rows = oversampled(train_labels) if remedy.balance == "oversample" else np.arange(len(train_labels))
    pixels, labels = torch.tensor(train_images[rows]), torch.tensor(train_labels[rows])
    weights = class_weights(train_labels, recipe.classes).to(device) if remedy.balance == "weights" else None
    generator = seeding.torch_generator(seed, "classifier", "batches")
    order = torch.empty(0, dtype=torch.long)
    best, result = -1.0, np.empty(0)
    for step in range(1, recipe.steps + 1):
        while len(order) < recipe.batch:
            order = torch.cat([order, torch.randperm(len(pixels), generator=generator)])
        chosen, order = order[: recipe.batch], order[recipe.batch :]
        flipped = torch.rand(recipe.batch, generator=generator) < 0.5
        inputs, targets = to_float(pixels[chosen]), F.one_hot(labels[chosen], recipe.classes).float()
        inputs[flipped] = inputs[flipped].flip(-1)
        if remedy.augmentation == "classical":
            inputs = classical(inputs, generator)
        if remedy.mixup:
            inputs, targets = mixed(inputs, targets, remedy.mixup, generator)
        with torch.autocast(device, torch.bfloat16, enabled=recipe.precision == "bf16"):
            logits = network(prepared(inputs)).logits
        loss = F.cross_entropy(logits.float(), targets.to(device), weight=weights)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if select and (step % select.every == 0 or step == recipe.steps):
            right = float((chances(select.images).argmax(axis=1) == select.labels).mean())
            if right > best:
                best, result = right, chances(images)
    return result if select else chances(images)


def predict_all(trainings: Iterable[Callable[[], np.ndarray]]) -> Generator[tuple[np.ndarray, float], None, None]:
    """The results of calls of `predict` (as `functools.partial`) and their seconds; several at a time without a GPU.

    A small network trains half as fast again in two processes of one thread as in one of two.
    """
    if torch.cuda.is_available():
        return (_timed(training) for training in trainings)
    return in_parallel(_timed, trainings, at_most=AT_ONCE)


def _timed(training: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    started = time.monotonic()
    return training(), time.monotonic() - started


def _batches(images: np.ndarray) -> Iterable[Tensor]:
    return torch.tensor(images).split(64)
