"""Selection while a set is made: an image that breaks a rule is made again with another seed.

It may have to show its label, and something else than those kept before; or the lesion mask that it is made under.

Critics that were trained on real images alone sort synthetic ones in Shmelkov et al. (How good is my GAN?, ECCV 2018)
and in Besnier et al. (This dataset does not exist, ICASSP 2020). Alone, they narrow a set down to what is easily
recognised; so no image may come nearer to an earlier one of its class than real training images are to each other.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd

from sonosynth.fidelity.nearness import Floor
from sonosynth.synthesis.requests import Request

RETRIES = 7  # further seeds for an image that is not kept
OTHER_CLASS, TOO_NEAR, DISOBEYS = "shows another class", "too near an earlier image", "misses its mask"
KEPT = ""
"""Why an image is dropped, or that it isn't; further reasons are in `making`."""


class Rule(Protocol):
    """What an image has to comply with. setting: the key of a set that asks for it."""

    setting: str

    def flaw(self, image: np.ndarray, request: Request) -> str:
        """Why an image (H, W) uint8 can't be kept, or `KEPT`."""

    def keep(self, image: np.ndarray, request: Request) -> None:
        """Take note of an image that is kept."""


class ByCritics:
    """Whether images show their label, and differ from those that were kept before."""

    setting = "select"

    def __init__(
        self, classes: Sequence[str], critics: Callable[[np.ndarray, Sequence[frozenset[str]]], np.ndarray],
        features: Callable[[np.ndarray], np.ndarray], floors: Mapping[str, Floor],
    ) -> None:  # fmt: skip
        """Rule by critics and distances.

        Args:
            critics: the probabilities (N, K) of the K `classes`, for images (N, H, W) uint8 and the origins of each.
            features: (N, D) of images (N, H, W) uint8. floors: for each class, how near in these an image
                may come to those that were kept last.
        """
        self._classes, self._critics, self._features, self._floors = list(classes), critics, features, floors
        self._kept: dict[str, list[np.ndarray]] = defaultdict(list)

    def flaw(self, image: np.ndarray, request: Request) -> str:
        """`OTHER_CLASS`, `TOO_NEAR` or `KEPT`."""
        probabilities = self._critics(image[None], [request.origins])[0]
        if self._classes[int(probabilities.argmax())] != request.label:
            return OTHER_CLASS
        floor = self._floors[request.label]
        kept = self._kept[request.label][-floor.others :] if floor.others else []
        if not kept:
            return KEPT
        distances = np.linalg.norm(np.stack(kept) - self._described(image), axis=1)
        return TOO_NEAR if distances.min() < floor.distance else KEPT

    def keep(self, image: np.ndarray, request: Request) -> None:
        """No later image of its class may come too near it."""
        self._kept[request.label].append(self._described(image))

    def _described(self, image: np.ndarray) -> np.ndarray:
        described: np.ndarray = self._features(image[None])[0].astype(np.float64)
        return described


class ByMask:
    """Whether images show the masks that they are made under."""

    setting = "obey"

    def __init__(
        self,
        obedience: Callable[[np.ndarray, np.ndarray, Sequence[frozenset[str]], Sequence[frozenset[str]]], np.ndarray],
        least: float,
    ) -> None:
        """Rule by segmenters.

        Args:
            obedience: how far (N,), 0 to 1, images (N, H, W) uint8 show the masks (N, H, W), given the origins of each
                image and of each mask. least: what is enough.
        """
        self._obedience, self._least = obedience, least

    def flaw(self, image: np.ndarray, request: Request) -> str:
        """`DISOBEYS` or `KEPT`."""
        assert request.mask is not None
        found = self._obedience(image[None], request.mask[None], [request.origins], [request.mask_origins])[0]
        return DISOBEYS if found < self._least else KEPT

    def keep(self, image: np.ndarray, request: Request) -> None:
        """Each image counts by itself."""


class Selector:
    """Which images of one set are kept, and a row for each that was drawn."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = list(rules)
        self._rows: list[dict[str, Any]] = []

    @property
    def setting(self) -> str:
        """The key of the set that asks for its first rule."""
        return self._rules[0].setting

    def flaw(self, image: np.ndarray, request: Request) -> str:
        """Why an image (H, W) uint8 can't be kept, by the first rule that it breaks, or `KEPT`."""
        return next(filter(None, (rule.flaw(image, request) for rule in self._rules)), KEPT)

    def add(self, request: Request, image: np.ndarray, reasons: Sequence[str]) -> None:
        """Note what became of a request: its last image, and the reason for which each of its images was dropped."""
        for rule in self._rules if reasons[-1] == KEPT else ():
            rule.keep(image, request)
        self._rows += [
            {"file_name": request.file_name, "label": request.label, "attempt": n, "seed": request.seed_of(n),
             "reason": reason} for n, reason in enumerate(reasons, 1)
        ]  # fmt: skip

    def table(self) -> pd.DataFrame:
        """A row for each image that was drawn: file_name, label, attempt, seed and reason; `KEPT` for those kept."""
        return pd.DataFrame(self._rows, columns=["file_name", "label", "attempt", "seed", "reason"])
