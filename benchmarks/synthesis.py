"""Images a second and how real they look: sonosynth against the notebook's way, lever by lever.

    python benchmarks/synthesis.py RUN [--each 32] [--short 12] [--interval 0.3 5] [--rows 0 7]

RUN is a finished run; its sd adapter, prompts and real images are used. Every row makes `--each` images of each class
from text, refines each of them, and writes both as PNG, in a process of its own; loading the model is not timed. The
notebook's way is `neighbours.notebook`: one image at a time, 50 steps, float32, the adapter beside the weights, and the
refinement from the PNG. The rows after it change one lever after the other. Beside the speed stand the kernel distance
of the refined images to the real ones (embedded or the run's features, with its 95% interval) and the mean distance of
the ultrasound statistics in deviations; in the first row those of real validation images. "Inside the model" is the
share of the time that U-Net and VAE take.
"""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from PIL import Image

from measuring import alone, machine
from neighbours import notebook
from sonosynth import seeding, synthesis
from sonosynth.cohort.splitting import TRAIN, VALIDATION
from sonosynth.diffusion import lora as low_rank
from sonosynth.diffusion.sampling import Recipe, Sampler
from sonosynth.evaluation import comparison, features, ultrasound
from sonosynth.stages.repeat import Repeat
from sonosynth.study import Study

STRENGTH = 0.3


@dataclass(frozen=True)
class Way:
    """How images are made."""

    steps: int = 50
    batch: int = 1
    precision: str = "fp32"
    merged: bool = False
    interval: tuple[float, float] | None = None
    latent: bool = False
    solver: str = "base"


class ModelTime:
    """Seconds spent in U-Nets and VAEs, in whatever code calls them."""

    def __init__(self) -> None:
        self.seconds, self.calls = 0.0, 0
        for name in ("encode", "decode"):
            setattr(AutoencoderKL, name, self._timed(getattr(AutoencoderKL, name)))
        UNet2DConditionModel.forward = self._timed(UNet2DConditionModel.forward)

    def _timed(self, function):  # type: ignore[no-untyped-def]
        def timed(*args, **options):  # type: ignore[no-untyped-def]
            started = time.perf_counter()
            result = function(*args, **options)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.seconds += time.perf_counter() - started
            return result

        return timed


def wanted(repeat: Repeat, each: int) -> list[synthesis.Request]:
    """As many requests of each class, mixed, so that the first few hold all classes."""
    found = synthesis.requests(
        dict.fromkeys(repeat.classes, each), repeat.prompts("sd"), seeding.derive(0, "benchmark")
    )
    return sorted(found, key=lambda request: request.file_name.rpartition("/")[2])


