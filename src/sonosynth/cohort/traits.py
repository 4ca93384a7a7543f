"""What some images of a cohort have beside anatomy, and whether it goes with the label: marks, colour."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import fisher_exact

from sonosynth.cohort import marks

COLOUR = "colour"
COLOURED = 0.02
"""An image is coloured if more of its pixels than this are: coloured marks on a grey image are fewer."""
ALARM = 0.01
MATTERS = 0.1  # difference in share
CONSIDERABLE = 0.05  # share of images


@dataclass(frozen=True)
class Trait:
    """How many images have a trait, one of `marks.KINDS` or `COLOUR`, and the class in which it is least by chance.

    counts, images: of each label, how many have it, and how many there are. label: that class. share: of its images;
    others: of all other images. p: two-sided, of Fisher's exact test of this class against the others, times the number
    of tests (of classes and traits), at most 1. Images that belong together count once there.
    """

    kind: str
    counts: dict[str, int]
    images: dict[str, int]
    label: str
    share: float
    others: float
    p: float

    @property
    def total(self) -> int:
        """How many images have it."""
        return sum(self.counts.values())

    @property
    def tally(self) -> str:
        """How many images of each class have it, in words."""
        return ", ".join(f"{count} of {self.images[label]} {label}" for label, count in self.counts.items())

    @property
    def suspicious(self) -> bool:
        """Whether it goes with the label, by more than chance and more than a little."""
        return self.p < ALARM and abs(self.share - self.others) >= MATTERS

    @property
    def considerable(self) -> bool:
        """Whether it is more than some images' oddity, or goes with the label."""
        return self.total > CONSIDERABLE * sum(self.images.values()) or self.suspicious

    def described(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"suspicious": self.suspicious}

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> "Trait":
        """The trait that was `described`."""
        return cls(**{name: value for name, value in described.items() if name != "suspicious"})


def compare(
    found: Sequence[str], colour: np.ndarray, labels: Sequence[str], groups: Sequence[object] | None = None
) -> list[Trait]:
    """The traits that images have; none that no image has.

    Args:
        found: of each image, its marks, separated by semicolons. colour: (N,) share of coloured pixels. groups: of each
            image, what it belongs to, as a patient; None: each image stands alone.
    """
    frame = pd.DataFrame({"label": np.asarray(labels, str), "group": range(len(labels)) if groups is None else groups})
    present = {kind: np.array([kind in marks_of.split(";") for marks_of in found], bool) for kind in marks.KINDS}
    present[COLOUR] = np.asarray(colour, float) > COLOURED
    return [_tested(kind, frame.assign(has=has), len(present)) for kind, has in present.items() if has.any()]


def _tested(kind: str, rows: pd.DataFrame, traits: int) -> Trait:
    by_label = rows.groupby("label")["has"]
    counts, images = ({str(x): int(n) for x, n in of.items()} for of in (by_label.sum(), by_label.size()))
    whole, all_images = sum(counts.values()), len(rows)
    # Images of one patient or clip have a mark together, which would look like evidence from each.
    units = rows.groupby(["label", "group"], sort=False)["has"].mean().ge(0.5)
    p = {label: _p(units, label) for label in images}
    # Of equally unlikely classes (two are), the one that has it more often.
    label = min(p, key=lambda name: (p[name], -counts[name] / images[name]))
    tests = traits * (len(images) if len(images) > 2 else 1)
    return Trait(
        kind, counts, images, label, counts[label] / images[label],
        (whole - counts[label]) / max(all_images - images[label], 1), min(1.0, p[label] * tests),
    )  # fmt: skip


def _p(units: pd.Series, label: str) -> float:
    """Of Fisher's exact test: of units (a label and a group) with a trait or without, those of the label or others."""
    own = units.index.get_level_values("label") == label
    table = [[int((has & of).sum()) for has in (units, ~units)] for of in (own, ~own)]
    return float(fisher_exact(table)[1])
