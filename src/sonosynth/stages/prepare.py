"""The first stage: check what can be checked before hours of work; read and split the cohort."""

from pathlib import Path

from sonosynth import cohort, progress, store
from sonosynth.cohort.splitting import TRAIN, VALIDATION
from sonosynth.errors import UserError
from sonosynth.stages.repeat import Repeat


def read(repeat: Repeat) -> cohort.Cohort:
    """The cohort, after a look at everything else that a study could fail on.

    Raises:
        UserError: if the cohort, the base, the classifier or a prompt is not usable.
    """
    from sonosynth.diffusion import base
    from sonosynth.evaluation import classifier

    s = repeat.settings
    found = cohort.read(repeat.path)
    base.check_resolution(repeat.base_folder, s.resolution)
    classifier.check_model(s.classifier.model)
    unknown = set(s.prompts.model_extra or {}) - set(found.labels) - {"normal", "benign", "malignant"}
    if unknown:
        raise UserError(
            f"prompts: {', '.join(sorted(unknown))} is no label of the cohort",
            f"prompts for {', '.join(sorted(set(found.labels)))}",
        )
    return found


def prepare(repeat: Repeat, found: cohort.Cohort) -> None:
    """Split the cohort: cohort.csv, twins.csv."""
    s, draw = repeat.settings, repeat.draw
    contents = zip((x.id for x in found.sources), found.labels, found.sha256, strict=True)
    inputs = {
        "images": [list(row) for row in contents],
        "groups": [x.group for x in found.sources],
        "masks": [[(m.name, store.sha256(m)) for m in x.masks] for x in found.sources],
        "split": s.split.model_dump(),
        "seed": draw.split_seed,
        "fold": draw.fold,
        "skipped": found.problems,
    }
    table = cohort.to_table(
        found, draw.split_seed, holdout=s.split.holdout, with_twins=s.split.groups == "twins",
        with_conflicts=s.split.conflicts == "keep", skip_bad=s.skip_bad, fold=draw.fold,
    )  # fmt: skip
    twins = cohort.twins_table(found)

    def make(work: Path) -> None:
        store.write_text(work / "cohort.csv", table.to_csv(index=False))
        store.write_text(work / "twins.csv", twins.to_csv(index=False))

    repeat.run.root.mkdir(parents=True, exist_ok=True)
    if not draw.number:
        repeat.write_settings()
    repeat.run.stage("cohort", inputs, ["cohort.csv", "twins.csv"], make)
    repeat.__dict__.pop("table", None)
    if found.ignored and not draw.number:
        progress.say(
            f"ignored: {len(found.ignored)} file(s) or folder(s); `sonosynth inspect {repeat.path}` lists them"
        )
    if found.problems and not draw.number:
        progress.say(f"skipped: {len(found.problems)} file(s) that can't be used; cohort.csv lists them")
    if len(twins):
        left_out, crossing = (
            int(table["excluded"].str.startswith("label conflict").sum()),
            len(cohort.crossing(table, twins)),
        )
        progress.say(
            f"near-duplicates: {len(twins)} pairs, {crossing} of them across the split; {left_out} images left out"
            " because their twins have another label"
        )
    for name, side in (("training", TRAIN), ("validation", VALIDATION)):
        rows = repeat.rows(side)
        counts = ", ".join(f"{n} {label}" for label, n in sorted(rows["label"].value_counts().items()))
        progress.say(f"{name}: {len(rows)} images ({counts})")
