"""What a task is trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sonosynth.firewall import Origins


@dataclass(frozen=True)
class TrainingSet:
    """N images (N, H, W) uint8, and what is known of each.

    labels: (N,) int, the classes that they count as. targets: (N, K), the parts of the K classes in the loss; a row
    adds up to the weight of the image. synthetic: (N,) bool. source: (N,) int, the row of the real image that it was
    made from, -1 for none. masks: (N, H, W) uint8, 1 where a lesion is, if these are learned. lost: of a set, the
    classes whose images were all dropped although they are needed; they are in here, and what was trained on them must
    not be judged.

    Raises:
        ValueError: if their numbers differ.
    """

    images: np.ndarray
    labels: np.ndarray
    targets: np.ndarray
    origins: Origins
    synthetic: np.ndarray
    source: np.ndarray
    masks: np.ndarray | None = None
    lost: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def of_real(cls, images: np.ndarray, labels: np.ndarray, classes: int, origins: Origins) -> "TrainingSet":
        """Real images (N, H, W) with their labels (N,), 0 to `classes` - 1."""
        n = len(images)
        return cls(images, labels, np.eye(classes)[labels], origins, np.zeros(n, bool), np.full(n, -1))

    def choose(self, rows: np.ndarray) -> "TrainingSet":
        """Some of the images, by position; each counts as made from none of the others."""
        masks = None if self.masks is None else self.masks[rows]
        return TrainingSet(
            self.images[rows], self.labels[rows], self.targets[rows], self.origins.choose(rows), self.synthetic[rows],
            np.full(len(rows), -1), masks,
        )  # fmt: skip

    def __add__(self, other: "TrainingSet") -> "TrainingSet":
        """These images, then others, whose `source` counts from the first of these."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in ("images", "labels", "targets"))
        images, labels, targets = (np.concatenate(pair) for pair in pairs)
        synthetic, source = (
            np.concatenate([getattr(x, name) for x in (self, other)]) for name in ("synthetic", "source")
        )
        masks = None if self.masks is None or other.masks is None else np.concatenate([self.masks, other.masks])
        return TrainingSet(images, labels, targets, self.origins + other.origins, synthetic, source, masks)

    def __post_init__(self) -> None:
        known = (self.images, self.labels, self.targets, self.origins.own, self.synthetic, self.source, self.masks)
        counts = {len(part) for part in known if part is not None}
        if len(counts) > 1:
            raise ValueError(f"images and what is known of them differ in number: {sorted(counts)}")
