"""Selection while a set is made: an image is kept if it shows its label, and something else than those kept before.

Critics that were trained on real images alone sort synthetic ones in Shmelkov et al. (How good is my GAN?, ECCV 2018)
and in Besnier et al. (This dataset does not exist, ICASSP 2020). Alone, they narrow a set down to what is easily
recognised; so no image may come nearer to an earlier one of its class than real training images are to each other.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sonosynth.fidelity.nearness import Floor
from sonosynth.synthesis.requests import Request

RETRIES = 7  # further seeds for an image that is not kept
OTHER_CLASS, TOO_NEAR = "shows another class", "too near an earlier image"
KEPT = ""
"""Why an image is dropped, or that it isn't; further reasons are in `making`."""


class Selector:
    """Which images of one set are kept, and a row for each that was drawn."""

    def __init__(
        self, classes: Sequence[str], critics: Callable[[np.ndarray, Sequence[frozenset[str]]], np.ndarray],
        features: Callable[[np.ndarray], np.ndarray], floors: Mapping[str, Floor],
    ) -> None:  # fmt: skip
        """Select by critics and distances.

        Args:
            critics: the probabilities (N, K) of the K `classes`, for images (N, H, W) uint8 and the origins of each.
            features: (N, D) of images (N, H, W) uint8. floors: for each class, how near in these an image
                may come to those that were kept last.
        """
        self._classes, self._critics, self._features, self._floors = list(classes), critics, features, floors
        self._kept: dict[str, list[np.ndarray]] = defaultdict(list)
        self._rows: list[dict[str, Any]] = []

    def flaw(self, image: np.ndarray, request: Request) -> str:
        """Why an image (H, W) uint8 can't be kept, or `KEPT`."""
        probabilities = self._critics(image[None], [request.origins])[0]
        if self._classes[int(probabilities.argmax())] != request.label:
            return OTHER_CLASS
        floor = self._floors[request.label]
        kept = self._kept[request.label][-floor.others :] if floor.others else []
        if not kept:
            return KEPT
        distances = np.linalg.norm(np.stack(kept) - self._described(image), axis=1)
        return TOO_NEAR if distances.min() < floor.distance else KEPT

    def add(self, request: Request, image: np.ndarray, reasons: Sequence[str]) -> None:
        """Note what became of a request: its last image, and the reason for which each of its images was dropped."""
        if reasons[-1] == KEPT:
            self._kept[request.label].append(self._described(image))
        self._rows += [
            {"file_name": request.file_name, "label": request.label, "attempt": n, "seed": request.seed_of(n),
             "reason": reason} for n, reason in enumerate(reasons, 1)
        ]  # fmt: skip

    def table(self) -> pd.DataFrame:
        """A row for each image that was drawn: file_name, label, attempt, seed and reason; `KEPT` for those kept."""
        return pd.DataFrame(self._rows, columns=["file_name", "label", "attempt", "seed", "reason"])

    def _described(self, image: np.ndarray) -> np.ndarray:
        described: np.ndarray = self._features(image[None])[0].astype(np.float64)
        return described
