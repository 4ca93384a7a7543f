"""Predictions of studies whose truth is known: simulated, no image and no classifier has a part in them.

The logits of an image are the sum of a signal for its true class, an effect of its group and one of its own, the same
for all arms, and what chance adds: every training of a classifier moves the decisions between classes, for all images
of a fold alike, and each image a little by itself. A generator moves the classifiers of all seeds in the same two ways,
`scatter` times as much. An arm with sets of images may have more signal: see `calibrated`.

`World()` is like BUSI: 437, 210 and 133 images in groups of 1 to 3; real images alone give macro F1 0.755 (pooled over
five folds), AUC 0.930, and a standard deviation of macro F1 between seeds of 0.037 on 156 images; two seeds agree in
being right with a correlation of 0.37. What a real run showed (BUSI, preset quick of version 0.1, 8 arms of three
seeds, 154 images, macro F1 about 0.62): between seeds of an arm macro F1 had a standard deviation of 0.057 (root mean
square over arms; from 0.024 to 0.074, that of real images alone 0.037), and two seeds agreed in being right with a
correlation of 0.36 (from 0.27 to 0.61). Seeds there scatter more, since its classifiers weren't trained to an end. It
had one generator, so that the scatter of generators is not known: hence none, as seeds, twice as much.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.interpolate import PchipInterpolator

from sonosynth.evidence.scores import DECISIVE

REAL, COMPARATOR, CHOSEN = "real", "comparator", "chosen"
SCATTERS = {"none": 0.0, "as seeds": 1.0, "twice": 2.0}
SPLITS = 5
"""One split scores a fifth of the images."""
INNER = 0.2
"""The share of the training images by which an arm is chosen among others."""
COHORTS, DRAWS = 160, 30
"""Simulated for a calibration."""
CERTAIN = 12.0
"""A gain in logits after which nothing more is gained."""


@dataclass(frozen=True)
class World:
    """What a cohort is like, and how chance moves predictions; standard deviations of logits.

    counts: images of each class. group_size: smallest and largest number of images in a group; a group has one class.
    signal: logit of the true class. group, image: of what is common to all arms. bias: of what a training adds to each
    class, noise: and to each image. tails: degrees of freedom of the t distribution of biases, at the same standard
    deviation; infinite: normal. own: of what each set, as long as it is the same, does to each image, and to each
    group. together: share of the variance of generators that all sets of a block have in common. noisy: how many times
    the others' the first set's scatter of generators is. drift: of what another split does to an arm's classes. skill:
    of what a training, or a generator, adds to the true class of all images of its fold.
    """

    counts: tuple[int, ...] = (437, 210, 133)
    group_size: tuple[int, int] = (1, 3)
    signal: float = 1.7
    group: float = 0.6
    image: float = 0.6
    bias: float = 0.28
    noise: float = 0.6
    tails: float = np.inf
    own: float = 0.0
    together: float = 0.0
    noisy: float = 1.0
    drift: float = 0.0
    skill: float = 0.0


@dataclass(frozen=True)
class Plan:
    """What is trained: `folds` of 1 is one split. seeds: of each generator. real_seeds: of arms without a generator."""

    draws: int = 1
    folds: int = 5
    generators: int = 1
    seeds: int = 1
    real_seeds: int = 1
    comparator_seeds: int = 1


@dataclass(frozen=True)
class Images:
    """The scored images.

    labels, groups: (N,) int, from 0. folds: (R, N) int, the fold in each draw. common: (N, K), the logits in all arms.
    """

    labels: np.ndarray
    groups: np.ndarray
    folds: np.ndarray
    common: np.ndarray


def images(world: World, plan: Plan, rng: np.random.Generator) -> Images:
    """A cohort: its groups, their partitions, stratified by class, and what is common to all arms."""
    labels: list[np.ndarray] = []
    groups: list[np.ndarray] = []
    for label, count in enumerate(world.counts):
        sizes = rng.integers(world.group_size[0], world.group_size[1] + 1, count)
        names = np.repeat(np.arange(count), sizes)[:count] + (groups[-1][-1] + 1 if groups else 0)
        groups.append(names)
        labels.append(np.full(count, label))
    y, g = np.concatenate(labels), np.concatenate(groups)
    k, folds = len(world.counts), plan.folds if plan.folds > 1 else SPLITS
    of_group = np.stack([_partition(y, g, folds, rng) for _ in range(plan.draws)])
    common = world.signal * np.eye(k)[y] + rng.normal(0, world.image, (len(y), k))
    common += rng.normal(0, world.group, (g[-1] + 1, k))[g]
    if plan.folds > 1:
        return Images(y, g, of_group[:, g], common)
    kept = of_group[0, g] == 0
    return Images(y[kept], np.unique(g[kept], return_inverse=True)[1], np.zeros((1, kept.sum()), int), common[kept])


def _partition(labels: np.ndarray, groups: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """The fold of each group: those of a class are dealt out in turn."""
    label = labels[np.unique(groups, return_index=True)[1]]
    order = np.lexsort((rng.random(len(label)), label))
    fold = np.empty(len(label), int)
    fold[order] = (np.arange(len(label)) + rng.integers(folds)) % folds
    return fold


Logits = dict[str, np.ndarray]
"""(R, G, S, N, K) of each arm: draws, generators in a block, seeds of each, images, classes."""


def trained(
    world: World, plan: Plan, scatter: float, gains: Sequence[float], rng: np.random.Generator,
    chosen: float | None = None,
) -> tuple[Images, Logits]:  # fmt: skip
    """A study: real; where there are several sets, a comparator without a set or an effect; set 1, set 2, ….

    Args:
        scatter: of generators, as a multiple of that of seeds. gains: logits of the true class that each set adds.
        chosen: if given, there is one more arm, in every block whichever set is best on inner images, trained anew,
            with that much more in the logits of the true class.
    """
    at = images(world, plan, rng)
    if chosen is not None:
        scored, at = at, _with_inner(at, rng)
    truth, together = np.eye(at.common.shape[1])[at.labels], _chance(world, at, plan.generators, 1, rng)
    arms = {REAL: at.common + _trainings(world, at, 1, plan.real_seeds, rng)}
    if len(gains) > 1:
        arms[COMPARATOR] = at.common + _trainings(world, at, 1, plan.comparator_seeds, rng)
    of_sets = []
    for n, gain in enumerate(gains):
        alone = _chance(world, at, plan.generators, 1, rng)
        generator = np.sqrt(world.together) * together + np.sqrt(1 - world.together) * alone
        of_set = gain * truth + _peculiar(world, at, rng) + scatter * (1 if n else world.noisy) * generator
        arms[f"set {n + 1}"] = at.common + of_set + _trainings(world, at, plan.generators, plan.seeds, rng)
        of_sets.append(of_set)
    if chosen is None:
        return at, arms
    best = _best(at, np.stack(list(arms.values())[-len(gains) :]), len(scored.labels))
    of_best = np.take_along_axis(np.stack(of_sets), best[None, :, :, None, :, None], axis=0)[0] + chosen * truth
    arms[CHOSEN] = at.common + of_best + _trainings(world, at, plan.generators, plan.seeds, rng)
    return scored, {arm: logits[..., : len(scored.labels), :] for arm, logits in arms.items()}


def _with_inner(at: Images, rng: np.random.Generator) -> Images:
    """The scored images, then all of them again, as inner ones of a block in which they are not scored, or of none.

    What chance does to the classes in a block is the same for both. A fold of -1 is none.
    """
    groups, folds = at.groups.max() + 1, at.folds.max() + 1
    moved = rng.integers(1, folds, (len(at.folds), groups))[:, at.groups]
    of_one = rng.random((len(at.folds), groups))[:, at.groups] < INNER * (folds - 1)
    inner = np.where(of_one, (at.folds + moved) % folds, -1)
    twice = {name: np.concatenate([getattr(at, name)] * 2) for name in ("labels", "groups", "common")}
    return Images(**twice, folds=np.concatenate([at.folds, inner], axis=1))


def _best(at: Images, logits: np.ndarray, scored: int) -> np.ndarray:
    """The set (R, G, N) that has the best macro F1, mean over seeds, on the inner images of each image's block.

    Args:
        logits: of each set, (A, R, G, S, N, K), of images of which the first `scored` are not inner ones.
    """
    predicted, classes = logits.argmax(axis=-1), np.arange(logits.shape[-1])
    best = np.zeros((*logits.shape[1:3], logits.shape[4]), int)
    for draw, folds in enumerate(at.folds):
        for fold in range(folds.max() + 1):
            own = np.flatnonzero(folds[scored:] == fold) + scored
            truth, guess = (x[..., None] == classes for x in (at.labels[own], predicted[:, draw][..., own]))
            f1 = 2 * (truth & guess).sum(axis=-2) / np.maximum(truth.sum(axis=-2) + guess.sum(axis=-2), 1)
            choice = f1.mean(axis=(-2, -1)).argmax(axis=0)
            best[draw][:, folds == fold] = choice[:, None]
    return best


def predictions(at: Images, arms: Logits) -> tuple[pd.DataFrame, dict[str, str]]:
    """What `sonosynth.evidence.judge` takes: the predictions, and the group of each image.

    As the Dice of an image stands the probability of its true class.
    """
    ids = np.arange(len(at.labels)).astype(str).astype(object)
    table = pd.concat([_rows(arm, at, ids, logits) for arm, logits in arms.items()], ignore_index=True)
    return table, dict(zip(ids, at.groups.astype(str), strict=True))


def calibrated(
    world: World, folds: int, scatter: float, differences: Sequence[float], score: str, rng: np.random.Generator
) -> list[float]:
    """The gains in logits at which a set differs from real images alone by each of `differences` in the mean.

    Scatter of generators by itself lowers a score, so that a set without effect has some gain. The standard error is
    about 0.0005 with five folds and 0.0008 on one split, and more with few groups. NaN where no gain is large enough.
    """
    grid = np.linspace(-0.5, 3.5, 9)
    curve = _differences(world, folds, scatter, grid, score, COHORTS // 10, rng)
    while curve[-1] < max(differences) and grid[-1] < CERTAIN:  # scatter can cost more than that
        further = grid[-1] + np.arange(1, 10) / 2
        curve = np.append(curve, _differences(world, folds, scatter, further, score, COHORTS // 10, rng))
        grid = np.append(grid, further)
    none = float(np.interp(0, curve, grid))
    curve += _differences(world, folds, scatter, np.array([none]), score, COHORTS, rng)  # what the few were wrong by
    curve = np.maximum.accumulate(curve + 1e-9 * np.arange(len(grid)))
    rising = np.append(True, np.diff(curve) > 0)
    return [float(gain) for gain in PchipInterpolator(curve[rising], grid[rising], extrapolate=False)(differences)]


def recentred(world: World, folds: int, scatter: float, gains: Sequence[float], rng: np.random.Generator) -> float:
    """`chosen` of `trained` at which choosing has no effect on macro F1 in the mean, if sets have these `gains`.

    Inner images know which generators of a block did well, so that a choice among generators that scatter has one. The
    standard error is about 0.001.
    """
    grid, found = np.linspace(-0.6, 0.2, 9), []
    for _ in range(COHORTS // 4):
        at, arms = trained(world, Plan(DRAWS // 3, folds), scatter, gains, rng, 0.0)
        truth, real = np.eye(len(world.counts))[at.labels], scores(at, arms[REAL], "f1").mean()
        found.append([scores(at, arms[CHOSEN] + gain * truth, "f1").mean() - real for gain in grid])
    return float(np.interp(0, np.maximum.accumulate(np.mean(found, axis=0)), grid))


def _differences(
    world: World, folds: int, scatter: float, gains: np.ndarray, score: str, cohorts: int, rng: np.random.Generator
) -> np.ndarray:
    """The mean difference of a set from real images alone at each of `gains`, over `DRAWS` for each cohort."""
    draws = DRAWS if folds > 1 else 1
    found = []
    for _ in range(cohorts * DRAWS // draws):
        at, arms = trained(world, Plan(draws, folds), scatter, [0], rng)
        of_set, truth = arms["set 1"], np.eye(len(world.counts))[at.labels]
        real = scores(at, arms[REAL], score).mean()
        found.append([scores(at, of_set + gain * truth, score).mean() - real for gain in gains])
    return np.mean(found, axis=0)


def scores(at: Images, logits: np.ndarray, score: str) -> np.ndarray:
    """The score of every run, from logits (R, G, S, N, K): (R, G, S)."""
    n = len(at.labels)
    rows = _rows("", at, np.arange(n), logits)
    runs = [rows.iloc[start : start + n] for start in range(0, len(rows), n)]
    return np.array([DECISIVE[score](run)[0] for run in runs]).reshape(logits.shape[:3])


def _probabilities(logits: np.ndarray) -> np.ndarray:
    p = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)


def _chance(world: World, at: Images, generators: int, seeds: int, rng: np.random.Generator) -> np.ndarray:
    """What trainings, or generators, do: (R, G, S, N, K) logits."""
    runs = (generators, seeds)
    moved = _biases(world, world.bias, at, runs, rng)
    moved += rng.normal(0, world.noise, (len(at.folds), *runs, *at.common.shape))
    if world.skill:
        truth = np.eye(at.common.shape[1])[at.labels]
        moved += truth * _biases(world, world.skill, at, runs, rng)[..., :1]
    return moved


def _trainings(world: World, at: Images, generators: int, seeds: int, rng: np.random.Generator) -> np.ndarray:
    """What the trainings of an arm do: each by itself, and all in a fold of a draw alike; (R, G, S, N, K) logits."""
    return _chance(world, at, generators, seeds, rng) + _biases(world, world.drift, at, (1, 1), rng)


def _biases(world: World, size: float, at: Images, runs: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """One logit for each class and fold of a draw, and each of `runs`, given to its images: (R, *runs, N, K)."""
    draws, k = len(at.folds), at.common.shape[1]
    shape = (draws, *runs, at.folds.max() + 1, k)
    if np.isfinite(world.tails):
        drawn = rng.standard_t(world.tails, shape) * np.sqrt((world.tails - 2) / world.tails)
    else:
        drawn = rng.standard_normal(shape)
    of_image: np.ndarray = np.take_along_axis(size * drawn, at.folds[:, None, None, :, None], axis=3)
    return of_image


def _peculiar(world: World, at: Images, rng: np.random.Generator) -> np.ndarray:
    """What a set does to each image and group, whoever is trained: (N, K) logits."""
    of_image, of_group = rng.normal(0, world.own, (2, *at.common.shape))
    peculiar: np.ndarray = of_image + of_group[at.groups]
    return peculiar


def _rows(arm: str, at: Images, ids: np.ndarray, logits: np.ndarray) -> pd.DataFrame:
    """The predictions of an arm, from logits (R, G, S, N, K)."""
    _, generators, _, n, k = logits.shape
    p = _probabilities(logits)
    draw, generator, seed, image = (axis.ravel() for axis in np.indices(logits.shape[:-1]))
    split = at.folds[draw, image]
    blocks = (draw * (at.folds.max() + 1) + split) * generators + generator
    names = np.arange(blocks.max() + 1).astype(str).astype(object)
    return pd.DataFrame(
        {
            "arm": arm, "draw": draw, "split": split,
            "generator": "" if arm in {REAL, COMPARATOR} else names[blocks], "seed": seed,
            "id": ids[image], "label": pd.Categorical.from_codes(at.labels[image], pd.Index([*map(str, range(k))])),
            **{f"p_{c}": p[..., c].ravel() for c in range(k)},
            "dice": p[..., np.arange(n), at.labels].ravel(),
        }
    )  # fmt: skip
