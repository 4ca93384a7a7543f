"""Feature networks: images to vectors."""

import hashlib
from collections.abc import Callable
from functools import cache
from importlib import resources
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, CLIPVisionModel, ResNetConfig, ResNetForImageClassification
from transformers.image_processing_base import ImageProcessingMixin

from sonosynth import store
from sonosynth.errors import UserError, loading

EMBEDDED = Path(str(resources.files("sonosynth.evaluation").joinpath("embedded")))
EMBEDDED_SIDE = 128
SAFE: Any = {"use_safetensors": True, "trust_remote_code": False}

Extractor = Callable[[np.ndarray], np.ndarray]
"""From images (N, H, W) uint8 grey to features (N, D) float64."""


def choose(setting: str) -> str:
    """The name of the network for a setting: "auto" is inception where torch-fidelity is installed, else embedded.

    Raises:
        UserError: if inception is asked for without torch-fidelity, or a model of transformers can't be loaded.
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
    if setting not in ("inception", "embedded"):
        _preprocessing(setting)
    return setting


def identity(name: str) -> str:
    """What the key of a stage has to hold so that other weights of the network `name` are noticed."""
    if name == "inception":
        return f"torch-fidelity {version('torch-fidelity')}"
    folder = EMBEDDED if name == "embedded" else Path(name)
    return store.digest(folder) if folder.is_dir() else name


def describe(name: str) -> str:
    """The Fréchet distance on the features of `name`, in words: only inception's is an FID."""
    if name == "inception":
        return "Fréchet distance on Inception features (FID)"
    whose = "the embedded network's features" if name == "embedded" else f"the features of {name}"
    return f"Fréchet distance on {whose}; not an FID, not comparable with published ones"


def extractor(name: str) -> Extractor:
    """The feature network called `name`: embedded, inception, or a vision model of transformers by id or folder.

    Raises:
        UserError: if it can't be loaded.
    """
    if name == "embedded":
        return _embedded()
    return _inception() if name == "inception" else _transformers(name)


def remembering(name: str, folder: Path) -> Extractor:
    """`extractor(name)`, asked once about an image: its features are kept by its content in a file in `folder`."""
    file = folder / f"{hashlib.sha256(identity(name).encode()).hexdigest()[:16]}.safetensors"
    known: dict[bytes, np.ndarray] = {}
    if file.exists():
        stored = safetensors.numpy.load_file(file)
        known = dict(zip(map(bytes, stored["image"]), stored["features"], strict=True))
    network = cache(lambda: extractor(name))  # loaded if there is an image that it has not seen

    def features(images: np.ndarray) -> np.ndarray:
        keys = [hashlib.sha256(repr(image.shape).encode() + image.tobytes()).digest() for image in images]
        new = {key: row for row, key in enumerate(keys) if key not in known}
        if new:
            # The networks work in float32: nothing is lost.
            known.update(zip(new, network()(images[list(new.values())]).astype(np.float32), strict=True))
            tensors = {
                "image": np.stack([np.frombuffer(key, np.uint8) for key in known]),
                "features": np.stack(list(known.values())),
            }
            store.write_bytes(file, safetensors.numpy.save(tensors))
        return np.stack([known[key] for key in keys]).astype(np.float64)

    return features


def _embedded() -> Extractor:
    network = ResNetForImageClassification.from_pretrained(
        EMBEDDED, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
    ).eval()
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


def _preprocessing(name: str) -> dict[str, Any]:
    """The side, mean and deviation of a vision model's input, from its preprocessor_config.json.

    Read as data: the processors of transformers need torchvision.
    """
    with loading(
        f"fidelity.features: {name}",
        "auto, embedded, inception, or a vision model of transformers with a preprocessor_config.json",
        "give the folder of a download, or fidelity.features=embedded",
    ):
        given, _ = ImageProcessingMixin.get_image_processor_dict(name)
        size = given.get("crop_size") or given["size"]
        side = size if isinstance(size, int) else size.get("height") or size["shortest_edge"]
        return {"side": int(side), "mean": given["image_mean"], "deviation": given["image_std"]}


def _transformers(name: str) -> Extractor:
    """A vision model's pooled output, or the mean of its last hidden state; whole images, no crop."""
    wanted = _preprocessing(name)
    with loading(f"fidelity.features: {name}", "a vision model of transformers with safetensors"):
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
        loader = CLIPVisionModel if config.model_type == "clip" else AutoModel
        network = loader.from_pretrained(
            name, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
        ).eval()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.to(device)
    mean, deviation = (torch.tensor(wanted[key]).view(-1, 1, 1) for key in ("mean", "deviation"))

    @torch.no_grad()
    def features(images: np.ndarray) -> np.ndarray:
        parts = []
        for some in torch.from_numpy(images).split(32):
            inputs = (_resized(some.float()[:, None], wanted["side"]) / 255 - mean) / deviation
            outputs = network(pixel_values=inputs.to(device))
            pooled = getattr(outputs, "pooler_output", None)
            parts.append((outputs.last_hidden_state.mean(dim=1) if pooled is None else pooled.flatten(1)).cpu())
        return torch.cat(parts).double().numpy()

    return features


def _prepared(images: np.ndarray) -> Tensor:
    """(N, 1, 128, 128) float of (N, H, W) uint8."""
    return _resized(torch.from_numpy(images).float()[:, None], EMBEDDED_SIDE) / 127.5 - 1


def _resized(pixels: Tensor, side: int) -> Tensor:
    """(N, 1, side, side) of (N, 1, H, W), 0 to 255."""
    if pixels.shape[-2:] == (side, side):
        return pixels
    return F.interpolate(pixels, (side, side), mode="bicubic", antialias=True).clamp(0, 255)


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
