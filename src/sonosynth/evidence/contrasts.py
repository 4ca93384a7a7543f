"""Scores and their differences, with a variance that counts every source of chance, and the t test that goes with it.

Images (by group), classifier seeds, generators, folds and draws all vary. A bootstrap over images, or a t test over
folds as they are, counts some of these only, and finds an effect too often where there is none. Here the variance of a
difference is that of its linearised score over groups of images, enlarged by the ratio of the scatter between blocks to
what images alone would cause; the ratio is pooled over the arms, so that a few blocks suffice.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from sonosynth.evidence.blocks import Design, Scored
from sonosynth.evidence.tests import LEVEL

TEST = "guarded t"


@dataclass(frozen=True)
class Estimate:
    """A score, or a difference of two, and the parts of its variance.

    images: of groups of images, its mean over draws; within, between: what images alone would cause between blocks or
    runs, and the scatter between these. of_groups, freedom: degrees of freedom of `images` and of `between`.
    """

    value: float
    images: float
    within: float
    between: float
    of_groups: float
    freedom: float

    def further(self, ratio: float = 0.0) -> float:
        """What scatter between blocks or runs adds to the variance of the images: nothing if it is smaller.

        Args:
            ratio: of that scatter to what images alone would cause; at least this is assumed.
        """
        return max(self.between - self.within, (ratio - 1) * self.within, 0.0)

    def tested(self, pool: "Pool", transfer: float = 0.0) -> "Tested":
        """The test against 0, given the scatter of its kind.

        Args:
            transfer: standard deviation of an effect between data sets; its square is added to the variance.
        """
        freedom = min(pool.freedom(self), self.of_groups)
        if not (self.within > 0 and freedom > 0):
            return Tested(self.value, float("nan"), 1.0)
        error = np.sqrt(self.images + self.further(pool.ratio) + transfer**2)
        return Tested(self.value, float(error), freedom)


@dataclass(frozen=True)
class Pool:
    """The ratio of scatter between blocks to that which images cause, over `size` arms together."""

    ratio: float
    size: int

    @classmethod
    def of(cls, estimates: Iterable[Estimate]) -> "Pool":
        """Pool several arms' estimates of one score."""
        known = list(estimates)
        within = sum(x.within for x in known)
        return cls(sum(x.between for x in known) / within if within > 0 else 0.0, len(known))

    def freedom(self, own: "Estimate") -> float:
        """The degrees of freedom of an arm's scatter: the arms share images, so each adds a part of its own alone."""
        return own.freedom * self.size / (1 + (self.size - 1) / 4)


@dataclass(frozen=True)
class Tested:
    """An estimate with its standard error, NaN where nothing repeats, and degrees of freedom."""

    value: float
    error: float
    freedom: float

    @property
    def p(self) -> float:
        """Two-sided p of a value of 0; 1 without a standard error."""
        return float(2 * stats.t.sf(abs(self.value) / self.error, self.freedom)) if self.error > 0 else 1.0

    def p_beyond(self, margin: float) -> float:
        """The larger p of two one-sided tests of a value of `margin` or more, either way; 1 without a standard error.

        Schuirmann, J. Pharmacokinet. Biopharm. 15:657, 1987.
        """
        room = margin - abs(self.value)
        return float(stats.t.sf(room / self.error, self.freedom)) if self.error > 0 else 1.0

    def reach(self, tail: float = (1 - LEVEL) / 2) -> float:
        """Half the width of the interval that leaves out `tail` on either side."""
        return float(stats.t.ppf(1 - tail, self.freedom)) * self.error


def estimate(design: Design, arm: Scored, other: Scored | None = None) -> Estimate:
    """The score of an arm, or its difference from another's."""
    value = arm.value - (other.value if other else 0)
    influence = arm.draws - (other.draws if other else 0)
    sums, draws = design.by_group(influence), len(influence)
    images, of_groups = _of_images(sums.mean(axis=0), design.leverage)
    within = between = 0.0
    if design.one_split:
        parts = []
        for scores, moves in [arm.units, *([other.units] if other else [])]:
            s, of_unit = len(scores), design.by_group(moves)
            if s > 1:
                parts.append((float(scores.var(ddof=1)) / s, s - 1))
                within += float(((of_unit - of_unit.mean(axis=0)) ** 2).sum()) / (s * (s - 1))
        freedom = min(satterthwaite(parts), len(arm.units[0]) - 1)  # both may have been trained on the same folds
        return Estimate(value, images, within, sum(part for part, _ in parts), of_groups, freedom)
    for row, folds in zip(influence, design.folds, strict=True):
        places = [folds == name for name in np.unique(folds[folds >= 0])]
        of_fold, shares = np.array([[x[place].sum() for place in places] for x in (row, design.weights)])
        between += _of_folds(of_fold, shares / shares.sum()) / draws**2
    within = float((sums**2).sum()) / draws**2
    return Estimate(value, images, within, between, of_groups, design.blocks - draws)


def _of_folds(sums: np.ndarray, shares: np.ndarray) -> float:
    """The variance that the scatter between folds causes, from the influences (J,) of each; 0 of one fold.

    The influences of a fold with a share w of the images, and an effect d of its own, add up to w (d - mean). Folds may
    be as unequal as hospitals are: the square of a fold is divided by 1 - 2 w + (sum of w^2), so that all add up to the
    variance of the mean, whatever the shares. Equal ones count J / (J - 1) times each.

    Args:
        shares: (J,), of the images that each fold has; they add up to 1.
    """
    return float((sums**2 / (1 - 2 * shares + (shares**2).sum())).sum()) if len(sums) > 1 else 0.0


def satterthwaite(parts: Iterable[tuple[float, float]]) -> float:
    """The degrees of freedom of a sum of variances, from each with its own (Biometrics 1946); 0 without any.

    Args:
        parts: variance, degrees of freedom. Those with none of the latter tell nothing.
    """
    known = [(variance, freedom) for variance, freedom in parts if freedom > 0]
    total = sum(variance for variance, _ in known)
    if not total > 0:
        return float(min((freedom for _, freedom in known), default=0))
    return float(total**2 / sum(variance**2 / freedom for variance, freedom in known))


def _of_images(sums: np.ndarray, leverage: np.ndarray) -> tuple[float, float]:
    """The variance that groups of images cause, from their influences (G,), and its degrees of freedom.

    A score leans towards the groups that make up much of a class, so the square of a group counts 1 / (1 - leverage)
    times (as in Bell and McCaffrey, Survey Methodology 2002), at most as many times as there are groups. The degrees of
    freedom are Satterthwaite's, from the scatter of the squares, at most G - 1: few groups that matter tell little.
    """
    squares, most = sums**2, max(len(sums) - 1, 1)
    total, spread = squares.sum(), ((squares - squares.mean()) ** 2).sum()
    variance = (squares / (1 - np.minimum(leverage, most / (most + 1)))).sum()
    return float(variance), float(min(2 * total**2 / spread, most)) if spread > 0 else most
