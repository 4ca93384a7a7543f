"""Feature networks: images to vectors."""

from dataclasses import dataclass
from importlib import import_module, resources
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, CLIPVisionModel, ResNetForImageClassification
from transformers.image_processing_base import ImageProcessingMixin

from sonosynth import device, disk, hub
from sonosynth.errors import UserError, loading
from sonosynth.fidelity import installed
from sonosynth.fidelity.installed import Extractor
from sonosynth.installed import is_function
from sonosynth.section import AUTO, NO_EFFECT

EMBEDDED, INCEPTION = "embedded", "inception"
EMBEDDED_FOLDER = Path(str(resources.files("sonosynth.weights").joinpath("features")))
EMBEDDED_SIDE, MAX_SIDE = 128, 4096
EXPECTED = (
    "auto, embedded, inception, module:name of a function, or a transformers vision model with a"
    " preprocessor_config.json"
)
FIX = "give a downloaded folder, or fidelity.features=embedded"


@dataclass(frozen=True)
class Network:
    """A feature network: "embedded", "inception", the name of a transformers vision model, or module:name of a function
    of an installed package; where it is stored, and a digest that changes with its weights or its code."""

    name: str
    folder: Annotated[Path | None, NO_EFFECT]
    digest: str


def resolve(setting: str) -> Network:
    """The network for a setting: "auto" is inception where torch-fidelity is installed, else embedded.

    Raises:
        UserError: if inception is asked for without torch-fidelity, or a transformers model or a function is not
            available, lacks weights, or does not describe images by vectors.
    """
    has_inception = find_spec("torch_fidelity") is not None and find_spec("torchvision") is not None
    name = (INCEPTION if has_inception else EMBEDDED) if setting == AUTO else setting
    if name == EMBEDDED:
        return Network(name, EMBEDDED_FOLDER, disk.digest(EMBEDDED_FOLDER, hub.FILES))
    if name == INCEPTION:
        if not has_inception:
            raise UserError(
                "fidelity.features: inception needs torch-fidelity, which is not installed here",
                "fidelity.features=embedded, or torch-fidelity",
                "python -m pip install 'sonosynth[inception]'",
            )
        return Network(name, None, f"torch-fidelity {version('torch-fidelity')}")
    if is_function(name):
        network = Network(name, None, installed.digest(name))
        installed.check(name)
        return network
    found = hub.resolve(name, "fidelity.features", EXPECTED, FIX)
    _check(found.folder)
    return Network(name, found.folder, found.digest)


def features(images: np.ndarray, network: str = EMBEDDED) -> np.ndarray:
    """Features (N, D) float32 of images (N, H, W) uint8 grey.

    Args:
        network: as `fidelity.features` names it: embedded, inception, a transformers vision model, or module:name.

    Raises:
        ValueError: if the images are of another shape or type.
        UserError: if the network is not available.
    """
    if images.ndim != 3 or images.dtype != np.uint8:
        raise ValueError(f"images are {images.shape} {images.dtype}; (N, H, W) uint8 grey is expected")
    return extractor(resolve(network))(np.array(images))  # a copy: torch wants a writable array


def extractor(network: Network) -> Extractor:
    """Load a feature network.

    Raises:
        UserError: if it can't be loaded.
    """
    if network.name == EMBEDDED:
        return _embedded()
    if network.name == INCEPTION:
        return _inception()
    if network.folder is None:
        return installed.extractor(network.name)
    return _transformers(network.folder, device.best())


def _embedded() -> Extractor:
    network = ResNetForImageClassification.from_pretrained(
        EMBEDDED_FOLDER, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
    ).eval()
    place = device.best()
    network.to(place)

    @torch.no_grad()
    def extract(images: np.ndarray) -> np.ndarray:
        parts = [network.resnet(prepared(images[i : i + 64]).to(place)) for i in range(0, len(images), 64)]
        return torch.cat([part.pooler_output.flatten(1).cpu() for part in parts]).float().numpy()

    return extract


