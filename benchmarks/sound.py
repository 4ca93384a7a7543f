"""Time to a verdict: the preset `sound` as a whole, and what its folds and seeds would take by the usual scripts.

    python benchmarks/sound.py COHORT --out RUN --store results.csv [--preset sound] [--config breast-ultrasound]
        [--set repeats.draws=1]

The study is run; the same command resumes it. What it found is stored with both times, and printed with those by kind
of job: the seconds of each job times its share of the cores, whatever else went on. Then the usual way
(`neighbours.py`: plain diffusers, a notebook, a loop over files) does a few steps of each kind, one process at a time,
on the same base, images and sizes; its time for a study is **computed** from these: per fold a token in 2,000 steps and
a LoRA in 3,000, of 4 images, as in the scripts of the paper; as many images, made one at a time in 50 steps and
refined; as many classifiers, ResNet-18 for 30 epochs.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections import deque
from functools import partial
from pathlib import Path

import pandas as pd

from measuring import alone, by_kind, labelled, machine
from neighbours import adapt, classify, notebook
from results import collect, tables
from sonosynth import cost
from sonosynth.adapters import lora as low_rank
from sonosynth.bases import sd1
from sonosynth.parallel import cores
from sonosynth.run import reopen

TOKEN, LORA, BATCH, EPOCHS, CLASSIFIER_BATCH = 2000, 3000, 4, 30, 16
WORD = "<ultrasound>"
FEW = 12  # steps that are timed
PICTURES = 4


def adaptation(cohort: Path, resolution: int, token: str) -> float:
    """Seconds of a step of plain diffusers."""
    items = labelled(cohort)[: FEW * BATCH]
    prompts = [f"ultrasound image {number}" for number in range(max(label for _, label in items) + 1)]

    def seconds(steps: int) -> float:
        started = time.perf_counter()
        done = adapt(
            sd1.find("embedded"), items, prompts, resolution=resolution, batch=BATCH, rank=4, steps=steps, token=token
        )
        deque(done, maxlen=0)
        return time.perf_counter() - started

    return (seconds(FEW + 2) - seconds(2)) / FEW


def sampling(resolution: int, strength: float) -> float:
    """Seconds of an image of the notebook, with its refinement."""
    with tempfile.TemporaryDirectory() as folder:
        pipeline = sd1.load(sd1.find("embedded"), sd1.DTYPES["fp32"], "cpu")
        low_rank.attach(pipeline, 4, "attention", 0)
        low_rank.save(pipeline, Path(folder))

        def seconds(count: int) -> float:
            started = time.perf_counter()
            notebook(
                sd1.find("embedded"), Path(folder), ["ultrasound image"] * count, range(count), Path(folder),
                resolution=resolution, guidance=7.5, strength=strength,
            )  # fmt: skip
            return time.perf_counter() - started

        return (seconds(PICTURES + 1) - seconds(1)) / PICTURES


def classification(cohort: Path, resolution: int) -> float:
    """Seconds of an image in an epoch of the loop."""
    items = labelled(cohort)[::3][: FEW * CLASSIFIER_BATCH]
    classes = max(label for _, label in items) + 1

    def seconds(epochs: int) -> float:
        started = time.perf_counter()
        classify(items, classes, resolution, CLASSIFIER_BATCH, epochs)
        return time.perf_counter() - started

    return (seconds(2) - seconds(1)) / len(items)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--preset", choices=["sound", "quick"], default="sound")
    parser.add_argument("--config", default="breast-ultrasound")
    parser.add_argument("--set", nargs="*", default=[])
    o = parser.parse_args()
    command = ["run", o.cohort, "--out", o.out, "--preset", o.preset, "--config", o.config]
    given = [word for value in o.set for word in ("--set", value)]
    subprocess.run([Path(sys.executable).with_name("sonosynth"), *command, *given], check=True)
    study = reopen(o.out)
    settings, statuses = study.settings, study.statuses(o.out)
    shares = {job.name: cost.share(job, cores()) for job, _ in statuses}
    whole = cost.load({job.name: status.made.seconds for job, status in statuses if status.made}, shares)
    found = collect(o.out, f"{o.cohort.name}, preset {o.preset}")
    blocks = (settings.repeats.folds or 1) * settings.repeats.draws
    trainings = sum(len(settings.seeds_of(arm)) for arm in settings.declared_arms)
    images = len(pd.read_csv(o.out / "synthetic" / "sd+ti" / "metadata.csv"))
    train = int((pd.read_csv(o.out / "cohort.csv")["split"] == "train").sum())
    size, strength = settings.resolution, settings.refine.strength
    (token, _), (lora, _) = (alone(partial(adaptation, o.cohort, size, word)) for word in (WORD, ""))
    (picture, _), (seen, _) = (
        alone(partial(sampling, size, strength)),
        alone(partial(classification, o.cohort, settings.classifier.resolution)),
    )
    parts = {
        "token": blocks * TOKEN * token, "LoRA": blocks * LORA * lora, "images": blocks * images * picture,
        "classifiers": blocks * trainings * EPOCHS * train * seen,
    }  # fmt: skip
    usual = sum(parts.values())
    found = found.assign(minutes=whole / 60, usual_minutes=usual / 60)
    found.to_csv(o.store, index=False, float_format="%.5f")
    print(tables(found))
    print(f"{machine()}\n{whole / 60:.0f} minutes; {blocks} blocks of {trainings} trainings\n{by_kind(o.out)}")
    print(f"The usual scripts for as many: {usual / 60:.0f} minutes (computed), {usual / whole:.1f} times as long")
    print("| part | minutes |\n|---|---|")
    for name, seconds in parts.items():
        print(f"| {name} | {seconds / 60:.0f} |")


if __name__ == "__main__":
    main()
