"""The repeats of a study: its splits and generators."""

from dataclasses import dataclass

from sonosynth import seeding
from sonosynth.cohort import sites
from sonosynth.cohort.reading import Files
from sonosynth.errors import UserError, first_line
from sonosynth.modality import WORDS
from sonosynth.settings import Settings


@dataclass(frozen=True)
class Repeat:
    """One split and one generator.

    number: from 0; the first is in the run's own folder, the others in `repeats/<number>`. draw: of folds. block: the
    number of the first repeat with this split. split_seed: the split's. fold: (k, i), the i-th of k folds is held out,
    or None. seed: that of adaptation, synthesis and classifiers; the study's own for the first.
    """

    number: int
    draw: int
    block: int
    split_seed: int
    fold: tuple[int, int] | None
    seed: int

    @property
    def place(self) -> str:
        """The prefix of the names of its jobs and files."""
        return f"repeats/{self.number}/" if self.number else ""

    @property
    def first(self) -> str:
        """The same of the first repeat with this split."""
        return f"repeats/{self.block}/" if self.block else ""

    @property
    def split(self) -> int:
        """The number of its fold in the draw."""
        return self.fold[1] if self.fold else 0


def of_cohort(settings: Settings, files: Files) -> Settings:
    """The settings as they are for this cohort.

    Prompts say the modality, unless the cohort has a column of that name. If `split.leave_out` is given, there is one
    draw of as many folds as this column has values.

    Raises:
        UserError: if the cohort has no such column to leave out, or fewer than two values of it.
    """
    if "modality" not in files.columns:
        words = {"modality": WORDS[settings.modality]}
        settings = settings.model_copy(update={"prompts": settings.prompts.saying(words)})
    column = settings.split.leave_out
    if not column:
        return settings
    found = sites.names([dict(source.more).get(column, "") for source in files.sources])
    if len(found) < 2:
        there = (
            f"one value of {first_line(column)}, {first_line(found[0])}" if found else f"no column {first_line(column)}"
        )
        raise UserError(
            f"split.leave_out: the cohort has {there}",
            "a column of the cohort's table with at least two values",
            f"its further columns are: {first_line(', '.join(files.columns) or '(none)')}",
        )
    instead = settings.repeats.model_copy(update={"folds": len(found), "draws": 1})
    return settings.model_copy(update={"repeats": instead})


def repeats(settings: Settings) -> list[Repeat]:
    """The repeats of a study, whose settings are those `of_cohort`."""
    r, seed = settings.repeats, settings.seed
    found: list[Repeat] = []
    for draw in range(r.draws):
        split_seed = seeding.derive(seed, "split", *([draw] if draw else []))
        for fold in [(r.folds, i) for i in range(r.folds)] if r.folds else [None]:
            block = len(found)
            for generator in range(r.generators):
                other = seeding.derive(seed, "generator", draw, *(fold or ()), generator)
                found.append(Repeat(len(found), draw, block, split_seed, fold, other if found else seed))
    return found
