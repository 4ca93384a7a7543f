"""What a task is trained on."""

from dataclasses import dataclass

import numpy as np

from sonosynth.firewall import Origins


@dataclass(frozen=True)
class TrainingSet:
    """N images (N, H, W) uint8, the label of each (N,) int, its weight in the loss (N,) float64, its origins, and
    whether it is synthetic (N,) bool.

    Raises:
        ValueError: if their numbers differ.
    """

    images: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    origins: Origins
    synthetic: np.ndarray

    def __post_init__(self) -> None:
        counts = {len(part) for part in (self.images, self.labels, self.weights, self.origins.own, self.synthetic)}
        if len(counts) > 1:
            raise ValueError(f"images and what is known of them differ in number: {sorted(counts)}")
