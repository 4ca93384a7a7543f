"""How often are verdicts right? Simulated predictions of studies whose truth is known, judged as a study's are.

    python benchmarks/verdicts.py --out FILE.csv [--share 0.1]

No image and no classifier has a part in this: see `simulated.py`. For each design, number of sets and scatter of
generators, the share of studies that find an effect where there is none, and the share that find a true gain of 0.03,
0.05, 0.07 or 0.1 in macro F1 of one set, with 95% intervals (Wilson); then the same with other scores, and with chance
of other kinds; and the share that call a difference irrelevant. Where there are several sets, each has to beat the
comparator, too. Prints tables in Markdown. The same command resumes; FILE.csv holds what is done.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from simulated import CHOSEN, COMPARATOR, SCATTERS, Plan, World, calibrated, predictions, recentred, trained
from sonosynth import seeding
from sonosynth.evidence import judge
from sonosynth.evidence.judging import Finding
from sonosynth.evidence.scores import DECISIVE
from sonosynth.evidence.tests import wilson

GAINS = (0.03, 0.05, 0.07, 0.1)
MARGIN = 0.02
"""A difference that is not called irrelevant if it is this large."""
GENERATOR_MINUTES, TRAINING_MINUTES = 6, 50 / 60
"""Of an adapter with the sets that it makes, and of one training on one of two cores' turns: BUSI, embedded base."""


@dataclass(frozen=True)
class Design:
    """What is trained.

    primary: whether set 1 is named beforehand, or the arm that is chosen. compared: whether sets have to beat the
    comparator. chosen: whether there is one more arm, in every block whichever set is best on inner images: what is
    said of set 1 is then of that arm.
    """

    plan: Plan
    primary: bool = False
    compared: bool = True
    chosen: bool = False

    @property
    def arm(self) -> str:
        """The arm that may have a gain."""
        return CHOSEN if self.chosen else "set 1"

    def hours(self, sets: int) -> float:
        """What it costs with some sets and a comparator, if all sets of a block share one adapter."""
        p = self.plan
        trainings = p.generators * p.seeds * sets + p.real_seeds + p.comparator_seeds
        blocks = p.draws * p.folds
        return blocks * (p.generators * GENERATOR_MINUTES + trainings * TRAINING_MINUTES) / 60


SOUND, PRIMARY = "2 draws × 5 folds", "2 draws × 5 folds, one set primary"
AGAINST_REAL = "2 draws × 5 folds, against real images alone"
BEST, ONE_MORE = "2 draws × 5 folds, best of the sets primary", "2 draws × 5 folds, best of the sets as one more arm"
MANY = "5 draws × 5 folds, 2 seeds"
ONE_SPLIT, FEW_REAL = "one split, 5 generators × 3 seeds", "one split, 5 generators × 3 seeds, 3 of real"
DESIGNS = {
    SOUND: Design(Plan(2, 5, 1, 1, 2, 2)),
    PRIMARY: Design(Plan(2, 5, 1, 1, 2, 2), primary=True),
    AGAINST_REAL: Design(Plan(2, 5, 1, 1, 2, 2), compared=False),
    "5 folds": Design(Plan(1, 5)),
    "5 folds, 2 seeds": Design(Plan(1, 5, 1, 2, 2, 2)),
    "10 folds": Design(Plan(1, 10)),
    ONE_SPLIT: Design(Plan(1, 1, 5, 3, 15, 15)),
    FEW_REAL: Design(Plan(1, 1, 5, 3, 3, 3)),
    MANY: Design(Plan(5, 5, 1, 2, 5, 5)),
    BEST: Design(Plan(2, 5, 1, 1, 2, 2), primary=True, chosen=True),
    ONE_MORE: Design(Plan(2, 5, 1, 1, 2, 2), chosen=True),
}
"""Real images alone and the comparator have two seeds with two draws, five with five, 15 or 3 on one split."""

BUSI, FOLDS_MATTER, LOUD = "like BUSI", "classifiers that go by their fold", "seeds that scatter by 0.057"
WORLDS = {
    BUSI: World(),
    "biases of t with 3 degrees of freedom": World(tails=3),
    "one set of thrice the scatter": World(noisy=3),
    "sets that move together": World(together=0.9),
    "effects of a set that differ by image and group": World(own=0.6),
    FOLDS_MATTER: World(drift=0.4),
    "trainings of unequal skill": World(skill=0.25),
    LOUD: World(bias=0.5),
    "groups of 1 to 40 images": World(group_size=(1, 40), group=1.0, image=0.3),
    "two classes": World(counts=(437, 210)),
    "six classes, 250 to 30 images": World(counts=(250, 200, 150, 90, 60, 30)),
    "a class of 8 images": World(counts=(437, 210, 8)),
    "260 images in groups of 10 to 40": World((120, 80, 60), (10, 40), group=0.8, image=0.4, own=0.5),
    "48 images": World(counts=(20, 16, 12)),
    "macro F1 near 1": World(signal=4.5),
}


