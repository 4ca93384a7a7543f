"""Predictions of all arms, arranged by draw and run, and scored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd

from sonosynth.evidence.scores import Score, class_names

ABOUT = ["arm", "draw", "generator", "seed", "id"]  # columns of predictions that no score reads


@dataclass(frozen=True)
class Run:
    """Predictions of every image of a draw by one arm: the n-th training of each of its folds together.

    generator: the one behind them, "" for none. rows: the columns of n images that scores read: split (a number), label
    and p_<class>…, or others.
    places: their positions (n,) among the images of the study.
    """

    generator: str
    rows: pd.DataFrame
    places: np.ndarray


@dataclass(frozen=True)
class Design:
    """The shape of a study of N images.

    groups: (N,) int, 0 to G - 1. folds: (R, N) int, -1 where an image was not scored in a draw. runs: of each arm, for
    each draw. generators: how many each arm has. left_out: the draws that an arm has not finished. leverage: (G,), the
    largest share of the images of one class that a group has. weights: (N,), the share of each image if all classes
    count alike; they add up to 1. Where nothing is predicted of classes, all images are of one.
    """

    groups: np.ndarray
    folds: np.ndarray
    runs: Mapping[str, list[list[Run]]]
    generators: Mapping[str, int]
    left_out: tuple[str, ...]
    leverage: np.ndarray
    weights: np.ndarray

    @property
    def one_split(self) -> bool:
        """Whether there is nothing but one split."""
        return len(self.folds) == 1 and self.blocks == 1

    @property
    def blocks(self) -> int:
        """The number of folds in all draws."""
        return sum(len(np.unique(row[row >= 0])) for row in self.folds)

    @property
    def group_count(self) -> int:
        """G, the number of groups."""
        return int(self.groups.max()) + 1

    def units(self, arm: str) -> int:
        """What is repeated of an arm in a draw: its generators, or its runs if it has one generator or none."""
        return self.generators[arm] if self.generators[arm] > 1 else len(self.runs[arm][0])

    def by_group(self, influence: np.ndarray) -> np.ndarray:
        """Sums over the images of each group: (R, N) to (R, G)."""
        sums = np.zeros((len(influence), self.group_count))
        np.add.at(sums.T, self.groups, influence.T)
        return sums


@dataclass(frozen=True)
class Scored:
    """One score of an arm.

    value: mean over draws and runs. draws: (R, N), the influence of each image in each draw, mean over runs; 0 where it
    was not scored. units: in the first draw, the scores (S,) and influences (S, N) of its runs; those of one generator
    averaged, since they share what is peculiar to it. runs: the scores of all runs of all draws.
    """

    value: float
    draws: np.ndarray
    units: tuple[np.ndarray, np.ndarray]
    runs: np.ndarray


def arranged(predictions: pd.DataFrame, groups: Mapping[str, str]) -> Design:
    """The complete draws of a study.

    Args:
        predictions: the columns arm, draw, split, generator, seed, id, and what is scored: label and p_<class>…, or
            others, for scores to which all images count alike. draw, split and generator may be absent.
        groups: group of an image by its id; images without one stand alone.

    Raises:
        ValueError: if no draw is complete, a label has no column, or an image is predicted twice.
    """
    classes = class_names(predictions)
    if classes and (unknown := set(predictions["label"].unique()) - set(classes)):
        raise ValueError(f"there are no columns of {', '.join(sorted(map(str, unknown)))}")
    at = _Places.of(predictions)
    draws = _complete(at)
    named = [("group", groups[name]) if groups.get(name) else ("image", name) for name in at.ids]
    codes = {name: code for code, name in enumerate(dict.fromkeys(named))}
    folds = np.full((len(draws), len(at.ids)), -1)
    for places, draw in zip(folds, draws, strict=True):
        own = at.draw == draw
        places[at.image[own]] = np.unique(at.split[own], return_inverse=True)[1]
    group_of = np.array([codes[name] for name in named])
    first = np.unique(at.image, return_index=True)[1]
    labels = pd.factorize(predictions["label"].iloc[first])[0] if classes else np.zeros(len(first), int)
    images = np.zeros((len(codes), labels.max() + 1))
    np.add.at(images, (group_of, labels), 1)
    generators = {arm: len(np.unique(at.generator[at.arm == code])) for code, arm in enumerate(at.arms)}
    left_out = sorted(str(name) for code, name in enumerate(at.draws) if code not in draws)
    totals = images.sum(axis=0)
    leverage, weights = (images / totals).max(axis=1), 1 / (totals[labels] * len(totals))
    return Design(group_of, folds, _runs(predictions, at, draws), generators, tuple(left_out), leverage, weights)


class _Places(NamedTuple):
    """Where N predictions belong: (N,) int for each of their columns, in the order of the values of that column.

    run: generator and seed. arms: in the order in which they appear. The others are sorted.
    """

    arm: np.ndarray
    draw: np.ndarray
    split: np.ndarray
    generator: np.ndarray
    run: np.ndarray
    image: np.ndarray
    arms: list[str]
    draws: list[object]
    generators: list[str]
    ids: list[str]

    @classmethod
    def of(cls, predictions: pd.DataFrame) -> "_Places":
        """Read them from the columns arm, draw, split, generator, seed and id; the middle three may be absent."""
        absent = pd.Series("", predictions.index)
        draws, splits, generators = (predictions.get(name, absent) for name in ("draw", "split", "generator"))
        arm, arms = pd.factorize(predictions["arm"])
        draw, draw_names = pd.factorize(draws, sort=True, use_na_sentinel=False)
        split, _ = pd.factorize(splits, sort=True, use_na_sentinel=False)
        (generator, generator_names), (seed, seeds) = _as_text(generators), _as_text(predictions["seed"])
        image, ids = _as_text(predictions["id"])
        run = generator * len(seeds) + seed
        return cls(arm, draw, split, generator, run, image, [*map(str, arms)], [*draw_names], generator_names, ids)

    @property
    def splits(self) -> int:
        """More than the largest of `split`."""
        return int(self.split.max()) + 1

    @property
    def runs(self) -> int:
        """More than the largest of `run`."""
        return int(self.run.max()) + 1

    @property
    def trainings(self) -> np.ndarray:
        """A number (N,) for each arm, draw, split and run, in this order."""
        shape = (len(self.arms), len(self.draws), self.splits, self.runs)
        return np.ravel_multi_index((self.arm, self.draw, self.split, self.run), shape)


def _as_text(values: pd.Series) -> tuple[np.ndarray, list[str]]:
    """The number of each value, as text, among all that there are, sorted, and these; "" is where there is none."""
    codes, unique = pd.factorize(values, use_na_sentinel=False)
    names, order = np.unique(["" if pd.isna(value) else str(value) for value in unique], return_inverse=True)
    return order[codes], [*map(str, names)]


def of_common_images(predictions: pd.DataFrame) -> pd.DataFrame:
    """Predictions of the same images by the classifiers of all blocks, as one split for `arranged`.

    What is repeated, of every arm, is then the block (a fold of a draw), whose training images differ from the others':
    it stands as the generator. Generators and seeds within it are its runs, since what is peculiar to its training
    images is common to them. With one block alone, generators stay what they are.
    """
    blocks = predictions.groupby(["draw", "split"]).ngroup()
    if blocks.nunique() == 1:
        return predictions
    runs = predictions.groupby(["generator", "seed"], dropna=False).ngroup()
    return predictions.assign(draw=0, split=0, generator=blocks.astype(str), seed=runs)


def _runs(predictions: pd.DataFrame, at: _Places, draws: Sequence[int]) -> dict[str, list[list[Run]]]:
    """The runs of each arm in some draws: the n-th trainings of all folds make one set of predictions."""
    trainings, training_of = np.unique(at.trainings, return_inverse=True)
    blocks, first, counts = np.unique(trainings // at.runs, return_index=True, return_counts=True)
    number = np.arange(len(trainings)) - np.repeat(first, counts)
    place = (at.arm * len(at.draws) + at.draw) * len(trainings) + number[training_of]
    order = np.argsort(place, kind="stable")
    table = predictions.drop(columns=ABOUT, errors="ignore").iloc[order].assign(split=at.split[order])
    if classes := class_names(predictions):
        table["label"] = pd.Categorical(table["label"], classes)  # read once for every score
    generator, image, place = at.generator[order], at.image[order], place[order]
    found: dict[str, list[list[Run]]] = {}
    for arm, name in enumerate(at.arms):
        found[name] = []
        for draw in draws:
            own = arm * len(at.draws) + draw
            every = counts[blocks // at.splits == own].min()
            bounds = np.searchsorted(place, own * len(trainings) + np.arange(every + 1))
            found[name].append(
                [
                    Run(at.generators[generator[start]], table.iloc[start:end], image[start:end])
                    for start, end in pairwise(bounds)
                ]
            )
    return found


def scored(design: Design, arm: str, score: Score) -> Scored:
    """An arm scored in all complete draws, each run by itself: the mean of probabilities would score better."""
    found: list[list[tuple[float, np.ndarray]]] = []
    for runs in design.runs[arm]:
        found.append([])
        for run in runs:
            value, own = score(run.rows)
            influence = np.zeros(design.folds.shape[1])
            influence[run.places] = own
            found[-1].append((value, influence))
    names = [run.generator if design.generators[arm] > 1 else str(n) for n, run in enumerate(design.runs[arm][0])]
    values, influences = (np.stack(x) for x in zip(*found[0], strict=True))
    units = [[name == other for other in names] for name in dict.fromkeys(names)]
    return Scored(
        float(np.mean([np.mean([value for value, _ in of_draw]) for of_draw in found])),
        np.stack([np.mean([influence for _, influence in of_draw], axis=0) for of_draw in found]),
        (
            np.array([values[unit].mean() for unit in units]),
            np.stack([influences[unit].mean(axis=0) for unit in units]),
        ),
        np.array([value for of_draw in found for value, _ in of_draw]),
    )


def _complete(at: _Places) -> list[int]:
    """The draws in which every run of every arm has predictions of all images of all folds."""
    n = len(at.ids)
    every = at.trainings * n + at.image
    if len(np.unique(every)) < len(every):
        raise ValueError("an image has two predictions by one arm, draw, split, generator and seed")
    scored = np.unique((at.draw * at.splits + at.split) * n + at.image)
    if len(np.unique(scored // n // at.splits * n + scored % n)) < len(scored):
        raise ValueError("an image is in two splits of one draw")
    images = np.bincount(scored // n, minlength=len(at.draws) * at.splits)
    folds = (images.reshape(len(at.draws), at.splits) > 0).sum(axis=1)
    trainings, counts = np.unique(at.trainings, return_counts=True)
    block = trainings // at.runs % len(images)
    unfinished = block[counts < images[block]] // at.splits
    trained = np.bincount(np.unique(trainings // at.runs) // at.splits % len(at.draws), minlength=len(at.draws))
    whole = (folds == folds.max()) & (trained == len(at.arms) * folds)
    whole[unfinished] = False
    if not whole.any():
        raise ValueError("no draw has predictions of all images by all arms")
    return [*map(int, np.flatnonzero(whole))]
