"""Diagnostic encoders: small classifiers of latents, and what they say of the latents that a U-Net predicts.

They are cross-fitted: each image is judged by the encoder that was trained without it and its group, since an encoder
knows its own training images by heart. They judge latents, for decoding at every step would cost more than the U-Net.
A LoRA can also learn to please an encoder without showing more of the class: only others can say whether it does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import safetensors.torch
import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from sonosynth import disk, seeding
from sonosynth.adapters.training import Schedule, make_accelerator, train
from sonosynth.bases.latents import Latents

FOLDS = 3
WIDTHS = (32, 64, 128)
SCHEDULE = Schedule(steps=200, batch=32, learning_rate=1e-3, warmup=20, decay=True)
NOISE = 1.0
"""Standard deviation of the noise on the latents that an encoder learns from, at most; their own is about 1.

On 390 BUSI images (64 pixels, embedded base), it took the cross-entropy of unseen images' latents, as the base predicts
them at `LOW`, from 1.26 to 1.03, where guessing has 1.10, and macro F1 from 0.56 to 0.61.
"""
LOW = 0.5
"""The least alphas_cumprod that counts as a low noise level: there, the signal-to-noise ratio alphas_cumprod /
(1 - alphas_cumprod) (Kingma et al., NeurIPS 2021, eq. 2) is at least 1. With more noise, predicted latents are blurred
means, of which encoders know less; without any signal, a predicted noise determines no latent at all."""


@dataclass(frozen=True)
class Encoders:
    """The encoders of N images: `networks[fold]` takes latents (B, C, h, w) to logits (B, K).

    It was trained without the images of that fold. folds, labels: (N,) int64, of each image.
    """

    networks: Sequence[nn.Module]
    folds: Tensor
    labels: Tensor

    def logits(self, latents: Tensor, indices: Tensor) -> Tensor:
        """What the encoders that don't know the images `indices` (B,) say of latents (B, C, h, w) of theirs: (B, K)."""
        every = torch.stack([network(latents) for network in self.networks])
        return every[self.folds[indices].to(latents.device), torch.arange(len(indices), device=latents.device)]

    def errors(self, latents: Tensor, indices: Tensor) -> Tensor:
        """Cross-entropy (B,) of the `logits` with the labels of the images; in float32 under any autocast."""
        with torch.autocast(latents.device.type, enabled=False):
            found = self.logits(latents.float(), indices)
            return F.cross_entropy(found, self.labels[indices].to(found.device), reduction="none")

    def to(self, place: torch.device) -> "Encoders":
        """The same, with the networks moved to a device."""
        return Encoders([network.to(place) for network in self.networks], self.folds, self.labels)

    def save(self, path: Path) -> None:
        """Write them to a safetensors file."""
        tensors = {"folds": self.folds, "labels": self.labels}
        for number, network in enumerate(self.networks):
            tensors |= {f"{number}.{name}": x.cpu().contiguous() for name, x in network.state_dict().items()}
        disk.write_bytes(path, safetensors.torch.save(tensors))

    @classmethod
    def load(cls, path: Path) -> "Encoders":
        """The encoders that `save` wrote, frozen, on the CPU."""
        tensors = safetensors.torch.load_file(path)
        folds, labels = tensors.pop("folds"), tensors.pop("labels")
        networks = []
        for number in range(FOLDS):
            own = {name.partition(".")[2]: x for name, x in tensors.items() if name.startswith(f"{number}.")}
            network = make(own["0.weight"].shape[1], int(labels.max()) + 1, 0)
            network.load_state_dict(own)
            networks.append(network.requires_grad_(False).eval())
        return cls(networks, folds, labels)


def make(channels: int, classes: int, seed: int) -> nn.Module:
    """An untrained encoder of latents of any size: convolutions that halve it, their mean, and a linear layer."""
    layers: list[nn.Module] = []
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for before, after in pairwise((channels, *WIDTHS)):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(8, after), nn.SiLU()]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTHS[-1], classes))


def cross_fit(latents: Latents, labels: Tensor, folds: Tensor, *, seed: int, work: Path) -> Encoders:
    """Train an encoder for each fold on the images of the others, every class equally often.

    Args:
        latents: of N images. labels: 0 to K - 1, (N,). folds: 0 to `FOLDS` - 1, (N,); every class is in each. work: the
            folder for checkpoints.
    """
    networks = [_train(latents, labels, folds != fold, fold, seed=seed, work=work) for fold in range(FOLDS)]
    return Encoders(networks, folds, labels)


def _train(latents: Latents, labels: Tensor, seen: Tensor, fold: int, *, seed: int, work: Path) -> nn.Module:
    accelerator = make_accelerator("fp32")
    classes = labels.unique()
    network = make(latents.mean.shape[1], len(classes), seeding.derive(seed, "encoder", fold)).to(accelerator.device)

    def loss_of(indices: Tensor, generator: torch.Generator) -> Tensor:
        clean = latents.sample(indices, generator)
        level = NOISE * torch.rand(len(clean), 1, 1, 1, generator=generator)
        noisy = clean + level * torch.randn(clean.shape, generator=generator)
        found = network(noisy.to(accelerator.device))
        return F.cross_entropy(found, labels[indices].to(accelerator.device))

    strata = [((labels == label) & seen).nonzero()[:, 0] for label in classes]
    train(
        f"diagnostic encoder {fold + 1} of {FOLDS}", list(network.parameters()), loss_of, strata, SCHEDULE,
        accelerator=accelerator, seed=seed, checkpoint=work / f"encoder {fold}.safetensors",
    )  # fmt: skip
    return network.requires_grad_(False).eval()


def predicted_clean(scheduler: DDPMScheduler, noisy: Tensor, predicted: Tensor, times: Tensor) -> Tensor:
    """The clean latents (B, C, h, w) that a U-Net predicts in `noisy` ones at `times` (B,).

    Args:
        predicted: its output: the noise (Ho et al., NeurIPS 2020, eq. 15, solved for the clean image) or, if the
            scheduler says so, the velocity (Salimans and Ho, ICLR 2022, appendix D).
    """
    alpha = scheduler.alphas_cumprod[times].to(noisy.device)[:, None, None, None]
    if scheduler.config.prediction_type == "v_prediction":
        return alpha.sqrt() * noisy - (1 - alpha).sqrt() * predicted
    return (noisy - (1 - alpha).sqrt() * predicted) / alpha.sqrt()


def low_noise(scheduler: DDPMScheduler, times: Tensor) -> Tensor:
    """Which of the `times` (B,) have a low noise level: see `LOW`."""
    found: Tensor = scheduler.alphas_cumprod[times] >= LOW
    return found
