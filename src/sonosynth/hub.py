"""Third-party models, found in a folder or on the Hugging Face hub, and loaded completely or not at all.

Two things that diffusers and transformers do silently are refused: to initialise missing weights at random, and to load
other things that a config names.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from diffusers.utils import logging as diffusers_logging
from huggingface_hub import snapshot_download
from transformers.utils import logging as transformers_logging

from sonosynth import disk
from sonosynth.errors import UserError, first_line, loading
from sonosynth.section import NO_EFFECT

FILES = ("*.json", "*.safetensors", "*.txt")
PUBLISHED = "the files of a model as they were published"
OPENED = (".json", ".safetensors", ".txt", ".jinja")
"""Suffixes of the files that the libraries open; whatever else lies in a folder is left alone."""

LOADING_KEYS = frozenset({
    "attn_implementation", "_attn_implementation", "_attn_implementation_internal",
    "experts_implementation", "_experts_implementation", "_experts_implementation_internal",
    "use_kernels", "kernel_config", "allow_all_kernels", "fusion_config",
    "quantization_config", "compression_config", "load_in_4bit", "load_in_8bit",
    "device_map", "device_mesh", "distributed_config", "parallel_config", "tp_plan", "tp_size",
    "base_model_tp_plan", "base_model_pp_plan", "base_model_ep_plan",
    "transformers_weights", "gguf_file", "use_safetensors", "use_flashpack", "weights_only", "trust_remote_code",
})  # fmt: skip
"""Keys that say how a network is loaded, not what it is: some fetch code from the hub, some read other files."""

MOST, MAX_LAYERS = 2**20, 1000  # a larger one would exhaust memory or take forever to build
LAYERS = re.compile(r"(^|_)(layers?|blocks|depths?)(_|$)")  # keys that count them

diffusers_logging.disable_progress_bar()
transformers_logging.disable_progress_bar()
diffusers_logging.set_verbosity_error()  # what loading reports is read by `load`
transformers_logging.set_verbosity_error()


@dataclass(frozen=True)
class Model:
    """A model found on this machine: the name that the settings give it, its folder, and the digest of its files."""

    name: Annotated[str, NO_EFFECT]
    folder: Annotated[Path, NO_EFFECT]
    digest: str


def resolve(name: str, setting: str, expected: str, fix: str) -> Model:
    """The model called `name`: a folder, or a hub id (fetched or cached; safetensors only).

    Args:
        setting: the one that names it, for error messages. expected, fix: parts of those messages.

    Raises:
        UserError: if there is no such model, it has no safetensors, or as `check_files` does.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        with loading(f"{setting}: {name}", expected, fix):
            folder = Path(snapshot_download(name, allow_patterns=list(FILES)))
    if not any(folder.glob("*.safetensors")) or not (folder / "config.json").is_file():
        raise UserError(
            f"{setting}: {name} can't be loaded (config.json or *.safetensors is missing in {folder})",
            f"{expected}; pickled weights are refused, since loading them can run code",
            fix,
        )
    check_files(folder, f"{setting}: {name}")
    return Model(name, folder, disk.digest(folder, FILES))


def check_files(folder: Path, what: str) -> None:
    """Check what the libraries would open in `folder`, without them. `what` names the model in error messages.

    Raises:
        UserError: if it is not a file or empty, if a config says how to load the model or holds absurd numbers, or if
            an index of weights points out of the folder.
    """
    for file in sorted(folder.iterdir()):
        if file.suffix in OPENED and not (file.is_file() and file.stat().st_size):
            raise UserError(f"{what}: {file} is empty or not a file", PUBLISHED)
        if file.name == "adapter_config.json":
            raise UserError(
                f"{what}: {file} would make the library load an adapter, too", "a model without one", "remove it"
            )
        if file.name.endswith(".index.json"):
            _check_index(file, what)
        elif file.name.endswith("config.json"):
            _check_config(file, what)


