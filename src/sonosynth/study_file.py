"""study.yaml, the file that says what a run is: its cohort, its settings, and what these were resolved to."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sonosynth import plain_yaml
from sonosynth.machine import Machine
from sonosynth.settings import Settings, as_yaml, of_study, validated
from sonosynth.versions import installed


def text_of(cohort: Path, settings: Settings, machine: Machine) -> str:
    """The cohort, the settings, what they resolve to here, and the versions."""
    resolved = {
        "base": {"folder": str(machine.base.folder), "digest": machine.base.digest},
        "precision": machine.precision,
        "features": [network.name for network in machine.networks],
        "versions": installed(),
    }
    where, table = str(cohort.resolve()), settings.cohort.model_dump(exclude_defaults=True)
    if images := table.get("images"):
        table["images"] = str(Path(images).expanduser().resolve())
    head, tail = {"cohort": {"path": where} | table if table else where}, {"resolved": resolved}
    first, last = (plain_yaml.dump(part) for part in (head, tail))
    return f"{first}{as_yaml(settings)}{last}"


def settings_of(values: Mapping[str, Any], where: str) -> Settings:
    """The settings in the values of the file.

    Args:
        where: the file, for messages.

    Raises:
        UserError: if they are not those of this version.
    """
    return validated({key: value for key, value in of_study(values).items() if key != "resolved"}, where)
