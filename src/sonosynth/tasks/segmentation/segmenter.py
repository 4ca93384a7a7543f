"""The segmenter, trained for one arm with one seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import update_bn

from sonosynth import device, seeding
from sonosynth.errors import UserError
from sonosynth.tasks.arms import Arm
from sonosynth.tasks.augmentation import classical_pairs
from sonosynth.tasks.draws import scheduled, settling
from sonosynth.tasks.optimising import adam
from sonosynth.tasks.segmentation.settings import Segmenter
from sonosynth.tasks.training_set import TrainingSet

CHANNELS = (16, 16, 32, 64, 128, 16)  # before and after each halving of the image, and of the last layers
AT_ONCE = 64  # images without gradients, at most


@dataclass(frozen=True)
class Recipe:
    """What a training run needs besides its arm and its images.

    steps: optimiser steps. precision: "bf16"; others train in float32. mirror: whether every second image is flipped
    sideways. speckle: whether the classical augmentation has some.
    """

    settings: Segmenter
    steps: int
    precision: str
    mirror: bool = True
    speckle: bool = True


def train(training: TrainingSet, *, recipe: Recipe, arm: Arm, seed: int) -> "Trained":
    """Train a segmenter on images and their masks.

    The sum of cross-entropy and soft Dice, the latter over all pixels of a batch, so that it needs no rule for images
    without a lesion (as nnU-Net, Isensee et al., Nature Methods 2021); Adam, horizontal flips, equally many optimiser
    steps for any number of images. Its weights are those of the last step; if the arm settles them, batch statistics
    are as of `settling`.

    Raises:
        ValueError: if the arm has a share, and no real or no synthetic images of a class; or if there are no masks.
    """
    if training.masks is None:
        raise ValueError("a segmenter is trained on images with masks")
    settings, place = recipe.settings, device.best()
    model = unet(seeding.derive(seed, "segmenter")).train().to(place)
    trained = Trained.fitting(model, training, place)
    optimizer, schedule = adam(model, settings.learning_rate, "cosine", recipe.steps)
    loss_of = _loss()
    pixels, masks = (torch.from_numpy(np.ascontiguousarray(x)).to(place) for x in (training.images, training.masks))
    generator = torch.Generator().manual_seed(seeding.derive(seed, "segmenter", "batches"))
    order = scheduled(training, arm, recipe.steps * settings.batch, seeding.derive(seed, "order"))
    for chosen in torch.from_numpy(order).split(settings.batch):
        flipped = (torch.rand(settings.batch, generator=generator) < 0.5).to(place)[:, None, None, None]
        inputs, targets = pixels[chosen.to(place)][:, None].float() / 255, masks[chosen.to(place)][:, None].float()
        if recipe.mirror:
            inputs, targets = (torch.where(flipped, x.flip(-1), x) for x in (inputs, targets))
        if arm.augmentation == "classical":
            inputs, targets = classical_pairs(inputs, targets, generator, speckle=recipe.speckle)
        with torch.autocast(place.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            logits = model(trained.prepared(inputs))
        loss = loss_of(logits.float(), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    if arm.settle:
        update_bn(trained.batches(training.images[settling(training, arm.balance)]), model)
    return trained


@dataclass(frozen=True)
class Trained:
    """A segmenter: a model that turns levels (B, 1, H, W), less `shift` and over `scale`, into logits of that shape."""

    model: torch.nn.Module
    shift: float
    scale: float
    place: torch.device

    @classmethod
    def fitting(cls, model: torch.nn.Module, training: TrainingSet, place: torch.device) -> "Trained":
        """With the normalisation of the training images."""
        return cls(model, training.images.mean() / 255, max(training.images.std() / 255, 1e-3), place)

    def prepared(self, levels: Tensor) -> Tensor:
        """Grey levels (B, 1, H, W), 0 to 1, as the model takes them."""
        return (levels - self.shift) / self.scale

    @torch.no_grad()
    def masks(self, images: np.ndarray) -> np.ndarray:
        """The predicted masks (N, H, W) uint8, 0 or 1, of images (N, H, W) uint8."""
        self.model.eval()
        parts = [(self.model(batch) > 0).cpu().to(torch.uint8)[:, 0] for batch in self.batches(images)]
        return torch.cat(parts).numpy() if parts else np.empty(images.shape, np.uint8)

    def batches(self, images: np.ndarray) -> Iterator[Tensor]:
        """Images (N, H, W) uint8 as the model takes them."""
        for start in range(0, len(images), AT_ONCE):
            some = torch.tensor(images[start : start + AT_ONCE]).to(self.place)
            yield self.prepared(some[:, None].float() / 255)


def unet(seed: int) -> torch.nn.Module:
    """MONAI's plain U-Net (Falk et al., Nature Methods 2019) for grey images, with random weights.

    Its last layers are convolutions at full resolution; masks of `monai.networks.nets.UNet`, without any, get specks.
    Batches are normalised, not images: on its own, the noise of an image without a lesion would look like one.
    """
    from monai.networks.nets.basic_unet import BasicUNet  # noqa: PLC0415 (an extra)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: torch.nn.Module = BasicUNet(
            spatial_dims=2, in_channels=1, out_channels=1, features=CHANNELS, norm="batch"
        )
        return model


def check_installed() -> None:
    """Raise UserError unless MONAI is there."""
    if find_spec("monai") is None:
        raise UserError(
            "segmenters (tasks: segmentation, and sets with a condition) need MONAI, which is not installed",
            fix="python -m pip install -c constraints.txt '.[segmentation]'",
        )


def _loss() -> torch.nn.Module:
    from monai.losses.dice import DiceCELoss  # noqa: PLC0415 (an extra)

    loss: torch.nn.Module = DiceCELoss(sigmoid=True, batch=True)
    return loss
