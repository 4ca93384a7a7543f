"""The classifier of the ablation, trained for one arm with one seed."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForImageClassification, ResNetConfig, ResNetForImageClassification

from sonosynth import hub, seeding
from sonosynth.errors import UserError, first_line, loading
from sonosynth.tasks.classification.remedies import class_weights, classical, mixed, oversampled
from sonosynth.tasks.classification.settings import RANDOM, Arm, Classifier
from sonosynth.tasks.classification.trivial import trivial
from sonosynth.tasks.training_set import TrainingSet

IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
AUGMENTATIONS = {"classical": classical, "trivial": trivial}
EXPECTED = "resnet-18, or a transformers image classifier with safetensors, by hub id or folder"
FIX = "give a downloaded folder, or classifier.model=resnet-18 to train from random weights"


def resolve(name: str) -> hub.Model | None:
    """The pretrained model called `name`, found on this machine; None for ResNet-18 with random weights.

    Raises:
        UserError: if there is no such model, it has no safetensors, or it can't be made: see `make_model`.
    """
    if name == RANDOM:
        return None
    model = hub.resolve(name, "classifier.model", EXPECTED, FIX)
    hub.check_finite(make_model(model, 2, 0), f"classifier.model: {name}")
    return model


def check_resolution(model: hub.Model | None, resolution: int) -> None:
    """Raise UserError unless the model takes images of `resolution` x `resolution` pixels."""
    if model is None:
        return
    network = make_model(model, 2, 0).eval()
    try:
        with torch.no_grad():
            network(torch.zeros(1, 3, resolution, resolution)).logits.view(1, 2)
    except Exception as error:
        raise UserError(
            f"classifier.resolution: {model.name} can't classify images of {resolution} x {resolution} pixels"
            f" ({first_line(error)})",
            "the size that the model takes",
            "most models: classifier.resolution=224",
        ) from None


def make_model(model: hub.Model | None, classes: int, seed: int) -> torch.nn.Module:
    """A pretrained transformers model with a new head, or ResNet-18 with random weights.

    Raises:
        UserError: if it can't be loaded, or lacks weights other than the head's.
    """
    with torch.random.fork_rng():
        if model is None:
            torch.manual_seed(seed)
            config = ResNetConfig(
                hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], layer_type="basic", num_labels=classes
            )
            return ResNetForImageClassification(config)
        what = f"classifier.model: {model.name}"
        with loading(what, EXPECTED, FIX):
            head = _head(model.folder)
        torch.manual_seed(seed)
        network: torch.nn.Module = hub.load(
            AutoModelForImageClassification, model.folder, what, head.__contains__, num_labels=classes,
            trust_remote_code=False, dtype=torch.float32,
        )[0]  # fmt: skip
        return network


def _head(folder: Path) -> set[str]:
    """The names of the tensors whose shapes follow the number of classes."""

    def shapes(classes: int) -> dict[str, torch.Size]:
        config = AutoConfig.from_pretrained(folder, num_labels=classes, trust_remote_code=False)
        with torch.device("meta"):
            network = AutoModelForImageClassification.from_config(config, trust_remote_code=False)
        return {name: tensor.shape for name, tensor in network.state_dict().items()}

    two, three = shapes(2), shapes(3)
    return {name for name in two if two[name] != three[name]}


@dataclass(frozen=True)
class Recipe:
    """What a training run needs besides its arm and its images.

    model: the one to start from. classes: their number. steps: optimiser steps. precision: "bf16" or "fp32".
    """

    settings: Classifier
    model: hub.Model | None
    classes: int
    steps: int
    precision: str


@dataclass(frozen=True)
class Selection:
    """Images (N, H, W) uint8 and their labels (N,), scored every `every` steps: the best step's weights are used."""

    images: np.ndarray
    labels: np.ndarray
    every: int


def predict(
    training: TrainingSet, images: np.ndarray, *, recipe: Recipe, arm: Arm, seed: int, select: Selection | None = None
) -> np.ndarray:
    """Train a classifier, and predict `images` (M, H, W) uint8: probabilities (M, classes) float64.

    Cross-entropy, Adam, horizontal flips, normalisation (ImageNet's for pretrained models, else the training
    images' own), equally many optimiser steps for any number of images. The last step is scored, or, with `select`,
    the first of the steps with the highest accuracy on its images.
    """
    settings = recipe.settings
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = make_model(recipe.model, recipe.classes, seeding.derive(seed, "classifier"))
    network = network.train().to(device)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, fused=True)
    if recipe.model is None:
        mean = (training.images.mean() / 255,) * 3
        deviation = (max(training.images.std() / 255, 1e-3),) * 3
    else:
        mean, deviation = IMAGENET_MEAN, IMAGENET_DEVIATION
    shift = torch.tensor(mean, device=device, dtype=torch.float32).view(3, 1, 1)
    scale = torch.tensor(deviation, device=device, dtype=torch.float32).view(3, 1, 1)

    def prepared(grey: Tensor) -> Tensor:
        return ((grey.to(device) - shift) / scale).contiguous(memory_format=torch.channels_last)

    def to_float(pixels: Tensor) -> Tensor:
        return pixels[:, None].float() / 255

    @torch.no_grad()
    def probabilities(wanted: np.ndarray) -> np.ndarray:
        network.eval()
        parts = [network(prepared(to_float(x))).logits.float().softmax(1).cpu() for x in _batches(wanted)]
        network.train()
        return torch.cat(parts).double().numpy()

    rows = oversampled(training.labels) if arm.balance == "oversample" else np.arange(len(training.labels))
    pixels, labels = torch.tensor(training.images[rows]), torch.tensor(training.labels[rows])
    of_class = class_weights(training.labels, recipe.classes).to(device) if arm.balance == "weights" else None
    weights = torch.tensor(training.weights[rows], dtype=torch.float32)
    generator = torch.Generator().manual_seed(seeding.derive(seed, "classifier", "batches"))
    order = torch.empty(0, dtype=torch.long)
    best, result = -1.0, np.empty(0)
    for step in range(1, recipe.steps + 1):
        while len(order) < settings.batch:
            order = torch.cat([order, torch.randperm(len(pixels), generator=generator)])
        chosen, order = order[: settings.batch], order[settings.batch :]
        flipped = torch.rand(settings.batch, generator=generator) < 0.5
        inputs = to_float(pixels[chosen])
        targets = F.one_hot(labels[chosen], recipe.classes) * weights[chosen, None]  # the loss is linear in them
        inputs[flipped] = inputs[flipped].flip(-1)
        if augmented := AUGMENTATIONS.get(arm.augmentation):
            inputs = augmented(inputs, generator)
        if arm.mixup:
            inputs, targets = mixed(inputs, targets, arm.mixup, generator)
        with torch.autocast(device, torch.bfloat16, enabled=recipe.precision == "bf16"):
            logits = network(prepared(inputs)).logits
        loss = F.cross_entropy(logits.float(), targets.to(device), weight=of_class)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if select and (step % select.every == 0 or step == recipe.steps):
            right = float((probabilities(select.images).argmax(axis=1) == select.labels).mean())
            if right > best:
                best, result = right, probabilities(images)
    return result if select else probabilities(images)


def _batches(images: np.ndarray) -> Iterable[Tensor]:
    return torch.tensor(images).split(64)
