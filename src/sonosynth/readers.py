"""Commands on a run for human readers: make a kit, and take in answers."""

from collections.abc import Sequence
from pathlib import Path

from sonosynth import progress, store
from sonosynth.artefacts import CohortImages, Split, SyntheticSet
from sonosynth.comparisons import controlling
from sonosynth.errors import UserError
from sonosynth.reader import answers, kit
from sonosynth.reader.choosing import REAL
from sonosynth.reader.scoring import SEEN, UNKNOWN
from sonosynth.report.readers import Readers
from sonosynth.report.terminal import show_readers
from sonosynth.run import Study
from sonosynth.seeding import derive


def make_kit(study: Study, root: Path, out: Path, each: int | None = None) -> None:
    """Write the page `out` with images of the run `root` for human readers, and its key into the run.

    Images are those of the first split and generator; sets that are negative controls are left out.

    Args:
        out: ".html" is added to a name without an ending. each: real images of each class, and as many synthetic ones;
            see `choosing.choose`.

    Raises:
        UserError: if the sets are not made yet, or as `kit.write`.
    """
    settings = study.settings
    out = out if out.suffix else out.with_suffix(".html")
    with store.Run(root).locked():
        made = {job.name: status.made for job, status in study.statuses(root) if status.made}
        declared = settings.declared_sets
        needed = ["cohort", "split", *(f"synthetic/{name}" for name in declared)]
        if missing := [name for name in needed if name not in made]:
            raise UserError(
                f"{root}: {missing[0]} has not been made yet",
                "a run whose sets are made",
                f"sonosynth synthesize {root}",
            )
        cohort, split = CohortImages(made["cohort"]), Split(made["split"])
        sets = [SyntheticSet(made[f"synthetic/{name}"]) for name in declared]
        unknown = any(one.folder is not None and one.trained_on is None for one in declared.values())
        shown = {*declared} - controlling(settings)
        found = kit.candidates(cohort, split, sets, shown, unknown=unknown)
        # Who knows the settings alone can't tell the order.
        seed = derive(settings.seed, "reader", out.stem, *(made[name].digest for name in needed))
        key = kit.write(found, root, out, each, seed)
    real = key[key["origin"] == REAL]
    progress.result(
        f"{out}: {len(key)} images, {len(real)} of them real, {len(real) // key['label'].nunique()} per class"
    )
    progress.result(f"the key stays in {root / answers.FOLDER / out.stem}: hand out {out.name} alone")
    if (real["seen"] == SEEN).any():
        progress.warn(
            "a generator was trained on real images of this kit (adapt.on=all), which may make them harder to tell"
        )
    if (real["seen"] == UNKNOWN).any():
        progress.warn("it is not known whether a generator was trained on the real images of this kit (trained_on)")
    if gone := sorted(shown - {*key["set"]}):
        progress.say(f"no image of {', '.join(gone)} is in the kit: too few, or all resemble those of another set")


def take_answers(study: Study, root: Path, files: Sequence[Path], *, processes: bool = True) -> None:
    """Copy files of answers into the run `root`, print what all say, and draw the report again if there is one.

    Raises:
        UserError: as `answers.take`.
    """
    with store.Run(root).locked():
        answers.take(root, files)
        made = [status.made for _, status in study.statuses(root) if status.made]
    current = {digest for one in made for digest in one.files.values()}
    for reading in answers.readings(root):
        show_readers(Readers(reading, current))
    if (root / "report.html").is_file():
        study.run(root, processes=processes)
    else:
        progress.say(f"the report will show them: sonosynth report {root}")
