"""What readers' answers say: shares with intervals for each reader, and agreement between readers."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import cohen_kappa_score

from sonosynth.evidence.tests import wilson
from sonosynth.reader.choosing import REAL, SYNTHETIC

SEEN, UNSEEN, UNKNOWN = "yes", "no", "unknown"
"""Whether a generator was trained on a real image."""


@dataclass(frozen=True)
class Share:
    """`hits` of `of` images."""

    hits: int
    of: int

    @classmethod
    def where(cls, hits: pd.Series) -> "Share":
        """The share of True."""
        return cls(int(hits.sum()), len(hits))

    @property
    def value(self) -> float:
        """The share, NaN of none."""
        return self.hits / self.of if self.of else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """95%, Wilson's; NaN of none. The images are independent (`choosing.choose`), the reader is given."""
        return wilson(self.hits, self.of) if self.of else (math.nan, math.nan)


@dataclass(frozen=True)
class Source:
    """What one reader said of the images of one source.

    set: "" for real images. synthetic: how many were called that. agreement: how many were given the class of their
    label. quality: mean of the ratings 1 to 5, None without images; spread: their standard deviation, None below two.
    """

    set: str
    synthetic: Share
    agreement: Share
    quality: float | None
    spread: float | None


@dataclass(frozen=True)
class Reader:
    """What one reader answered. sources: real images, then each set."""

    name: str
    accuracy: Share
    sources: tuple[Source, ...]

    @property
    def sensitivity(self) -> Share:
        """Synthetic images that were called synthetic."""
        return _sum(source.synthetic for source in self.sources[1:])

    @property
    def specificity(self) -> Share:
        """Real images that were called real."""
        return Share(self.sources[0].synthetic.of - self.sources[0].synthetic.hits, self.sources[0].synthetic.of)

    @property
    def agreement(self) -> tuple[Share, Share]:
        """Real, and synthetic, images that were given the class of their label."""
        return self.sources[0].agreement, _sum(source.agreement for source in self.sources[1:])


def _sum(shares: Iterable[Share]) -> Share:
    found = list(shares)
    return Share(sum(x.hits for x in found), sum(x.of for x in found))


@dataclass(frozen=True)
class Reading:
    """What the readers of one kit answered.

    real, synthetic: images in the kit. seen: how many of the real ones a generator was trained on; None: nobody knows.
    common: images that all readers have answered. kappas: agreement on these, by question: Cohen's kappa of two
    readers, Fleiss' of more; None where all answered alike, which leaves it undefined; empty for one reader. files: the
    SHA-256 of each synthetic image's file.
    """

    kit: str
    real: int
    synthetic: int
    sets: tuple[str, ...]
    seen: int | None
    readers: tuple[Reader, ...]
    common: int
    kappas: Mapping[str, float | None]
    files: tuple[str, ...]


def score(kit: str, key: pd.DataFrame, answers: Mapping[str, pd.DataFrame]) -> Reading:
    """What the answers of one or more readers to a kit say.

    Args:
        key: `answers.KEY`, one row per image in the order of the kit. answers: by reader, the columns origin, class and
            quality of the first images of the kit, in its order.
    """
    sets = tuple(sorted({*key["set"]} - {""}))
    common = min(map(len, answers.values()))
    real = key[key["origin"] == REAL]
    rated = {question: np.column_stack([rows[question][:common] for rows in answers.values()])
             for question in ("origin", "class")}  # fmt: skip
    return Reading(
        kit, len(real), len(key) - len(real), sets,
        None if (real["seen"] == UNKNOWN).any() else int((real["seen"] == SEEN).sum()),
        tuple(_reader(name, key.iloc[: len(rows)], rows, sets) for name, rows in answers.items()), common,
        {question: kappa(given) for question, given in rated.items()} if len(answers) > 1 else {},
        tuple(key["sha256"][key["origin"] == SYNTHETIC]),
    )  # fmt: skip


def _reader(name: str, key: pd.DataFrame, rows: pd.DataFrame, sets: tuple[str, ...]) -> Reader:
    rows = rows.set_axis(key.index)
    sources = []
    for source in ("", *sets):
        own = key["set"] == source
        quality = rows["quality"][own].astype(float)
        sources.append(
            Source(
                source, Share.where(rows["origin"][own] == SYNTHETIC),
                Share.where(rows["class"][own] == key["label"][own]),
                float(quality.mean()) if len(quality) else None, float(quality.std()) if len(quality) > 1 else None,
            )
        )  # fmt: skip
    return Reader(name, Share.where(rows["origin"] == key["origin"]), tuple(sources))


def kappa(given: np.ndarray) -> float | None:
    """Agreement beyond chance of two raters (Cohen, Educ. Psychol. Meas. 1960) or more (Fleiss).

    Args:
        given: (N, R) the category that each of R raters gave to each of N subjects.

    Returns:
        At most 1; None if all gave one and the same category to all, since chance would have them agree, too.
    """
    if len(np.unique(given)) < 2:
        return None
    if given.shape[1] == 2:
        return float(cohen_kappa_score(given[:, 0], given[:, 1]))
    return fleiss(np.column_stack([(given == category).sum(axis=1) for category in np.unique(given)]))


def fleiss(counts: np.ndarray) -> float:
    """Fleiss' kappa (Psychol. Bull. 76:378, 1971).

    Args:
        counts: (N, K) int, how many of R raters put each subject into each category; every row sums to R > 1. Two
            categories or more are used.
    """
    raters = counts.sum(axis=1)[0]
    observed = ((counts * (counts - 1)).sum(axis=1) / (raters * (raters - 1))).mean()
    expected = ((counts.sum(axis=0) / counts.sum()) ** 2).sum()
    return float((observed - expected) / (1 - expected))
