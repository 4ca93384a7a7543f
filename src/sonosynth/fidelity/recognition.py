"""Trained on real images, tested on synthetic ones: does a linear classifier recognise their classes?"""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

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
    made, real = (_recognised(model, side) for side in (sides.made, sides.held_out))
    classes = [label for label in made if label in real]
    if not classes:
        return []
    shares, floors = (np.array([found[label] for label in classes]) for found in (made, real))
    counts = np.array([(sides.made.labels == label).sum() for label in classes])
    spans = np.array([wilson(round(share * n), n) for share, n in zip(shares, counts, strict=True)])
    reach = np.sqrt(((spans - shares[:, None]) ** 2).sum(axis=0)) / len(classes)
    spans = np.vstack([shares.mean() + [-1, 1] * reach, spans])
    value, n = np.append(shares.mean(), shares), np.append(counts.sum(), counts)
    table = pd.DataFrame(
        {
            "class": [OVERALL, *classes], "metric": "recognised", "value": value, "low": spans[:, 0],
            "high": spans[:, 1], "matched": value, "floor": np.append(floors.mean(), floors),
            "n_real": len(sides.train), "n_synthetic": n, "n_matched": n,
            "classes": [tuple(classes), *((label,) for label in classes)],
        }
    )  # fmt: skip
    return [{str(name): cell for name, cell in row.items()} for row in table.to_dict("records")]


def _recognised(model: Pipeline, images: Images) -> dict[str, float]:
    """The share of right answers for each class that there is."""
    right = model.predict(matrix(images.values)) == images.labels if len(images) else np.empty(0, bool)
    return {label: float(right[images.labels == label].mean()) for label in np.unique(images.labels).tolist()}
