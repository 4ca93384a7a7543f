"""The settings files that come with the package: presets, and prompts for known labels."""

from collections.abc import Iterable
from importlib import resources
from typing import Any

from sonosynth import plain_yaml
from sonosynth.layers import over

FOLDER = resources.files("sonosynth.presets")


def has(name: str) -> bool:
    """Whether there is a file of that name."""
    return FOLDER.joinpath(f"{name}.yaml").is_file()


def layer(name: str) -> dict[str, Any]:
    """The settings of a file, over those of the files that it includes."""
    values = _read(name)
    included: dict[str, Any] = {}
    for other in values.pop("include", []):
        included = over(included, layer(other))
    return over(included, values)


def words() -> dict[str, dict[str, str]]:
    """The files that have prompts for labels, and those prompts."""
    found = {name: values.get("prompts", {}).get("labels") for name, values in _every().items()}
    return {name: labels for name, labels in found.items() if labels}


def fitting(labels: Iterable[str]) -> list[str]:
    """The files that have a prompt for every one of the labels."""
    return [name for name, prompts in words().items() if prompts.keys() >= {*labels}]


def positives() -> set[str]:
    """The classes that files name as those that matter most; another cohort need not have them."""
    return {values.get("compare", {}).get("positive") for values in _every().values()} - {None}


def _every() -> dict[str, dict[str, Any]]:
    names = sorted(file.name.removesuffix(".yaml") for file in FOLDER.iterdir() if file.name.endswith(".yaml"))
    return {name: _read(name) for name in names}


def _read(name: str) -> dict[str, Any]:
    values: dict[str, Any] = plain_yaml.parse(FOLDER.joinpath(f"{name}.yaml").read_text(encoding="utf-8"))
    return values
