"""Transformers models: a local folder, or a repository on the Hugging Face hub."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from huggingface_hub import snapshot_download

from sonosynth import store
from sonosynth.errors import UserError, loading
from sonosynth.section import NO_EFFECT

FILES = ("*.json", "*.safetensors", "*.txt")


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
        UserError: if there is no such model, or it has no safetensors.
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
    return Model(name, folder, store.digest(folder, FILES))
