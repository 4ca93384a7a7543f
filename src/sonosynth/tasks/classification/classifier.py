"""The classifier of the ablation, trained for one arm with one seed."""

import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, update_bn

from sonosynth import device, seeding
from sonosynth.tasks.arms import Arm
from sonosynth.tasks.augmentation import classical
from sonosynth.tasks.classification import models
from sonosynth.tasks.classification.models import Network, Start
from sonosynth.tasks.classification.remedies import class_weights, mixed
from sonosynth.tasks.classification.settings import Classifier
from sonosynth.tasks.classification.trivial import trivial
from sonosynth.tasks.draws import scheduled, settling
from sonosynth.tasks.optimising import adam
from sonosynth.tasks.training_set import TrainingSet

Augmentation = Callable[[Tensor, torch.Generator], Tensor]
AT_ONCE = 64  # images without gradients, at most


@dataclass(frozen=True)
class Recipe:
    """What a training run needs besides its arm and its images.

    start: the model to start from. classes: their number. steps: optimiser steps. precision: "bf16"; others
    train in float32, fp16 too, which lacks the range for training without loss scaling.
    """

    settings: Classifier
    start: Start
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
    """Train a classifier, and predict `images` (M, H, W) uint8: probabilities (M, classes) float64; see `train`."""
    return train(training, recipe=recipe, arm=arm, seed=seed, select=select).probabilities(images)


def train(
    training: TrainingSet, *, recipe: Recipe, arm: Arm, seed: int, select: Selection | None = None
) -> "Trained":  # fmt: skip
    """Train a classifier.

    Cross-entropy, Adam, horizontal flips unless `mirror` is off, normalisation as of the model's own training, equally
    many optimiser steps for any number of images. Its weights are those of the last step; or, with `average`, their
    mean over that last share of the steps (Izmailov et al., UAI 2018); or, with `select`, those of the first of the
    steps with the highest accuracy on its images. With `average`, or if the arm settles them, batch statistics are as
    of `settling`.

    Raises:
        ValueError: if the arm has a share, and no real or no synthetic images of a class.
    """
    settings, place = recipe.settings, device.best()
    network = models.make(recipe.start, recipe.classes, seeding.derive(seed, "classifier"))
    network.module.train().to(place, memory_format=torch.channels_last)  # type: ignore[call-overload]
    preprocessor = Preprocessor.fitting(network, training, place)
    optimizer, schedule = adam(network.module, settings.learning_rate, settings.schedule, recipe.steps)
    averaged = AveragedModel(network.module) if settings.average else None
    average_from = recipe.steps - math.ceil(settings.average * recipe.steps)

    pixels = torch.from_numpy(np.ascontiguousarray(training.images)).to(place)
    counted = training.labels if arm.share is None else training.labels[~training.synthetic]
    of_class = class_weights(counted, recipe.classes).to(place) if arm.balance == "weights" else None
    targets_of = torch.tensor(training.targets).float()
    augmentations: dict[str, Augmentation] = {
        "classical": partial(classical, speckle=settings.speckle), "trivial": trivial,
    }  # fmt: skip
    generator = torch.Generator().manual_seed(seeding.derive(seed, "classifier", "batches"))
    order = scheduled(training, arm, recipe.steps * settings.batch, seeding.derive(seed, "order"))
    best, best_network = -1.0, network

    def settled(module: torch.nn.Module) -> Network:
        update_bn(preprocessor.batches(training.images[settling(training, arm.balance)]), module)
        return Network(module, network.normalisation)

    for step, chosen in enumerate(torch.from_numpy(order).split(settings.batch), 1):
        flipped = (torch.rand(settings.batch, generator=generator) < 0.5).to(place)
        inputs, targets = preprocessor.levels(pixels[chosen.to(place)]), targets_of[chosen]
        if settings.mirror:
            inputs = torch.where(flipped[:, None, None, None], inputs.flip(-1), inputs)
        if augmented := augmentations.get(arm.augmentation):
            inputs = augmented(inputs, generator)
        if arm.mixup:
            inputs, targets = mixed(inputs, targets, arm.mixup, generator)
        with torch.autocast(place.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            logits = network.logits(preprocessor.prepared(inputs))
        loss = F.cross_entropy(logits.float(), targets.to(place), weight=of_class)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if averaged and step > average_from:
            averaged.update_parameters(network.module)
        if select and (step % select.every == 0 or step == recipe.steps):
            now = settled(deepcopy(network.module)) if arm.settle else network
            right = float((preprocessor.probabilities(now, select.images).argmax(axis=1) == select.labels).mean())
            if right > best:
                best, best_network = right, now if arm.settle else deepcopy(network)
    if select:
        return Trained(best_network, preprocessor)
    if averaged or arm.settle:
        network = settled(averaged.module if averaged else network.module)
    return Trained(network, preprocessor)


@dataclass(frozen=True)
class Preprocessor:
    """Turns grey images into what a network is shown: levels less `shift`, over `scale`, each (C, 1, 1) on `place`."""

    shift: Tensor
    scale: Tensor
    place: torch.device

    @classmethod
    def fitting(cls, network: Network, training: TrainingSet, place: torch.device) -> "Preprocessor":
        """Without a normalisation of its own, a network gets the training images', in three channels."""
        own = ((training.images.mean() / 255,) * 3, (max(training.images.std() / 255, 1e-3),) * 3)
        shift, scale = (
            torch.tensor(x, device=place, dtype=torch.float32).view(-1, 1, 1) for x in network.normalisation or own
        )
        return cls(shift, scale, place)

    def levels(self, pixels: Tensor) -> Tensor:
        """Grey levels (B, 1, H, W), 0 to 1, of (B, H, W) uint8."""
        return pixels[:, None].float() / 255

    def prepared(self, levels: Tensor) -> Tensor:
        """(B, C, H, W), normalised, of grey levels (B, 1, H, W)."""
        return ((levels - self.shift) / self.scale).contiguous(memory_format=torch.channels_last)

    def batches(self, images: np.ndarray) -> Iterator[Tensor]:
        """Images (N, H, W) uint8, prepared, in equal parts: in the statistics of batches each part counts alike."""
        for some in torch.tensor(images).tensor_split(max(1, math.ceil(len(images) / AT_ONCE))):
            yield self.prepared(self.levels(some.to(self.place)))

    @torch.no_grad()
    def probabilities(self, network: Network, images: np.ndarray) -> np.ndarray:
        """(N, classes) float64 of images (N, H, W) uint8; the network is in training mode again afterwards."""
        network.module.eval()
        parts = [network.logits(batch).float().softmax(1).cpu() for batch in self.batches(images)]
        network.module.train()
        return torch.cat(parts).double().numpy()


@dataclass(frozen=True)
class Trained:
    """A trained classifier."""

    network: Network
    preprocessor: Preprocessor

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Of each class (N, classes) float64, of images (N, H, W) uint8."""
        return self.preprocessor.probabilities(self.network, images)