def by_notebook(run: Path, each: int, out: Path) -> tuple[float, float]:
    """Write the images; returns seconds and the share of them inside the model."""
    repeat = Study.reopen(run).first
    chosen, s = wanted(repeat, each), repeat.settings
    spent = ModelTime()
    started = time.perf_counter()
    notebook(
        repeat.base_folder, run / "adapters" / "sd", "", [r.prompt for r in chosen], [r.seed for r in chosen],
        s.resolution, 50, s.synthesis.guidance, STRENGTH, out,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    return seconds, spent.seconds / seconds


def by_sonosynth(run: Path, each: int, way: Way, out: Path) -> tuple[float, float]:
    """The same as a study does it."""
    repeat = Study.reopen(run).first
    chosen, s = wanted(repeat, each), repeat.settings
    load = low_rank.load
    if not way.merged:
        low_rank.load = lambda pipeline, folder: pipeline.load_lora_weights(folder)
    recipe = Recipe(max(way.steps, math.ceil(1 / STRENGTH)), s.synthesis.guidance, way.interval, way.solver)
    sampler = Sampler(repeat.base_folder, run / "adapters" / "sd", "", way.precision, s.resolution, recipe)
    low_rank.load = load
    latents: dict[str, torch.Tensor] = {}

    def generate(some: Sequence[synthesis.Request]) -> np.ndarray:
        images, found = sampler.generate([r.prompt for r in some], [r.seed for r in some])
        latents.update(zip([f"sd/{r.file_name}" for r in some], found, strict=True))
        return images

    def refine(some: Sequence[synthesis.Request]) -> np.ndarray:
        names, prompts, seeds = ([getattr(r, key) for r in some] for key in ("source", "prompt", "seed"))
        start = sampler.stack([latents[x] for x in names]) if way.latent else synthesis.load_images(out, names)
        return sampler.refine(start, prompts, seeds, STRENGTH)

    spent = ModelTime()
    started = time.perf_counter()
    synthesis.make_set(chosen, generate, out / "sd", batch=way.batch, columns={})
    again = synthesis.refinements(chosen, "sd", 0)
    synthesis.make_set(again, refine, out / "refined", batch=way.batch, columns={})
    seconds = time.perf_counter() - started
    return seconds, spent.seconds / seconds


def looks(repeat: Repeat, images: np.ndarray) -> dict[str, str]:
    """Kernel distance and ultrasound distance to the real training images."""
    extract = features.remembering(repeat.features, repeat.root / ".parts" / "features")

    def described(x: np.ndarray) -> dict[str, np.ndarray]:
        return ultrasound.measures(x) | {"features": extract(x)}

    real, held_out = (described(repeat.images(repeat.rows(side))) for side in (TRAIN, VALIDATION))
    row = {}
    for measure, name, label in (
        (comparison.by_features, "kernel", "kernel distance"),
        (comparison.by_ultrasound, "mean", "ultrasound distance"),
    ):
        rng = seeding.numpy_generator(0, "benchmark", name)
        found = next(
            x for x in comparison.compare(measure, real, described(images), held_out, rng) if x["metric"] == name
        )
        row[label] = f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"
    return row


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--each", type=int, default=32, help="images of each class")
    parser.add_argument("--interval", type=float, nargs=2, default=(0.3, 5.0), help="noise levels that are guided")
    parser.add_argument("--short", type=int, default=12, help="steps of the shortest rows")
    parser.add_argument("--rows", type=int, nargs="+", help="numbers of the rows to run, the notebook being 0")
    o = parser.parse_args()
    repeat = Study.reopen(o.run).first
    auto = repeat.precision
    ways = {"batches of 16": replace(Way(), batch=16)}

    def further(name: str, **changes: object) -> None:
        ways[name] = replace(list(ways.values())[-1], **changes)  # type: ignore[arg-type]

    further("adapter merged", merged=True)
    further(auto, precision=auto)
    further("20 steps of DPM-Solver++", steps=20, solver="dpm++")
    further(f"{o.short} steps", steps=o.short)
    further(f"guided from {o.interval[0]} to {o.interval[1]}", interval=tuple(o.interval))
    further("refined from the latent", latent=True)
    sides = {"notebook": partial(by_notebook, o.run, o.each)}
    sides |= {name: partial(by_sonosynth, o.run, o.each, way) for name, way in ways.items()}
    rows = [{"way": "real validation images"} | looks(repeat, repeat.images(repeat.rows(VALIDATION)))]
    first = None
    print(
        f"{machine()}\n{o.each} images of each of {len(repeat.classes)} classes, refined too; {o.run.name}", flush=True
    )
    for name, side in [(list(sides.items()))[i] for i in o.rows or range(len(sides))]:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder)
            (seconds, inside), peak = alone(partial(side, out))
            refined = sorted([*out.glob("refined/*/*.png"), *out.glob("*_refined.png")])
            images = np.stack([np.asarray(Image.open(file).convert("L")) for file in refined])
        rate = len(images) / seconds
        first = first or rate
        rows.append(
            {
                "way": name, "images a second": f"{rate:.3g}", "ratio": f"{rate / first:.2f}",
                "inside the model": f"{inside:.0%}", "peak MB": f"{peak:.0f}",
            }
            | looks(repeat, images)
        )  # fmt: skip
        print(rows[-1], file=sys.stderr, flush=True)
    table = pd.DataFrame(rows).fillna("")
    print("| " + " | ".join(table.columns) + " |\n|" + "---|" * len(table.columns))
    for row in table.to_numpy():
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
