"""The images that sets of kind folder take, found before anything runs: of each repeat, those of its own generator."""

from pathlib import Path

from sonosynth.cohort.reading import Files
from sonosynth.errors import UserError
from sonosynth.repeats import repeats
from sonosynth.settings import Settings
from sonosynth.synthesis import given
from sonosynth.synthesis.given import Given


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
