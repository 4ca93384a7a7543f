"""What sets take from folders, found before anything runs: another generator's images, and masks."""

from pathlib import Path

from sonosynth.cohort.reading import Files
from sonosynth.errors import UserError
from sonosynth.repeats import repeats
from sonosynth.settings import Settings
from sonosynth.synthesis import given, given_masks
from sonosynth.synthesis.given import Given
from sonosynth.synthesis.given_masks import GivenMasks
from sonosynth.synthesis.settings import SHAPES, TRAINING


def find(settings: Settings, cohort: Files) -> dict[str, list[Given]]:
    """The images of each set that has a folder, repeat by repeat.

    Those of the first repeat are in the folder itself, those of others where a run has its own: in `repeats/<number>`.

    Raises:
        UserError: as `given.find`, or if an image is there for two repeats.
    """
    found: dict[str, list[Given]] = {}
    for name, made in settings.declared_sets.items():
        if made.folder is None:
            continue
        root, places = Path(made.folder).expanduser(), [repeat.place for repeat in repeats(settings)]
        found[name] = [given.find(root / place, name, made, cohort.labels, cohort.sha256) for place in places]
        owner: dict[str, Path] = {}
        for one in found[name]:
            for file, content in zip(one.files, one.sha256, strict=True):
                if owner.setdefault(content, one.root) != one.root:
                    raise UserError(
                        f"sets.{name}.folder: {one.root / file} is in {owner[content]}, too",
                        "for each repeat, images of a generator that was trained for it",
                        "train one for each cohort.csv of the run, or plan fewer repeats",
                    )
    return found


def find_masks(settings: Settings, cohort: Files) -> dict[str, GivenMasks]:
    """The masks of each set that takes them from a folder; raises as `given_masks.find`."""
    wanted = {name: made.masks for name, made in settings.declared_sets.items()}
    return {
        name: given_masks.find(folder, name, cohort.labels)
        for name, folder in wanted.items()
        if folder and folder not in (TRAINING, SHAPES)
    }
