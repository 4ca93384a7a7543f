"""Trainings of the classifier an hour, and features of images: sonosynth against the usual loop.

    python benchmarks/evaluation.py --work DIR [--cohort DIR] [--resolution 128] [--images 300] [--epochs 2]
        [--trainings 2] [--rounds 3]

The loop is `neighbours.classify`: files decoded, resized and mirrored again in every epoch, one training after another
in float32, as with torchvision's ImageFolder. sonosynth trains several at a time as a study does, decoding included.
Both take the same number of steps with the same batches. The images are simulated PNG files of 512 pixels, or those of
a cohort.
"""

import argparse
import math
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import safetensors.numpy

from measuring import Side, in_turns, labelled, machine, trained, training_set
from neighbours import classify
from sonosynth import disk
from sonosynth.bases.sd1 import choose_precision
from sonosynth.cohort.decoding import read_grey, to_square
from sonosynth.fidelity.networks import EMBEDDED, extractor, resolve
from sonosynth.parallel import in_threads
from sonosynth.phantom import KINDS, write_cohort
from sonosynth.tasks.arms import Arm
from sonosynth.tasks.classification import models
from sonosynth.tasks.classification.classifier import Recipe, predict
from sonosynth.tasks.classification.settings import Classifier

BATCH = 16


def images(folder: Path, count: int) -> list[tuple[Path, int]]:
    """Files of a cohort, mixed, and their class."""
    found = labelled(folder)
    return [found[i] for i in np.random.default_rng(0).permutation(len(found))[:count]]


def decoded(items: Sequence[tuple[Path, int]], resolution: int) -> np.ndarray:
    """(N, resolution, resolution) uint8 of the files, as a study reads them."""
    return np.stack(list(in_threads(lambda item: to_square(read_grey(item[0]), resolution), items)))


def theirs(folder: Path, count: int, resolution: int, epochs: int, trainings: int) -> float:
    """Trainings an hour of the usual loop."""
    items = images(folder, count)
    started = time.perf_counter()
    for _ in range(trainings):
        classify(items, len(KINDS), resolution, BATCH, epochs)
    return trainings * 3600 / (time.perf_counter() - started)


def ours(folder: Path, count: int, resolution: int, epochs: int, trainings: int) -> float:
    """Trainings an hour of sonosynth, decoding included."""
    items = images(folder, count)
    started = time.perf_counter()
    pixels = decoded(items, resolution)
    labels = np.array([label for _, label in items])
    steps = epochs * (len(items) // BATCH)
    settings = Classifier(batch=BATCH)
    recipe = Recipe(settings, models.resolve(settings.model), len(KINDS), steps, choose_precision("auto"))
    training = training_set(pixels, labels)
    found = trained(
        partial(predict, training, pixels[:3], recipe=recipe, arm=Arm(), seed=seed) for seed in range(trainings)
    )
    assert len(found) == trainings
    return trainings * 3600 / (time.perf_counter() - started)


def one_by_one(folder: Path, count: int) -> float:
    """Features a second when each file is decoded and shown to the network alone, each time anew."""
    extract, chosen = extractor(resolve(EMBEDDED)), images(folder, count)
    started = time.perf_counter()
    for _ in range(2):  # once to look for copies, once for the distances
        for file, _label in chosen:
            extract(np.stack([to_square(read_grey(file), 128)]))
    return 2 * len(chosen) / (time.perf_counter() - started)


def remembered(folder: Path, count: int, work: Path) -> float:
    """Features a second of sonosynth, which keeps them for the second look."""
    items, extract = images(folder, count), extractor(resolve(EMBEDDED))
    extract(np.zeros((1, 128, 128), np.uint8))
    kept = work / "features.safetensors"
    started = time.perf_counter()
    disk.write_bytes(kept, safetensors.numpy.save({"features": extract(decoded(items, 128))}))
    for _ in range(2):
        safetensors.numpy.load_file(kept)
    return 2 * len(items) / (time.perf_counter() - started)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="where simulated images are kept")
    parser.add_argument("--cohort", type=Path, help="a folder of images of three classes, instead of simulated ones")
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--trainings", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    o = parser.parse_args()
    folder = o.cohort or o.work / "images-512"
    if not folder.exists():
        write_cohort(folder, {kind: math.ceil(o.images / len(KINDS)) for kind in KINDS}, seed=0, size=512)
    common = {"folder": folder, "count": o.images, "resolution": o.resolution, "epochs": o.epochs}
    sides: dict[str, Side] = {
        "the usual loop, fp32": partial(theirs, trainings=o.trainings, **common),
        f"sonosynth, {choose_precision('auto')}": partial(ours, trainings=o.trainings, **common),
    }
    print(f"{machine()}\nResNet-18, {o.resolution} px, {o.images} images, {o.epochs} epochs, {o.trainings} trainings")
    in_turns(sides, o.rounds, "trainings an hour")
    print("features of the same images, twice")
    in_turns(
        {
            "one by one": partial(one_by_one, folder, o.images),
            "sonosynth": partial(remembered, folder, o.images, o.work),
        },
        o.rounds,
        "images a second",
    )


if __name__ == "__main__":
    main()
