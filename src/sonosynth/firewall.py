"""The wall between what is trained and what is scored.

The *origins* of an artefact are the real images, by the SHA-256 of their files, whose pixels it was computed from. They
are kept row by row where it has rows; choosing rows chooses their origins. Tables and settings add none. Whatever is
trained on, started from, chosen by or thresholded with must have no scored image among its origins.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from sonosynth.errors import UserError


@dataclass(frozen=True)
class Origins:
    """The origins of N rows: `shared` by all of them, and the `own` ones of each, (N,)."""

    shared: frozenset[str]
    own: tuple[frozenset[str], ...]

    @classmethod
    def of_images(cls, hashes: Iterable[str]) -> "Origins":
        """The origins of rows that are real images themselves, or computed from one each."""
        return cls(frozenset(), tuple(frozenset([name]) for name in hashes))

    def choose(self, rows: Sequence[int] | np.ndarray) -> "Origins":
        """The origins of some of the rows, by position."""
        return Origins(self.shared if len(rows) else frozenset(), tuple(self.own[int(row)] for row in rows))

    def all(self) -> frozenset[str]:
        """The origins of all rows together."""
        return self.shared.union(*self.own)

    def __add__(self, other: "Origins") -> "Origins":
        """The origins of these rows, then of others; what only some rows share becomes their own."""
        if self.shared == other.shared:
            return Origins(self.shared, self.own + other.own)
        both = [frozenset(own | x.shared) for x in (self, other) for own in x.own]
        return Origins(frozenset(), tuple(both))


def check(origins: Collection[str], scored: Collection[str], what: str) -> None:
    """Refuse `what` if a scored image is among its origins.

    Raises:
        UserError: naming `what` and the number of images.
    """
    leaked = frozenset(origins) & frozenset(scored)
    if leaked:
        raise UserError(
            f"{what}: was made from {len(leaked)} validation image(s), the first with the SHA-256 {min(leaked)}",
            "training images only; scores on validation, inner or sealed images would mean nothing",
            "remove it and run the study again",
        )


def check_pixels(images: np.ndarray, names: Sequence[str], scored: np.ndarray) -> None:
    """Refuse images (N, H, W) if one of them is a scored image (M, H, W), pixel by pixel.

    Raises:
        UserError: naming the first of them by `names` (N,).
    """
    known = {image.tobytes() for image in scored}
    for name, image in zip(names, images, strict=True):
        if image.tobytes() in known:
            raise UserError(
                f"{name}: is a validation image",
                "synthetic images; scores on these validation images would mean nothing",
                "remove it and run the study again",
            )
