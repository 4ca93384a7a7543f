"""For A1111, Forge and ComfyUI: LoRAs in kohya's format, and embeddings.

Keys are called as by kohya's sd-scripts: `lora_unet_`, the module's path in diffusers' U-Net with underscores, then
`.lora_down.weight`, `.lora_up.weight` and `.alpha`. All three tools map them to their own. An embedding has one tensor,
`emb_params`; prompts name its file, so that no file may be called as an ordinary word.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
from diffusers.utils.state_dict_utils import convert_state_dict_to_kohya

from sonosynth import disk
from sonosynth.adapters import lora, token
from sonosynth.adapters.learning import with_token
from sonosynth.bases import sd1
from sonosynth.exports import _cards
from sonosynth.sharing import Kind, Shared, SharedAdapter

TAKES = (Kind.LORA,)
EMBEDDING = "emb_params"


@dataclass(frozen=True)
class Words:
    """What to type for images of a class: in A1111 and Forge, and in ComfyUI."""

    label: str
    webui: str
    comfy: str


def write(shared: Shared, out: Path) -> None:
    """Write `loras/`, `embeddings/` and README.md, which says what to type."""
    loras = file_names(one.name for one in shared.adapters if _lora(one).is_file())
    embeddings = file_names(dict.fromkeys(key for one in shared.adapters for key, _ in _tokens(one).values()))
    words: dict[str, list[Words]] = {}
    for one in shared.adapters:
        about = {"format": "pt", "synthetic": "true", "base_digest": shared.origin.base_digest}
        if name := loras.get(one.name):
            _write_lora(_lora(one), out / "loras" / f"{name}.safetensors", about)
        tokens = {label: (embeddings[key], file) for label, (key, file) in _tokens(one).items()}
        for called, file in dict.fromkeys(tokens.values()):
            (vector,) = safetensors.torch.load_file(file).values()
            data = safetensors.torch.save({EMBEDDING: vector}, about)
            disk.write_bytes(out / "embeddings" / f"{called}.safetensors", data)
        words[one.name] = []
        for label, prompt in one.prompts.items():
            called = tokens[label][0] if label in tokens else ""
            typed = [with_token(prompt, called), with_token(prompt, f"embedding:{called}" if called else "")]
            words[one.name].append(Words(label, f"{typed[0]} <lora:{name}:1>" if name else typed[0], typed[1]))
    _cards.write(
        out / "README.md", "webui", shared, adapters=shared.adapters, loras=loras, words=words,
        embedded=shared.origin.base == sd1.EMBEDDED,
    )  # fmt: skip


def file_names(names: Iterable[str]) -> dict[str, str]:
    """For each name a different one that prompts can hold: ASCII letters, digits and hyphens."""
    found: dict[str, str] = {}
    for name in names:
        plain = f"sonosynth-{re.sub(r'[^A-Za-z0-9]+', '-', name)}".rstrip("-")
        taken = [other for other in found.values() if re.fullmatch(rf"{re.escape(plain)}(-no\d+)?", other)]
        found[name] = f"{plain}-no{len(taken) + 1}" if taken else plain
    return found


def _lora(one: SharedAdapter) -> Path:
    return one.made.folder / lora.FILE


def _tokens(one: SharedAdapter) -> dict[str, tuple[str, Path]]:
    """By label, what the token is called here, and its file: one for all classes, or one for each."""
    shared = token.place(one.made.folder, None) / token.FILE
    if shared.is_file():
        return dict.fromkeys(one.prompts, (one.name, shared))
    own = {label: token.place(one.made.folder, label) / token.FILE for label in one.prompts}
    return {label: (f"{one.name} {label}", file) for label, file in own.items() if file.is_file()}


def _write_lora(source: Path, target: Path, about: dict[str, str]) -> None:
    converted = convert_state_dict_to_kohya(safetensors.torch.load_file(source))
    disk.write_bytes(target, safetensors.torch.save(converted, about | {"ss_output_name": target.stem}))
