"""Trained on real images, tested on synthetic ones: does a linear classifier recognise their classes?"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sonosynth.evidence.tests import wilson
from sonosynth.fidelity.comparison import Images, Sides
from sonosynth.fidelity.linear import fitted, matrix

OVERALL = ""


def compare(sides: Sides) -> list[dict[str, Any]]:
    """The share of each class of the set that is recognised, and the mean over its classes (class ""), each as a row.

    The classifier is fitted to the training images. `floor` is the share among held-out real images; overall, of the
    same classes. Shares don't depend on counts, so `matched` is the value. A share far above the floor is no
    good sign, either: images can be more typical of their class than real ones. The 95% intervals are Wilson's; that of
    the mean is combined from them (MOVER, Zou and Donner, Statist. Med. 27:1693, 2008).
    """
    model = fitted(sides.train, sides.train.labels)
    made, real = (_recognised(model.predict, side) for side in (sides.made, sides.held_out))
    classes = tuple(label for label in made if label in real)
    n = {label: int((sides.made.labels == label).sum()) for label in classes}
    spans = {label: wilson(round(made[label] * n[label]), n[label]) for label in classes}
    rows = [_row(label, made[label], real[label], spans[label], n[label], (label,)) for label in classes]
    if not classes:
        return rows
    value, floor = (float(np.mean([share[label] for label in classes])) for share in (made, real))
    below, above = (
        float(np.sqrt(sum((made[label] - spans[label][end]) ** 2 for label in classes))) / len(classes) for end in (0, 1)
    )
    return [_row(OVERALL, value, floor, (value - below, value + above), sum(n.values()), classes), *rows]


def _recognised(predict: Any, images: Images) -> Mapping[str, float]:
    """The share of right answers for each class that there is."""
    right = predict(matrix(images.values)) == images.labels if len(images) else np.empty(0, bool)
    return {label: float(right[images.labels == label].mean()) for label in np.unique(images.labels).tolist()}


def _row(
    label: str, value: float, floor: float, span: tuple[float, float], n: int, classes: tuple[str, ...]
) -> dict[str, Any]:  # fmt: skip
    return {
        "class": label, "metric": "recognised", "value": value, "low": span[0], "high": span[1], "matched": value,
        "floor": floor, "n_synthetic": n, "n_matched": n, "classes": classes,
    }  # fmt: skip
