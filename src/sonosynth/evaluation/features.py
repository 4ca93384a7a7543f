"""Feature networks: images to vectors."""

from collections.abc import Callable
from importlib import resources
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import functional as F
from transformers import ResNetConfig, ResNetForImageClassification

from sonosynth import store
from sonosynth.errors import UserError

EMBEDDED = Path(str(resources.files("sonosynth.evaluation").joinpath("embedded")))
EMBEDDED_SIDE = 128

Extractor = Callable[[np.ndarray], np.ndarray]
"""From images (N, H, W) uint8 grey to features (N, D) float64."""


def choose(setting: str) -> str:
    """ "inception" or "embedded"; "auto" is inception where torch-fidelity is installed.

    Raises:
        UserError: if inception is asked for without torch-fidelity.
    """
    installed = find_spec("torch_fidelity") is not None and find_spec("torchvision") is not None
    if setting == "auto":
        return "inception" if installed else "embedded"
    if setting == "inception" and not installed:
        raise UserError(
            "fidelity.features: inception needs torch-fidelity, which is not installed here",
            "fidelity.features=embedded, or torch-fidelity",
            "python -m pip install 'sonosynth[inception]'",
        )
    return setting


def identity(name: str) -> str:
    """What the key of a stage has to hold so that other weights of the network `name` are noticed."""
    return store.digest(EMBEDDED) if name == "embedded" else f"torch-fidelity {version('torch-fidelity')}"


def extractor(name: str) -> Extractor:
    """The feature network called `name`."""
    return EXTRACTORS[name]()


def _embedded() -> Extractor:
    network = ResNetForImageClassification.from_pretrained(EMBEDDED, use_safetensors=True, dtype=torch.float32).eval()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.to(device)

    @torch.no_grad()
    def features(images: np.ndarray) -> np.ndarray:
        parts = [network.resnet(_prepared(images[i : i + 64]).to(device)) for i in range(0, len(images), 64)]
        return torch.cat([part.pooler_output.flatten(1).cpu() for part in parts]).double().numpy()

    return features


def _inception() -> Extractor:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    try:
        network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    except OSError as error:
        raise UserError(
            f"fidelity.features: the weights of inception can't be fetched ({error})",
            "a network connection at the first use",
            "fidelity.features=embedded",
        ) from None
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.to(device).eval()

    @torch.no_grad()
    def features(images: np.ndarray) -> np.ndarray:
        rgb = torch.from_numpy(images)[:, None].expand(-1, 3, -1, -1)
        return torch.cat([network(part.to(device))[0].cpu() for part in rgb.split(32)]).double().numpy()

    return features


EXTRACTORS: dict[str, Callable[[], Extractor]] = {"embedded": _embedded, "inception": _inception}


def _prepared(images: np.ndarray) -> Tensor:
    """(N, 1, 128, 128) float of (N, H, W) uint8."""
    pixels = torch.from_numpy(images).float()[:, None]
    if pixels.shape[-2:] != (EMBEDDED_SIDE, EMBEDDED_SIDE):
        pixels = F.interpolate(pixels, (EMBEDDED_SIDE, EMBEDDED_SIDE), mode="bicubic", antialias=True).clamp(0, 255)
    return pixels / 127.5 - 1


def embedded_network(outputs: int) -> ResNetForImageClassification:
    """The architecture of the embedded feature network: a narrow ResNet-18 with 128 features."""
    return ResNetForImageClassification(
        ResNetConfig(
            num_channels=1,
            embedding_size=24,
            hidden_sizes=[24, 48, 96, 128],
            depths=[2, 2, 2, 2],
            layer_type="basic",
            num_labels=outputs,
        )
    )


def features_loss(
    images: np.ndarray, kinds: np.ndarray, measures: np.ndarray, accelerator: Accelerator, seed: int
) -> tuple[ResNetForImageClassification, Callable[[Tensor, torch.Generator], Tensor]]:
    """The untrained embedded network, and the loss that it is pretrained with on simulated images.

    It has to tell what kind of lesion there is and how the image was taken: cross-entropy of the kind, and
    the squared error of the (standardised) measures.

    Args:
        images: (N, H, W) uint8. kinds: (N,) int. measures: (N, M) float, for example frequency and depth.
    """
    classes = int(kinds.max()) + 1
    torch.manual_seed(seed)
    network = embedded_network(classes + measures.shape[1]).to(accelerator.device).train()
    targets = torch.from_numpy(kinds)
    standard = torch.from_numpy((measures - measures.mean(axis=0)) / measures.std(axis=0)).float()

    def loss_of(indices: Tensor, generator: torch.Generator) -> Tensor:
        inputs = _prepared(images[indices.numpy()]).to(accelerator.device)
        if torch.rand((), generator=generator) < 0.5:
            inputs = inputs.flip(-1)
        outputs = network(inputs).logits.float().cpu()
        told = F.cross_entropy(outputs[:, :classes], targets[indices])
        return told + F.mse_loss(outputs[:, classes:], standard[indices])

    return network, loss_of


@torch.no_grad()
def settle(network: ResNetForImageClassification, images: np.ndarray, accelerator: Accelerator) -> None:
    """Set the batch statistics from `images` with the final weights.

    A resumed training has not seen the batches before its checkpoint, so running statistics would depend on it.
    """
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
    network.train()
    for start in range(0, min(len(images), 1280), 64):
        network(_prepared(images[start : start + 64]).to(accelerator.device))
    network.eval()
