"""Predictions to score."""

import numpy as np
import pandas as pd

CLASSES = ("benign", "malignant", "normal")


def drawn(n=120, seed=0, skill=1.0):
    """Labels (n,) of three classes, and probabilities (n, 3) that are the better the larger `skill` is."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    logits = rng.normal(0, 1, (n, 3)) + skill * np.eye(3)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return labels, np.round(probabilities, 2) / np.round(probabilities, 2).sum(axis=1, keepdims=True)


def predictions(arm, labels, probabilities, seed=0, split=0, classes=CLASSES, folds=None):
    """The rows of predictions.csv of one training; or of one in each of `folds` (n,), which say where an image is."""
    about = {"arm": arm, "draw": 0, "split": split if folds is None else folds, "generator": "", "seed": seed}
    rows = pd.DataFrame({"id": [f"{i:03d}" for i in range(len(labels))], **about})
    rows["label"] = [classes[k] for k in labels]
    rows[[f"p_{name}" for name in classes]] = probabilities
    return rows
