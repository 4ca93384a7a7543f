"""What a task is trained on."""

from dataclasses import dataclass

import numpy as np

from sonosynth.firewall import Origins


@dataclass(frozen=True)
class TrainingSet:
    """N images (N, H, W) uint8, the label of each (N,) int, its weight in the loss (N,) float64, and its origins.

    Raises:
        ValueError: if their numbers differ.
    """

    images: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    origins: Origins

    def __post_init__(self) -> None:
        counts = {len(self.images), len(self.labels), len(self.weights), len(self.origins.own)}
        if len(counts) > 1:
            raise ValueError(f"images, labels, weights and origins differ in number: {sorted(counts)}")
