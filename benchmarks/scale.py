"""Seconds and memory against the number of images: 100, 1,000 and 10,000.

    python benchmarks/scale.py --work DIR [--counts 100 1000 10000] [--size 512]

Each row is one piece of work that a study does, each in a process of its own: milliseconds an image, and peak memory
less that of the same work on the smallest count. The images are mixtures of two of 300 simulated ones, shifted, with
another gain and noise, so that all differ; written as PNG files of `--size` pixels.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from measuring import alone, machine
from sonosynth import cohort, seeding, synthesis
from sonosynth.evaluation import comparison, features, memorisation, ultrasound
from sonosynth.parallel import in_parallel, in_threads
from sonosynth.phantom import KINDS, simulate
from sonosynth.phantom.simulate import DEMO_PROBE

SIDE = 128


def phantom(number: int) -> np.ndarray:
    """The number-th image: (128, 128) uint8."""
    return simulate(KINDS[number % 3], seeding.numpy_generator(0, "scale", number), DEMO_PROBE).image


def made(work: Path, count: int) -> np.ndarray:
    """`count` different images (N, 128, 128) uint8."""
    file = work / "phantoms.npy"
    if not file.exists():
        work.mkdir(parents=True, exist_ok=True)
        np.save(file, np.stack(list(in_parallel(phantom, range(300)))))
    known, rng = np.load(file), np.random.default_rng(0)
    found = np.empty((count, SIDE, SIDE), np.uint8)
    for i in range(count):
        one, other = known[rng.integers(len(known), size=2)].astype(np.float32)
        share = rng.uniform(0.3, 0.7)
        moved = np.roll(share * one + (1 - share) * other, rng.integers(-20, 21), axis=1)
        found[i] = np.clip(moved * rng.uniform(0.7, 1.3) + rng.normal(0, 6, moved.shape), 0, 255)
    return found


def folder_of(work: Path, count: int, size: int) -> Path:
    """A cohort of `count` PNG files."""
    folder = work / f"cohort-{count}-{size}"
    if not folder.exists():
        images = made(work, count)

        def write(i: int) -> None:
            place = folder / KINDS[i % 3] / f"{i}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[i]).resize((size, size), Image.Resampling.BICUBIC).save(place)

        for _ in in_threads(write, range(count)):
            pass
    return folder


def inspect(work: Path, count: int, size: int) -> float:
    """`sonosynth inspect`: decode, hash, find twins."""
    folder = folder_of(work, count, size)
    started = time.perf_counter()
    cohort.read(folder).describe()
    return time.perf_counter() - started


def twins(work: Path, count: int, size: int) -> float:
    """The search for twins alone."""
    found = cohort.read(folder_of(work, count, size))
    started = time.perf_counter()
    len(found.twins)
    return time.perf_counter() - started


def memorise(work: Path, count: int, size: int) -> float:
    """The nearest of `count` training images to each of `count` synthetic ones; features are known."""
    images = made(work, 2 * count)
    started = time.perf_counter()
    memorisation.nearest(images[:count], images[count:], lambda x: x[:, ::16, ::16].reshape(len(x), -1).astype(float))
    return time.perf_counter() - started


def extraction(work: Path, count: int, size: int) -> float:
    """Features of the embedded network."""
    extract, images = features.extractor("embedded"), made(work, count)
    started = time.perf_counter()
    extract(images)
    return time.perf_counter() - started


def statistics(work: Path, count: int, size: int) -> float:
    """Speckle, spectrum and attenuation of every image."""
    images = made(work, count)
    started = time.perf_counter()
    ultrasound.measures(images)
    return time.perf_counter() - started


def distances(work: Path, count: int, size: int) -> float:
    """Fréchet and kernel distance, precision, recall, density, coverage, Vendi, with intervals and floors."""
    rng = np.random.default_rng(0)
    real, other, held_out = ({"features": rng.normal(size=(n, 128))} for n in (count, count, max(20, count // 4)))
    started = time.perf_counter()
    comparison.compare(comparison.by_features, real, other, held_out, rng)
    return time.perf_counter() - started


def writing(work: Path, count: int, size: int) -> float:
    """Everything about a synthetic set but the model: useless images found, PNG files and metadata written, read."""
    images, out = made(work, count), work / f"set-{time.time_ns()}"
    wanted = synthesis.requests({"benign": count}, {"benign": "a prompt"}, 0)
    place = {request.seed: i for i, request in enumerate(wanted)}
    started = time.perf_counter()
    synthesis.make_set(wanted, lambda some: images[[place[r.seed] for r in some]], out, batch=16, columns={})
    synthesis.load_set(out)
    return time.perf_counter() - started


WORK: dict[str, Callable[[Path, int, int], float]] = {
    "inspect": inspect, "twins alone": twins, "copies": memorise, "features": extraction,
    "ultrasound statistics": statistics, "distances": distances, "synthetic set, without the model": writing,
}  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--only", choices=WORK)
    o = parser.parse_args()
    for count in o.counts:
        folder_of(o.work, count, o.size)
    print(machine())
    print(
        "| work | " + " | ".join(f"{n:,} images" for n in o.counts) + " |\n|---|" + "---|" * len(o.counts), flush=True
    )
    for name, function in WORK.items():
        if o.only in (None, name):
            found = [alone(partial(function, o.work, n, o.size)) for n in o.counts]
            base = found[0][1]
            cells = [f"{1e3 * s / n:.2f} ms, +{m - base:.0f} MB" for n, (s, m) in zip(o.counts, found, strict=True)]
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