def read_json(file: Path, what: str) -> dict[str, Any]:
    """The mapping in a JSON file; raises UserError if it can't be read or holds anything else."""
    try:
        if not file.is_file():  # opening a named pipe would block
            raise OSError("not a file")
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{what}: {file} can't be read ({first_line(error)})", "the model's own JSON file") from None
    if not isinstance(found, dict):
        raise UserError(f"{what}: {file} holds a {type(found).__name__}", "a mapping")
    return found


def _check_index(file: Path, what: str) -> None:
    suffix = Path(file.name.removesuffix(".index.json")).suffix
    parts = read_json(file, what).get("weight_map")
    names = parts.values() if isinstance(parts, dict) else [parts]
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or Path(name).suffix != suffix:
            raise UserError(
                f"{what}: {file} names {first_line(name)}",
                f"names of {suffix} files beside it",
                "download the model again",
            )


def _check_config(file: Path, what: str) -> None:
    for key, value in _entries(read_json(file, what)):
        if key in LOADING_KEYS and value is not None:
            raise UserError(
                f"{what}: {file} has {key}: {first_line(value)}",
                "a config that says what the model is, not how it is loaded",
                f"remove {key} from that file, if you trust the rest",
            )
        low, high = (0, MAX_LAYERS) if LAYERS.search(key) else (-MOST, MOST)
        if file.name == "config.json" and isinstance(value, int) and not low <= value <= high:
            raise UserError(f"{what}: {file} has {key}: {first_line(value)}", f"{low} to {high}")


def _entries(values: Any) -> Iterator[tuple[str, Any]]:
    """Every key and its value, at any depth; what is in a list comes under the key of the list."""
    waiting = [("", values)]
    while waiting:
        key, value = waiting.pop()
        yield key, value
        if isinstance(value, dict):
            waiting += value.items()
        elif isinstance(value, list):
            waiting += [(key, item) for item in value]


def load(
    kind: Any, folder: Path, what: str, may_lack: Callable[[str], bool] = lambda name: False, **options: Any
) -> tuple[Any, list[str]]:
    """Load a model with its library, and check that all of its weights were there.

    Args:
        kind: a class with `from_pretrained` of diffusers or transformers, which takes the further `options`.
        what: the model, for error messages.
        may_lack: whether a tensor, by name, may be missing or have another shape; the library then initialises it anew.

    Returns the model, and the names of the newly initialised tensors.

    Raises:
        UserError: if it can't be loaded, or lacks tensors that it may not lack.
    """
    with loading(what, PUBLISHED):
        model, report = kind.from_pretrained(
            str(folder), use_safetensors=True, local_files_only=True, ignore_mismatched_sizes=True,
            output_loading_info=True, **options,
        )  # fmt: skip
    tensors = model.state_dict()
    new = {*report["missing_keys"], *(name for name, *_ in report["mismatched_keys"])}
    new |= {name for name, tensor in tensors.items() if tensor.is_meta}  # an index named them, but no file holds them
    lost = sorted(name for name in new if not may_lack(name) and not name.endswith("num_batches_tracked"))
    if lost:
        raise UserError(
            f"{what}: {len(lost)} of its {len(tensors)} tensors are missing or have the wrong shape ({_some(lost)})",
            "all weights of the network that its config.json describes",
            "download the model again; if its files are complete, their config.json is another model's",
        )
    return model, sorted(new)


def check_finite(model: torch.nn.Module, what: str) -> None:
    """Raise UserError if a weight of the model is infinite or not a number."""
    with loading(what, PUBLISHED):
        # Checking the sum is 30 times faster, but it may overflow.
        wrong = [
            name
            for name, tensor in model.state_dict().items()
            if tensor.is_floating_point() and not tensor.sum().isfinite() and not tensor.isfinite().all()
        ]
    if wrong:
        raise UserError(
            f"{what}: {len(wrong)} of its tensors contain NaN or infinite values ({_some(wrong)})",
            "finite weights",
            "download the model again",
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + ", …" * (len(names) > 3)
