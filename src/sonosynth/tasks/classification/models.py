"""The networks that classifiers start from."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForImageClassification, ResNetConfig, ResNetForImageClassification

from sonosynth import disk, hub, installed
from sonosynth.errors import UserError, first_line, loading
from sonosynth.fidelity.networks import EMBEDDED, EMBEDDED_FOLDER
from sonosynth.section import NO_EFFECT
from sonosynth.tasks.classification.settings import RANDOM

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALVES = (0.5,), (0.5,)
"""Mean and deviation of each channel."""

EXPECTED = (
    "embedded, resnet-18, a transformers image classifier with safetensors by hub id or folder, or module:name of a"
    " function that takes the number of classes and returns a torch module"
)
FIX = "give a downloaded folder, or classifier.model=embedded"


@dataclass(frozen=True)
class Start:
    """What a classifier starts from: "embedded", "resnet-18" (random weights), a transformers model, or module:name.

    folder: of its weights; None for random weights and functions. digest: changes with its weights or its code.
    """

    name: Annotated[str, NO_EFFECT]
    folder: Annotated[Path | None, NO_EFFECT]
    digest: str


@dataclass(frozen=True)
class Network:
    """A network that is shown normalised images (B, C, S, S), and its normalisation.

    mean, deviation: of each channel, in grey levels from 0 to 1; None: those of the training images.
    """

    module: torch.nn.Module
    normalisation: tuple[Sequence[float], Sequence[float]] | None

    def logits(self, images: Tensor) -> Tensor:
        """(B, K) of (B, C, S, S)."""
        found = self.module(images)
        return found if isinstance(found, Tensor) else found.logits


def resolve(name: str) -> Start:
    """The start called `name`, found on this machine.

    Raises:
        UserError: if there is no such model, it has no safetensors, or it can't be made: see `make`.
    """
    if name == RANDOM:
        return Start(name, None, RANDOM)
    if name == EMBEDDED:
        return Start(name, EMBEDDED_FOLDER, disk.digest(EMBEDDED_FOLDER, hub.FILES))
    if installed.is_function(name):
        return Start(name, None, f"{installed.digest(name, partial(_refusal, name))} {name}")
    found = hub.resolve(name, "classifier.model", EXPECTED, FIX)
    start = Start(name, found.folder, found.digest)
    hub.check_finite(make(start, 2, 0).module, f"classifier.model: {name}")
    return start


def check_resolution(start: Start, resolution: int) -> None:
    """Raise UserError unless the model takes images of `resolution` x `resolution` pixels, and tells two classes."""
    network = make(start, 2, 0)
    network.module.eval()
    channels = len((network.normalisation or IMAGENET)[0])
    try:
        with torch.no_grad():
            network.logits(torch.zeros(1, channels, resolution, resolution)).view(1, 2)
    except Exception as error:
        raise UserError(
            f"classifier.resolution: {start.name} can't classify images of {resolution} x {resolution} pixels"
            f" ({first_line(error)})",
            "the size that the model takes",
            "most models: classifier.resolution=224",
        ) from None


def make(start: Start, classes: int, seed: int) -> Network:
    """The network, with a new head for `classes` classes.

    Raises:
        UserError: if it can't be loaded, or lacks weights other than the head's.
    """
    with torch.random.fork_rng():
        if start.folder is not None:
            return _pretrained(start, classes, seed)
        torch.manual_seed(seed)
        return _random(classes) if start.name == RANDOM else _of_function(start.name, classes)


def _random(classes: int) -> Network:
    """A ResNet-18 (He et al., CVPR 2016)."""
    config = ResNetConfig(hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], layer_type="basic", num_labels=classes)
    return Network(ResNetForImageClassification(config), None)


def _pretrained(start: Start, classes: int, seed: int) -> Network:
    assert start.folder is not None
    what = f"classifier.model: {start.name}"
    with loading(what, EXPECTED, FIX):
        head = _head(start.folder)
    torch.manual_seed(seed)
    network: torch.nn.Module = hub.load(
        AutoModelForImageClassification, start.folder, what, head.__contains__, num_labels=classes,
        trust_remote_code=False, dtype=torch.float32,
    )[0]  # fmt: skip
    return Network(network, HALVES if start.name == EMBEDDED else IMAGENET)


def _head(folder: Path) -> set[str]:
    """The names of the tensors whose shapes follow the number of classes."""

    def shapes(classes: int) -> dict[str, torch.Size]:
        config = AutoConfig.from_pretrained(folder, num_labels=classes, trust_remote_code=False)
        with torch.device("meta"):
            network = AutoModelForImageClassification.from_config(config, trust_remote_code=False)
        return {name: tensor.shape for name, tensor in network.state_dict().items()}

    two, three = shapes(2), shapes(3)
    return {name for name in two if two[name] != three[name]}


def _of_function(name: str, classes: int) -> Network:
    function = installed.load(name, partial(_refusal, name))
    try:
        made: Any = function(classes)
    except Exception as error:  # whatever somebody else's code raises
        raise _refusal(name, first_line(error)) from error
    if not isinstance(made, torch.nn.Module):
        raise _refusal(name, f"it returns a {type(made).__name__}")
    return Network(made.float(), IMAGENET)


def _refusal(name: str, why: str) -> UserError:
    return UserError(f"classifier.model: {name} can't be used ({why})", EXPECTED, FIX)