@dataclass(frozen=True)
class Cell:
    """Independent studies of one kind. gain: of set 1, in macro F1. others: of the other sets."""

    score: str
    world: str
    design: str
    sets: int
    scatter: str
    gain: float
    studies: int
    others: float = 0.0


def cells() -> Iterator[Cell]:
    """All that is simulated, what matters most first."""
    for scatter in SCATTERS:
        yield from (Cell("f1", BUSI, SOUND, sets, scatter, 0, n) for sets, n in ((1, 1000), (5, 1000), (8, 400)))
        yield from (Cell("f1", BUSI, SOUND, 5, scatter, gain, 200) for gain in GAINS)
    yield from (Cell("f1", BUSI, PRIMARY, 5, s, gain, 100 if gain else 400) for s in SCATTERS for gain in (0, *GAINS))
    for world in [name for name in WORLDS if name != BUSI]:
        yield from (Cell("f1", world, SOUND, 5, scatter, 0, 200) for scatter in SCATTERS)
    yield from (Cell("f1", FOLDS_MATTER, ONE_SPLIT, 5, scatter, 0, 200) for scatter in SCATTERS)
    yield from (Cell("f1", LOUD, SOUND, 5, s, gain, 100) for s in SCATTERS for gain in GAINS)
    yield from (Cell("f1", BUSI, MANY, sets, s, MARGIN, 200, MARGIN) for s in SCATTERS for sets in (5, 8))
    for score in [name for name in DECISIVE if name != "f1"]:
        yield from (
            Cell(score, BUSI, SOUND, 5, s, gain, 100 if gain else 200) for s in SCATTERS for gain in (0, *GAINS)
        )
    for design in [name for name in DESIGNS if name not in {SOUND, PRIMARY, BEST, ONE_MORE}]:
        for scatter in SCATTERS:
            yield Cell("f1", BUSI, design, 5, scatter, 0, 200)
            yield from (Cell("f1", BUSI, design, 5, scatter, gain, 100) for gain in GAINS)
    yield from (Cell("f1", BUSI, BEST, 5, s, gain, 100 if gain else 400) for s in SCATTERS for gain in (0, *GAINS))
    yield from (Cell("f1", BUSI, ONE_MORE, 5, scatter, 0, 200) for scatter in SCATTERS)


@cache
def without_effect(world: World, folds: int, scatter: str, sets: int) -> float:
    """What to add to the chosen arm, so that choosing among sets without an effect has none, either."""
    rng = seeding.numpy_generator(0, "choice", repr(world), folds, scatter, sets)
    return recentred(world, folds, SCATTERS[scatter], [logits("f1", world, folds, scatter)[0]] * sets, rng)


@cache
def logits(score: str, world: World, folds: int, scatter: str) -> dict[float, float]:
    """What a set adds to the logits of the true class, so that it has no effect on `score` (0), or each of `GAINS`.

    A gain is in macro F1, whatever the score: the same effect, added to none.
    """
    rng = seeding.numpy_generator(0, "calibration", score, repr(world), folds, scatter)
    gains = (0, MARGIN, *GAINS)
    f1 = calibrated(world, folds, SCATTERS[scatter], gains, "f1", rng)
    none = f1[0] if score == "f1" else calibrated(world, folds, SCATTERS[scatter], (0,), score, rng)[0]
    return {gain: none + own - f1[0] for gain, own in zip(gains, f1, strict=True)}


