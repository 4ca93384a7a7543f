"""Predictions of all arms, arranged by draw and run, and scored."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sonosynth.evidence.scores import Score, class_names


@dataclass(frozen=True)
class Run:
    """Predictions of every image of a draw by one arm: the n-th training of each of its folds together.

    generator: the one behind them, "" for none. rows: the columns label, split, p_<class>… of n images. places: their
    positions (n,) among the images of the study.
    """

    generator: str
    rows: pd.DataFrame
    places: np.ndarray


@dataclass(frozen=True)
class Design:
    """The shape of a study of N images.

    groups: (N,) int, 0 to G - 1. folds: (R, N) int, -1 where an image was not scored in a draw. runs: of each arm, for
    each draw. generators: how many each arm has. left_out: the draws that an arm has not finished. leverage: (G,), the
    largest share of the images of one class that a group has.
    """

    groups: np.ndarray
    folds: np.ndarray
    runs: Mapping[str, list[list[Run]]]
    generators: Mapping[str, int]
    left_out: tuple[str, ...]
    leverage: np.ndarray

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
        predictions: the columns arm, draw, split, generator, seed, id, label and p_<class>…; draw, split and generator
            may be absent.
        groups: group of an image by its id; images without one stand alone.

    Raises:
        ValueError: if no draw is complete, a label has no column, or an image is predicted twice.
    """
    if unknown := set(predictions["label"].unique()) - set(class_names(predictions)):
        raise ValueError(f"there are no columns of {', '.join(sorted(map(str, unknown)))}")
    ids, rows = np.unique(predictions["id"].astype(str), return_inverse=True)
    named = [("group", groups[name]) if groups.get(name) else ("image", name) for name in ids]
    codes = {name: code for code, name in enumerate(dict.fromkeys(named))}
    absent = {name: "" for name in ("draw", "split", "generator") if name not in predictions}
    table = predictions.assign(row=rows, **absent)
    table["generator"] = table["generator"].fillna("").astype(str)
    table["run"] = pd.factorize(table["generator"] + "\0" + table["seed"].astype(str), sort=True)[0]
    draws = _complete(table)
    folds = np.full((len(draws), len(ids)), -1)
    for places, draw in zip(folds, draws, strict=True):
        part = table[table["draw"] == draw]
        places[part["row"]] = pd.factorize(part["split"], sort=True)[0]
    runs: dict[str, list[list[Run]]] = {}
    for arm, own in table.groupby("arm", sort=False):
        parts = [own[own["draw"] == draw] for draw in draws]
        runs[str(arm)] = [_runs(part) for part in parts]
    generators = {str(arm): int(n) for arm, n in table.groupby("arm")["generator"].nunique().items()}
    left_out = tuple(sorted(set(table["draw"].astype(str)) - set(map(str, draws))))
    group_of = np.array([codes[name] for name in named])
    first = table.drop_duplicates("row")
    images = np.zeros((len(codes), first["label"].nunique()))
    np.add.at(images, (group_of[first["row"]], pd.factorize(first["label"])[0]), 1)
    return Design(group_of, folds, runs, generators, left_out, (images / images.sum(axis=0)).max(axis=1))


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


def _runs(part: pd.DataFrame) -> list[Run]:
    """The runs of one arm in one draw: the n-th trainings of all folds make one set of predictions."""
    number = part.groupby("split")["run"].rank("dense")
    count = int(number.groupby(part["split"]).max().min())
    found = []
    for n in range(1, count + 1):
        rows = part[number == n]
        found.append(Run(rows["generator"].iloc[0], rows, rows["row"].to_numpy()))
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


def _complete(table: pd.DataFrame) -> list[object]:
    """The draws in which every run of every arm has predictions of all images of all folds."""
    if table.duplicated(["arm", "draw", "split", "run", "row"]).any():
        raise ValueError("an image has two predictions by one arm, draw, split, generator and seed")
    if (table.groupby(["draw", "row"])["split"].nunique() > 1).any():
        raise ValueError("an image is in two splits of one draw")
    images = table.groupby(["draw", "split"])["row"].nunique()
    folds = images.groupby("draw").size()
    arms = table["arm"].nunique()
    whole = []
    for draw in folds[folds == folds.max()].index:
        runs = table[table["draw"] == draw].groupby(["arm", "split", "run"]).size().reset_index(name="count")
        every = (runs["count"] == runs["split"].map(images[draw])).all()
        if every and len(runs[["arm", "split"]].drop_duplicates()) == arms * folds[draw]:
            whole.append(draw)
    if not whole:
        raise ValueError("no draw has predictions of all images by all arms")
    return whole
