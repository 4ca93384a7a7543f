"""Which images a kit shows: real and synthetic ones of each class in equal numbers, no two of one origin, shuffled."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from sonosynth.errors import UserError

MOST = 20
"""Real images of each class where nothing else is asked for; a reader needs some ten seconds for one image."""
REAL, SYNTHETIC = "real", "synthetic"


def choose(candidates: pd.DataFrame, each: int | None, seed: int) -> pd.DataFrame:
    """Rows of `candidates` in the order in which they are shown.

    Of each class, `each` real images and as many synthetic ones, spread over the sets as evenly as possible. No two
    synthetic images, and no two real ones, are of one unit: pictures that resemble each other would give each other
    away, and their readings would not be independent.

    Args:
        candidates: the columns origin (`REAL` or `SYNTHETIC`), set ("" for a real image), label, and unit: what an
            image comes from (its patient; the noise or the image that it was made from). each: None for as many as
            there are, at most `MOST`, and as many of each set. seed: of the choice and the order.

    Raises:
        UserError: if there are too few.
    """
    labels = sorted({*candidates["label"]})
    sides = {label: Side(candidates[candidates["label"] == label]) for label in labels}
    possible = {label: side.most(MOST if each is None else each) for label, side in sides.items()}
    scarce = min(possible, key=lambda label: possible[label])
    count = possible[scarce] if each is None else each
    sets = len({*candidates["set"]} - {""})
    if each is None and count > sets > 0:
        count -= count % sets
    if not count or possible[scarce] < count:
        raise UserError(
            f"{f'--each {each}' if each else 'reader'}: enough images of {scarce} for {possible[scarce]} only",
            "real images that no training image resembles, one of each patient, and as many synthetic ones, no two made"
            " from the same noise or image",
            f"--each {possible[scarce]}" if possible[scarce] else f"a run with more validation images of {scarce}",
        )
    rng = np.random.default_rng(seed)
    rows = [row for place, side in enumerate(sides.values()) for row in side.draw(count, place * count, rng)]
    return candidates.loc[rng.permutation(rows)].reset_index(drop=True)


class Side:
    """The candidates of one class."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self.real = rows[rows["origin"] == REAL]
        self.synthetic = rows[rows["origin"] == SYNTHETIC]
        self.sets = sorted(self.synthetic["set"].unique())

    def most(self, wanted: int) -> int:
        """How many real images there are with as many synthetic ones, up to `wanted`."""
        count = min(wanted, self.real["unit"].nunique(), self.synthetic["unit"].nunique())
        return next((n for n in range(count, 0, -1) if self._units(n, 0, np.random.default_rng(0))), 0)

    def draw(self, count: int, turn: int, rng: np.random.Generator) -> list[int]:
        """The index of `count` real images, and of as many synthetic ones.

        Args:
            turn: where in the circle of sets those begin that get one image more than others.
        """
        shuffled = self.real.loc[rng.permutation(self.real.index)]
        real = list(shuffled.drop_duplicates("unit").index[:count])
        # Whether a matching is complete depends on `turn` where sets are unequal: any is as good.
        units = self._units(count, turn, rng) or self._units(count, 0, rng)
        made = [
            int(rng.choice(self.synthetic.index[(self.synthetic["set"] == name) & (self.synthetic["unit"] == unit)]))
            for name, unit in units
        ]
        return real + made

    def _units(self, count: int, turn: int, rng: np.random.Generator) -> list[tuple[str, str]]:
        """A set and a unit of it for each of `count` images, each unit once; empty if there are too few."""
        return matched(quotas(count, self.sets, turn), self._of_sets(rng))

    def _of_sets(self, rng: np.random.Generator) -> dict[str, list[str]]:
        units = rng.permutation(self.synthetic["unit"].unique())
        return {
            name: [unit for unit in units if unit in own]
            for name in self.sets
            if (own := {*self.synthetic["unit"][self.synthetic["set"] == name]})
        }


def quotas(count: int, sets: Sequence[str], turn: int) -> list[str]:
    """The set of each of `count` images: all sets equally often, or once more, those from `turn` on first."""
    return [sets[(turn + n) % len(sets)] for n in range(count)]


def matched(slots: Sequence[str], units: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """A unit for each slot, among those of its set, each once (maximum bipartite matching); empty if there is none.

    Args:
        slots: the set of each of N images. units: of each set.
    """
    every = list(dict.fromkeys(unit for name in slots for unit in units[name]))
    edges = np.array([[unit in {*units[name]} for unit in every] for name in slots], bool).reshape(len(slots), -1)
    found = maximum_bipartite_matching(csr_array(edges), perm_type="column")
    return [] if (found < 0).any() else [(name, every[place]) for name, place in zip(slots, found, strict=True)]
