"""How often the validation images of a run have been scored, each time with other settings.

Whoever changes settings until an arm improves will find one that does, by chance: the more looks, the likelier.
"""

from collections.abc import Sequence
from pathlib import Path

from sonosynth import disk
from sonosynth.cohort.sources import Source
from sonosynth.jobs import key
from sonosynth.settings import Settings

FILE = ".looks"  # a digest of the settings of each look


def count(root: Path, settings: Settings, sources: Sequence[Source] = ()) -> int:
    """The number of looks in the run `root`, the one with these settings included.

    Args:
        sources: the cohort's images, whose own split counts, if it is used.
    """
    return len({*_known(root), digest(settings, sources)})


def note(root: Path, settings: Settings, sources: Sequence[Source]) -> None:
    """Remember a look with these settings."""
    known, own = _known(root), digest(settings, sources)
    if own not in known:
        disk.write_text(root / FILE, "\n".join([*known, own]) + "\n")


def digest(settings: Settings, sources: Sequence[Source] = ()) -> str:
    """A digest of all settings but those that tell which classifiers are kept, how tables are read, what is shown."""
    values = settings.model_dump(mode="json", exclude={"test": True, "cohort": True, "compare": {"positive"}})
    sides = {source.id: source.given for source in sources if source.given and settings.split.given == "use"}
    return key(values | ({"sides": sides} if sides else {}))


def _known(root: Path) -> list[str]:
    if root.exists():
        disk.check_regular(root, root / FILE)
    return (root / FILE).read_text(encoding="utf-8").split() if (root / FILE).exists() else []
