"""Layers of settings: plain values, each over an earlier one."""

from collections.abc import Mapping
from typing import Any

from sonosynth import modality as kinds
from sonosynth import plain_yaml
from sonosynth.errors import UserError, first_line, is_plain


def parsed(change: str) -> dict[str, Any]:
    """The layer of one `section.key=value` text.

    Raises:
        UserError: if it is none.
    """
    name, equals, text = change.partition("=")
    parts = name.split(".")
    if not equals or not name or len(parts) > plain_yaml.MAX_DEPTH:
        raise UserError(f"--set {first_line(change)}", "section.key=value, for example lora.rank=8")
    try:
        value = plain_yaml.parse(text)
    except ValueError:
        value = text
        if not is_plain(text):
            raise UserError(f"--set {first_line(change)}: has control characters", "plain text") from None
    for part in reversed(parts):
        value = {part: value}
    return dict(value)


def over(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """A layer of settings over an earlier one; a prompt template also replaces earlier prompts for labels."""
    out, prompts = dict(old), new.get("prompts")
    if isinstance(prompts, dict) and "template" in prompts and isinstance(out.get("prompts"), dict):
        out["prompts"] = {key: value for key, value in out["prompts"].items() if key != "labels"}
    return _merged(out, new)


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(old)
    for key, value in new.items():
        both = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = _merged(out[key], value) if both else value
    return out


def fitting(shipped: Mapping[str, Any], modality: Any) -> dict[str, Any]:
    """Shipped settings as they are for images of another `modality`; as they were if it is none, or theirs.

    Prompts, the words and the text of the token that stands for all images, the measure of texture, and speckle.
    """
    before = shipped.get("modality", kinds.ULTRASOUND)
    if modality == before or not all(one in kinds.MODALITIES for one in (modality, before)):
        return dict(shipped)
    declared = shipped.get("adapters")
    adapters = {
        name: {"token": kinds.token(modality)}
        for name, adapter in (declared.items() if isinstance(declared, dict) else ())
        if isinstance(adapter, dict) and adapter.get("token") == kinds.token(before)
    }
    return over(shipped, {
        "modality": modality,
        "prompts": {"template": kinds.template(modality)},
        "token": {"init": kinds.INITIAL[modality]},
        "adapters": adapters,
        "classifier": {"speckle": modality == kinds.ULTRASOUND},
        "fidelity": {"measures": ["features", kinds.texture(modality)]},
    })  # fmt: skip
