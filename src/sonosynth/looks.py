"""How often the validation images of a run have been scored, each time with other settings.

Whoever changes settings until an arm improves will find one that does, by chance: the more looks, the likelier.
"""

from pathlib import Path

from sonosynth import disk
from sonosynth.jobs import key
from sonosynth.settings import Settings

FILE = ".looks"  # a digest of the settings of each look


def count(root: Path, settings: Settings) -> int:
    """The number of looks in the run `root`, the one with these settings included."""
    return len({*_known(root), digest(settings)})


def note(root: Path, settings: Settings) -> None:
    """Remember a look with these settings."""
    known, own = _known(root), digest(settings)
    if own not in known:
        disk.write_text(root / FILE, "\n".join([*known, own]) + "\n")


def digest(settings: Settings) -> str:
    """A digest of all settings but those that tell which classifiers are kept, how tables are read, what is shown."""
    return key(settings.model_dump(mode="json", exclude={"test": True, "cohort": True, "compare": {"positive"}}))


def _known(root: Path) -> list[str]:
    if root.exists():
        disk.check_regular(root, root / FILE)
    return (root / FILE).read_text(encoding="utf-8").split() if (root / FILE).exists() else []
