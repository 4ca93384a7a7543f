"""The repeats of a study: its splits and generators."""

from dataclasses import dataclass

from sonosynth import seeding
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


def repeats(settings: Settings) -> list[Repeat]:
    """The repeats of a study."""
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
