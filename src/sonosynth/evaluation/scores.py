"""Scores of the arms, from their predictions alone."""

import warnings
from collections.abc import Mapping

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score

SCORES = ("accuracy", "f1", "auc", "ppv", "recall")


def score(labels: np.ndarray, probabilities: np.ndarray, classes: list[str]) -> dict[str, float]:
    """Accuracy, and F1, one-vs-rest AUC, PPV and recall, each the unweighted mean over classes.

    Args:
        labels: (N,) class names. probabilities: (N, K), columns in the order of `classes`; the largest is the
            predicted class.
    """
    predicted = np.array(classes)[probabilities.argmax(axis=1)]
    truth = np.stack([labels == name for name in classes], axis=1)
    with warnings.catch_warnings():  # a class that is never predicted has PPV 0, as in the paper's scripts
        warnings.simplefilter("ignore")
        return {
            "accuracy": float(accuracy_score(labels, predicted)),
            "f1": float(f1_score(labels, predicted, labels=classes, average="macro", zero_division=0)),
            "auc": float(np.mean([roc_auc_score(truth[:, k], probabilities[:, k]) for k in range(len(classes))])),
            "ppv": float(precision_score(labels, predicted, labels=classes, average="macro", zero_division=0)),
            "recall": float(recall_score(labels, predicted, labels=classes, average="macro", zero_division=0)),
        }


def table(predictions: pd.DataFrame, n_train: Mapping[str, int]) -> pd.DataFrame:
    """One row per arm, in the order of `predictions`: the mean of every score over seeds, and its deviation.

    Args:
        predictions: the columns arm, seed, id, label and p_<class> for every class.
        n_train: training images of each arm.
    """
    classes = [name.removeprefix("p_") for name in predictions.columns if name.startswith("p_")]
    rows = []
    for arm, of_arm in predictions.groupby("arm", sort=False):
        runs = pd.DataFrame(
            score(part["label"].to_numpy(), part[[f"p_{name}" for name in classes]].to_numpy(), classes)
            for _, part in of_arm.groupby("seed", sort=False)
        )
        spread = runs.std(ddof=1) if len(runs) > 1 else runs.iloc[0] * np.nan
        rows.append(
            {"arm": arm, "n_train": n_train[str(arm)]}
            | {name: runs[name].mean() for name in SCORES}
            | {f"{name}_sd": spread[name] for name in SCORES}
            | {"n_validation": of_arm["id"].nunique(), "seeds": len(runs)}
        )
    return pd.DataFrame(rows)
