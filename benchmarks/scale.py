"""Seconds and memory against the number of images: 100, 1,000 and 10,000.

    python benchmarks/scale.py --work DIR --out results.csv [--counts 100 1000 10000] [--size 512]

Each row is one piece of work that a study does, each in a process of its own: milliseconds an image, and peak memory
less that of the same work on the smallest count. The images are mixtures of two of 300 simulated ones, shifted, with
another gain and noise, so that all differ; written as PNG files of `--size` pixels.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from measuring import alone, in_processes, machine
from sonosynth import disk, seeding
from sonosynth.cohort import reading
from sonosynth.cohort import twins as near_duplicates
from sonosynth.cohort.decoding import read_grey
from sonosynth.cohort.description import describe
from sonosynth.cohort.places import file_of
from sonosynth.cohort.sources import list_sources
from sonosynth.fidelity import comparison, copies
from sonosynth.fidelity.networks import EMBEDDED, extractor, resolve
from sonosynth.measures import features, ultrasound
from sonosynth.parallel import in_threads
from sonosynth.phantom import KINDS, simulate
from sonosynth.phantom.simulate import DEMO_PROBE
from sonosynth.synthesis.making import Maker, make_set
from sonosynth.synthesis.requests import from_noise

SIDE = 128


def phantom(number: int) -> np.ndarray:
    """The number-th image: (128, 128) uint8."""
    return simulate(KINDS[number % 3], seeding.numpy_generator(0, "scale", number), DEMO_PROBE).image


def made(work: Path, count: int) -> np.ndarray:
    """`count` different images (N, 128, 128) uint8."""
    file = work / "phantoms.npy"
    if not file.exists():
        work.mkdir(parents=True, exist_ok=True)
        np.save(file, np.stack(in_processes(phantom, range(300))))
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
    describe(reading.read(folder))
    return time.perf_counter() - started


def twins(work: Path, count: int, size: int) -> float:
    """The search for twins alone, with what it compares."""
    files = [file_of(source.file) for source in list_sources(folder_of(work, count, size)).sources]
    views = list(in_threads(lambda file: near_duplicates.view(read_grey(file)), files))
    started = time.perf_counter()
    near_duplicates.find(views, near_duplicates.details(views))
    return time.perf_counter() - started


def memorise(work: Path, count: int, size: int) -> float:
    """The nearest of `count` training images to each of `count` synthetic ones; features are known."""
    images = made(work, 2 * count)
    synthetic, train = (
        copies.Images(part, part[:, ::16, ::16].reshape(count, -1).astype(float))
        for part in (images[:count], images[count:])
    )
    started = time.perf_counter()
    copies.nearest(synthetic, train)
    return time.perf_counter() - started


def extraction(work: Path, count: int, size: int) -> float:
    """Features of the embedded network."""
    extract, images = extractor(resolve(EMBEDDED)), made(work, count)
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
    sides = comparison.Sides(
        *(
            comparison.Images({"features": rng.normal(size=(n, 128))}, *np.full((2, n), ""))
            for n in (count, count, max(20, count // 4))
        )
    )
    started = time.perf_counter()
    comparison.compare(features.compare, sides, rng)
    return time.perf_counter() - started


def writing(work: Path, count: int, size: int) -> float:
    """Everything about a synthetic set but the model: unusable images found, files written and hashed, pixels read."""
    images = made(work, count)
    wanted = from_noise({"benign": count}, {"benign": "a prompt"}, 0)
    place = {request.seed: i for i, request in enumerate(wanted)}
    maker = Maker(lambda some, _: images[[place[request.seed] for request in some]], {})
    with tempfile.TemporaryDirectory(dir=work) as folder:
        out, pixels = Path(folder) / "images", Path(folder) / "pixels.npy"
        started = time.perf_counter()
        np.save(pixels, make_set(wanted, None, maker, out, name="benign", batch=16))
        disk.digest(out)
        np.array(np.load(pixels, mmap_mode="r"))
        return time.perf_counter() - started


WORK: dict[str, Callable[[Path, int, int], float]] = {
    "inspect": inspect, "twins alone": twins, "copies": memorise, "features": extraction,
    "ultrasound statistics": statistics, "distances": distances, "synthetic set, without the model": writing,
}  # fmt: skip

FROM_FILES = ("inspect", "twins alone")


def table(found: pd.DataFrame) -> str:
    """Milliseconds an image and memory beyond that of the smallest count, as Markdown."""
    counts = sorted(set(found["images"]))
    lines = [f"| work | {' | '.join(f'{count:,} images' for count in counts)} |", "|---" * (len(counts) + 1) + "|"]
    for work, rows in found.groupby("work", sort=False):
        each, more = 1e3 * rows["seconds"] / rows["images"], rows["mb"] - rows["mb"].iloc[0]
        cells = [f"{took:.2f} ms, +{memory:.0f} MB" for took, memory in zip(each, more, strict=True)]
        lines.append(f"| {work} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, store and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--only", choices=WORK)
    o = parser.parse_args()
    for count in o.counts if o.only in (None, *FROM_FILES) else ():
        folder_of(o.work, count, o.size)
    rows = []
    for name, function in WORK.items():
        for count in o.counts if o.only in (None, name) else ():
            seconds, peak = alone(partial(function, o.work, count, o.size))
            rows.append({"work": name, "images": count, "seconds": seconds, "mb": peak})
            pd.DataFrame(rows).to_csv(o.out, index=False, float_format="%.4f")
    print(f"{machine()}\n\n{table(pd.read_csv(o.out))}")


if __name__ == "__main__":
    main()
