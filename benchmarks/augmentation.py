"""Does augmentation help where the truth is known? Many small simulated cohorts, one large balanced test set.

    python benchmarks/augmentation.py --out DIR [--seeds 10:20] [--test 1000] [--set section.key=value]…

Each seed is a study of its own: another simulated cohort (the demo's counts and probe), adapters, synthetic sets and
classifiers. All are tested on the same `--test` phantoms of each class, which no training has seen. Arms: real,
oversampling (every class repeated to the largest one's count) and one for each synthetic set, at equal optimiser steps.
Prints macro F1 of every arm and its difference to the best arm without a generator, paired by seed, with 95% t
intervals. Settings were chosen on the seeds 1 (the demo's cohort) and 100 and later, and on other test phantoms. The
same command resumes; scores are kept apart by settings.
"""

import argparse
import math
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics import f1_score

from measuring import in_processes, trained, training_set
from sonosynth import demo, seeding
from sonosynth.artefacts import CohortImages, Split, SyntheticSet
from sonosynth.cohort.decoding import resize
from sonosynth.machine import resolve
from sonosynth.phantom import KINDS, simulate, write_cohort
from sonosynth.phantom.simulate import DEMO_PROBE
from sonosynth.run import Study
from sonosynth.settings import load
from sonosynth.tasks.arms import Arm
from sonosynth.tasks.classification.classifier import Recipe, predict

WITHOUT_GENERATOR = ("real", "real, oversampled")


def tested(place: tuple[str, int]) -> np.ndarray:
    """The i-th test image of a kind: (128, 128) uint8."""
    kind, i = place
    return simulate(kind, seeding.numpy_generator(0, "augmentation", "test", kind, i), DEMO_PROBE).image


def test_set(each: int, cache: Path) -> np.ndarray:
    """(3 x `each`, 128, 128) uint8, kind by kind."""
    if not cache.exists():
        np.save(cache, np.stack(in_processes(tested, product(KINDS, range(each)))))
    return np.load(cache)


def f1_of_arms(folder: Path, seed: int, changes: tuple[str, ...], test: np.ndarray) -> dict[str, float]:
    """Macro F1 of every arm of one study, on the test images."""
    path = folder / f"cohort-{seed}"
    if not path.exists():
        write_cohort(path, demo.COUNTS, seed=seed)
    study = Study(path, load("demo", (), (f"seed={seed}", *changes)))
    made = study.run(folder / f"run-{seed}", "synthesize")
    machine = resolve(study.settings)

    s, real = study.settings.classifier, CohortImages(made["cohort"])
    train = Split(made["split"]).train
    images = resize(real.pixels[real.rows(train["id"])], s.resolution)
    labels = train["label"].map(KINDS.index).to_numpy(int)
    plain, oversampled = WITHOUT_GENERATOR
    arms = {plain: (images, labels, Arm()), oversampled: (images, labels, Arm(balance="oversample"))}
    for name in study.settings.declared_sets:
        added = SyntheticSet(made[f"synthetic/{name}"])
        codes = added.rows["label"].map(KINDS.index).to_numpy(int)
        together = np.concatenate([images, resize(added.pixels, s.resolution)])
        arms[f"real+{name}"] = together, np.append(labels, codes), Arm()

    steps = s.epochs * math.ceil(max(len(y) for _, y, _ in arms.values()) / s.batch)
    recipe = Recipe(s, machine.classifier, len(KINDS), steps, machine.precision)
    found = trained(
        partial(predict, training_set(x, y), test, recipe=recipe, arm=arm, seed=seed) for x, y, arm in arms.values()
    )
    truth = np.repeat(np.arange(len(KINDS)), len(test) // len(KINDS))
    return {
        arm: float(f1_score(truth, probabilities.argmax(axis=1), average="macro"))
        for arm, probabilities in zip(arms, found, strict=True)
    }


def interval(values: np.ndarray) -> str:
    """Mean and 95% t interval over seeds."""
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return f"{values.mean():+.3f} ({values.mean() - half:+.3f} to {values.mean() + half:+.3f})"


def main() -> None:
    """Run the seeds that are not done yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="10:20", help="first and last plus one")
    parser.add_argument("--test", type=int, default=1000, help="test images of each class")
    parser.add_argument("--set", action="append", default=[], help="section.key=value, as in sonosynth run")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    test = resize(
        test_set(options.test, options.out / f"test-{options.test}.npy"),
        load("demo", (), tuple(options.set)).classifier.resolution,
    )
    rows = []
    for seed in range(*map(int, options.seeds.split(":"))):
        key = seeding.derive(seed, options.test, *options.set)
        file = options.out / f"scores-{seed}-{key:08x}.csv"
        if not file.exists():
            pd.DataFrame([f1_of_arms(options.out, seed, tuple(options.set), test)]).to_csv(file, index=False)
        rows.append(pd.read_csv(file))
        print(rows[-1].round(3).to_string(index=False), flush=True)
    scores = pd.concat(rows)
    best = max(WITHOUT_GENERATOR, key=lambda arm: scores[arm].mean())
    print(f"macro F1 on {len(test)} test phantoms, {len(scores)} seeds; best arm without a generator: {best}")
    for arm in scores:
        difference = "" if arm == best else interval((scores[arm] - scores[best]).to_numpy())
        print(f"{arm:24} {scores[arm].mean():.3f} sd {scores[arm].std():.3f}   {difference}")


if __name__ == "__main__":
    main()