def simulate(cell: Cell) -> dict[str, object]:
    """The cell, and what its studies found.

    Columns: those of a cell; false, improves, irrelevant: the share of studies that find an effect of an arm that has
    none (or harm where there is a gain), of those that find that set 1 improves, and of those that find no relevant
    difference of a set, each with _low and _high; difference: of set 1 from real images, mean over studies, and its
    standard error.
    """
    world, design = WORLDS[cell.world], DESIGNS[cell.design]
    gains = {f"set {n + 1}": cell.others if n else cell.gain for n in range(cell.sets)}
    own = [
        logits(cell.score, replace(world, noisy=1.0) if n else world, design.plan.folds, cell.scatter)[gain]
        for n, gain in enumerate(gains.values())
    ]
    effects, chosen = gains, None
    if design.chosen:
        effects = gains | {CHOSEN: cell.gain}
        chosen = 0.0 if cell.gain else without_effect(world, design.plan.folds, cell.scatter, cell.sets)
    rivals = [COMPARATOR] if cell.sets > 1 and design.compared else []
    rng = seeding.numpy_generator(0, "verdicts", *asdict(cell).values())
    counts = dict.fromkeys(("false", "improves", "irrelevant"), 0)
    differences: list[float] = []
    for _ in range(cell.studies):
        at, arms = trained(world, design.plan, SCATTERS[cell.scatter], own, rng, chosen)
        table, groups = predictions(at, arms)
        found = judge(
            table, groups=groups, score=cell.score, primary=design.arm if design.primary else None,
            against=dict.fromkeys(effects, rivals), margin=MARGIN,
        ).groupby("arm").first()  # fmt: skip
        said = found["finding"]
        better = said == Finding.IMPROVES
        counts["false"] += bool(
            (better & (said.index.map(effects).fillna(0) == 0)).any() or (said == Finding.HARMS).any()
        )
        counts["improves"] += bool(better[design.arm])
        counts["irrelevant"] += bool((said[list(effects)] == Finding.NO_RELEVANT_DIFFERENCE).any())
        differences.append(float(found["difference"][design.arm]))
    row: dict[str, object] = asdict(cell)
    for name, count in counts.items():
        low, high = wilson(count, cell.studies)
        row |= {name: count / cell.studies, f"{name}_low": low, f"{name}_high": high}
    return row | {"difference": np.mean(differences), "error": np.std(differences, ddof=1) / np.sqrt(cell.studies)}


def tables(done: pd.DataFrame) -> str:
    """What was found, as Markdown tables."""
    f1, busi, none = done["score"] == "f1", done["world"] == BUSI, done["gain"] == 0
    some = (done["gain"] > 0) & (done["others"] == 0)
    ruled_out = busi & f1 & (done["design"] == MANY) & (none | (done["others"] > 0)) & (done["sets"] > 1)
    parts = [
        _table(done[busi & f1 & none], ["design", "sets"], "false"),
        _table(done[busi & f1 & some], ["design", "gain"], "improves"),
        _table(done[~f1 & none], ["score"], "false"),
        _table(done[~f1 & some], ["score", "gain"], "improves"),
        _table(done[~busi & none], ["world", "design"], "false"),
        _table(done[~busi & some], ["world", "gain"], "improves"),
        _table(done[ruled_out], ["sets", "gain"], "irrelevant"),
    ]
    return "\n".join(part for part in parts if part)


def _table(done: pd.DataFrame, by: list[str], share: str) -> str:
    """One row for each combination of `by`, one column for each scatter of generators: the share, with its interval."""
    if done.empty:
        return ""
    lines = [f"| {' | '.join([*by, 'studies', *SCATTERS])} |", "|" + "---|" * (len(by) + 1 + len(SCATTERS))]
    for names, rows in done.groupby(by, sort=False):
        of = rows.set_index("scatter").to_dict("index")
        cells = [f"{of[s][share]:.3f} ({of[s][f'{share}_low']:.3f}–{of[s][f'{share}_high']:.3f})" for s in SCATTERS]
        lines.append(f"| {' | '.join([*map(str, names), str(rows['studies'].iloc[0]), *cells])} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Simulate what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--share", type=float, default=1.0, help="of the full number of studies")
    o = parser.parse_args()
    done = pd.read_csv(o.out) if o.out.exists() else pd.DataFrame(columns=list(Cell.__dataclass_fields__))
    for full in cells():
        cell = replace(full, studies=max(round(o.share * full.studies), 2))
        if not (done[list(asdict(cell))] == pd.Series(asdict(cell))).all(axis=1).any():
            row = simulate(cell)
            print({name: value for name, value in row.items() if name in asdict(cell)}, file=sys.stderr, flush=True)
            done = pd.concat([done, pd.DataFrame([row])], ignore_index=True)
            unfinished = o.out.with_suffix(".part")
            done.to_csv(unfinished, index=False, float_format="%.5f")
            unfinished.replace(o.out)
    print(tables(done))


if __name__ == "__main__":
    main()
