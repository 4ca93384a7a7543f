"""Predictions of all arms, scored draw by draw and run by run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sonosynth.evidence.influences import Score
from sonosynth.evidence.scores import class_names


@dataclass(frozen=True)
class Arm:
    """What is known of an arm.

    score: mean over draws and runs. draws: (R, N), the influence of each image in each draw, mean over runs; 0 where it
    was not scored. runs: on one split, the scores (S,) and influences (S, N) of its runs. several_generators: whether
    its runs come from more than one generator.
    """

    score: float
    draws: np.ndarray
    runs: tuple[np.ndarray, np.ndarray]
    several_generators: bool


@dataclass(frozen=True)
class Design:
    """The shape of a study.

    groups: (N,) int, 0 to G - 1. folds: (R, N) int, -1 where an image was not scored in a draw.
    """

    groups: np.ndarray
    folds: np.ndarray

    @property
    def one_split(self) -> bool:
        """Whether there is nothing but one split."""
        return len(self.folds) == 1 and self.blocks == 1

    @property
    def blocks(self) -> int:
        """The number of folds in all draws."""
        return sum(len(np.unique(row[row >= 0])) for row in self.folds)

    def by_group(self, influence: np.ndarray) -> np.ndarray:
        """Sums over the images of each group: (..., N) to (..., G)."""
        sums: np.ndarray = influence @ np.eye(self.groups.max() + 1)[self.groups]
        return sums


def scored(predictions: pd.DataFrame, groups: Mapping[str, str], score: Score) -> tuple[Design, dict[str, Arm]]:
    """The complete draws of a study, and every arm scored in them, each seed by itself."""
    classes = class_names(predictions)
    ids, rows = np.unique(predictions["id"].astype(str), return_inverse=True)
    named = [("group", groups[name]) if groups.get(name) else ("image", name) for name in ids]
    codes = {name: code for code, name in enumerate(dict.fromkeys(named))}
    generator = predictions["generator"].fillna("").astype(str)
    table = pd.DataFrame(
        {
            "arm": predictions["arm"], "draw": predictions["draw"], "split": predictions["split"],
            "generator": generator, "run": generator + "\0" + predictions["seed"].astype(str), "row": rows,
            "label": predictions["label"].map(classes.index), "place": range(len(rows)),
        }
    )  # fmt: skip
    probabilities = predictions[[f"p_{name}" for name in classes]].to_numpy(np.float64)
    draws = _complete(table)
    folds = np.full((len(draws), len(ids)), -1)
    for r, draw in enumerate(draws):
        part = table[table["draw"] == draw]
        folds[r, part["row"]] = pd.factorize(part["split"], sort=True)[0]

    def run(part: pd.DataFrame, places: np.ndarray) -> tuple[float, np.ndarray]:
        value, own = score(part["label"].to_numpy(), probabilities[part["place"]], places[part["row"]])
        influence = np.zeros(len(ids))
        influence[part["row"]] = own
        return value, influence

    known = {}
    for arm, own in table.groupby("arm", sort=False):
        runs = []  # of each draw: generator, score and influence of each run
        for draw, places in zip(draws, folds, strict=True):
            part = own[own["draw"] == draw]
            number = part.groupby("split")["run"].rank(
                "dense"
            )  # the n-th runs of all folds make one set of predictions
            count = int(number.groupby(part["split"]).max().min())
            these = [part[number == n] for n in range(1, count + 1)]
            runs.append([(one["generator"].iloc[0], *run(one, places)) for one in these])
        several_generators = own["generator"].nunique() > 1
        known[str(arm)] = Arm(
            float(np.mean([np.mean([value for _, value, _ in of_draw]) for of_draw in runs])),
            np.stack([np.mean([influence for *_, influence in of_draw], axis=0) for of_draw in runs]),
            _by_generator(runs[0]) if several_generators else _together(runs[0]),
            several_generators,
        )
    return Design(np.array([codes[name] for name in named]), folds), known


Run = tuple[str, float, np.ndarray]


def _together(runs: Sequence[Run]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([value for _, value, _ in runs]), np.stack([influence for *_, influence in runs])


def _by_generator(runs: Sequence[Run]) -> tuple[np.ndarray, np.ndarray]:
    """The seeds of each generator averaged: they share what is peculiar to it."""
    parts = [_together([run for run in runs if run[0] == name]) for name in dict.fromkeys(run[0] for run in runs)]
    return np.array([values.mean() for values, _ in parts]), np.stack([moves.mean(axis=0) for _, moves in parts])


def _complete(table: pd.DataFrame) -> list[object]:
    """The draws in which every arm has predictions of all images of all folds; raises ValueError if there are none."""
    images = table.groupby(["draw", "split"])["row"].nunique()
    folds = images.groupby("draw").size()
    whole = []
    for draw in folds[folds == folds.max()].index:
        part = table[table["draw"] == draw].groupby(["arm", "split"])["row"].nunique().unstack(fill_value=0)
        if set(part.index) == set(table["arm"]) and (part == images[draw]).all(axis=None):
            whole.append(draw)
    if not whole:
        raise ValueError("no draw has predictions of all images by all arms")
    return whole