def _inception() -> Extractor:
    module = import_module("torch_fidelity.feature_extractor_inceptionv3")  # an extra
    try:
        network = module.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    except OSError as error:
        raise UserError(
            f"fidelity.features: the weights of inception can't be fetched ({error})",
            "a network connection on first use",
            "fidelity.features=embedded",
        ) from None
    place = device.best()
    network.to(place).eval()

    @torch.no_grad()
    def extract(images: np.ndarray) -> np.ndarray:
        rgb = torch.from_numpy(images)[:, None].expand(-1, 3, -1, -1)
        return torch.cat([network(part.to(place))[0].cpu() for part in rgb.split(32)]).float().numpy()

    return extract


def _check(folder: Path) -> None:
    """Raise UserError unless the model in `folder` makes a vector of an image."""
    extract = _transformers(folder, torch.device("cpu"))
    with loading(f"fidelity.features: {folder}", EXPECTED, FIX):
        found = extract(np.zeros((1, EMBEDDED_SIDE, EMBEDDED_SIDE), np.uint8))
        if found.ndim != 2 or not np.isfinite(found).all():
            raise ValueError(f"an image becomes numbers of the shape {found.shape[1:]}, or no numbers")


def _preprocessing(folder: Path) -> dict[str, Any]:
    """The side, mean and deviation of a vision model's input, from its preprocessor_config.json.

    Read as plain data: the processors of transformers need torchvision.
    """
    with loading(f"fidelity.features: {folder}", EXPECTED, FIX):
        given, _ = ImageProcessingMixin.get_image_processor_dict(folder)
        size = given.get("crop_size") or given["size"]
        side = size if isinstance(size, int) else size.get("height") or size["shortest_edge"]
        if not 0 < int(side) <= MAX_SIDE:
            raise ValueError(f"its preprocessor_config.json has the size {side}")
        return {"side": int(side), "mean": given["image_mean"], "deviation": given["image_std"]}


def _of_pooler(tensor: str) -> bool:
    """Whether a tensor belongs to a vision model's pooler, which the checkpoints of classifiers lack."""
    return tensor.startswith("pooler.")


def _transformers(folder: Path, place: torch.device) -> Extractor:
    """A vision model's pooled output or, if it has no trained pooler, the mean of its last hidden state; no crop."""
    wanted, what = _preprocessing(folder), f"fidelity.features: {folder}"
    with loading(what, EXPECTED, FIX):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        mean, deviation = (torch.tensor(wanted[key]).view(-1, 1, 1) for key in ("mean", "deviation"))
    kind = CLIPVisionModel if config.model_type == "clip" else AutoModel
    network, new = hub.load(kind, folder, what, _of_pooler, trust_remote_code=False, dtype=torch.float32)
    has_pooler = not any(map(_of_pooler, new))
    network.eval().to(place)

    @torch.no_grad()
    def extract(images: np.ndarray) -> np.ndarray:
        parts = []
        for some in torch.from_numpy(images).split(32):
            inputs = (_resized(some.float()[:, None], wanted["side"]) / 255 - mean) / deviation
            outputs = network(pixel_values=inputs.to(place))
            pooled = getattr(outputs, "pooler_output", None) if has_pooler else None
            parts.append((outputs.last_hidden_state.mean(dim=1) if pooled is None else pooled.flatten(1)).cpu())
        return torch.cat(parts).float().numpy()

    return extract


def prepared(images: np.ndarray) -> Tensor:
    """(N, 1, 128, 128) float of (N, H, W) uint8."""
    return _resized(torch.from_numpy(images).float()[:, None], EMBEDDED_SIDE) / 127.5 - 1


def _resized(pixels: Tensor, side: int) -> Tensor:
    """(N, 1, side, side) of (N, 1, H, W), 0 to 255."""
    if pixels.shape[-2:] == (side, side):
        return pixels
    return F.interpolate(pixels, (side, side), mode="bicubic", antialias=True).clamp(0, 255)
