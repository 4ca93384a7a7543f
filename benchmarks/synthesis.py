"""Images a second and how real they look: sonosynth against the notebook's way, lever by lever.

    python benchmarks/synthesis.py --run RUN [--each 32] [--short 12] [--interval 0.3 5] [--rows 0 7]
    python benchmarks/synthesis.py --base sd15 [--work DIR] [--resolution 256] [--each 1] …

RUN is a finished run; its sd adapter, prompts and real images are used. With a base instead, the LoRA is untrained,
and only the speed is measured ("sd15" has Stable Diffusion v1.5's shapes and random weights). Every row makes `--each`
images of each class from text, refines each of them, and writes both as PNG, in a process of its own; loading the
model is not timed. The notebook's way is `neighbours.notebook`: one image at a time, 50 steps, float32, the adapter
beside the weights, and the refinement from the PNG. The rows after it change one lever after the other. Beside the
speed stand the kernel distance of the refined images to the real ones (embedded or the run's features, with its 95%
interval) and the mean distance of the ultrasound statistics in deviations; in the first row those of real validation
images. "Inside the model" is the share of the time that U-Net and VAE take.
"""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from PIL import Image

from measuring import alone, find_base, machine
from neighbours import notebook
from sonosynth import seeding, synthesis
from sonosynth.cohort.splitting import TRAIN, VALIDATION
from sonosynth.diffusion import base as base_model
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


@dataclass(frozen=True)
class Model:
    """An adapted base: folders, the prompt of each class, pixels a side, scale of the guidance."""

    base: Path
    adapter: Path
    prompts: dict[str, str]
    resolution: int
    guidance: float


def untrained(base: Path, folder: Path, resolution: int) -> Model:
    """A base with a LoRA that does nothing yet."""
    pipeline = base_model.load(base, torch.float32, "cpu", without=("vae", "text_encoder"))
    low_rank.attach(pipeline, 4, "attention", 0)
    low_rank.save(pipeline, folder)
    labels = ("benign", "malignant")
    return Model(
        base, folder, {label: f"ultrasound image of a {label} breast lesion" for label in labels}, resolution, 7.5
    )


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


def wanted(model: Model, each: int) -> list[synthesis.Request]:
    """As many requests of each class, mixed, so that the first few hold all classes."""
    found = synthesis.requests(dict.fromkeys(model.prompts, each), model.prompts, seeding.derive(0, "benchmark"))
    return sorted(found, key=lambda request: request.file_name.rpartition("/")[2])


def by_notebook(model: Model, each: int, out: Path) -> tuple[float, float]:
    """Write the images; returns seconds and the share of them inside the model."""
    chosen, spent = wanted(model, each), ModelTime()
    started = time.perf_counter()
    notebook(
        model.base, model.adapter, "", [r.prompt for r in chosen], [r.seed for r in chosen], model.resolution, 50,
        model.guidance, STRENGTH, out,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    return seconds, spent.seconds / seconds


def by_sonosynth(model: Model, each: int, way: Way, out: Path) -> tuple[float, float]:
    """The same as a study does it."""
    chosen = wanted(model, each)
    load = low_rank.load
    if not way.merged:
        low_rank.load = lambda pipeline, folder: pipeline.load_lora_weights(folder)
    recipe = Recipe(max(way.steps, math.ceil(1 / STRENGTH)), model.guidance, way.interval, way.solver)
    sampler = Sampler(model.base, model.adapter, "", way.precision, model.resolution, recipe)
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
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--run", type=Path)
    which.add_argument("--base", help="embedded, sd15 or a folder")
    parser.add_argument("--work", type=Path, default=Path("bench"), help="where random weights are kept")
    parser.add_argument("--resolution", type=int, default=256, help="with --base")
    parser.add_argument("--each", type=int, default=32, help="images of each class")
    parser.add_argument("--interval", type=float, nargs=2, default=(0.3, 5.0), help="noise levels that are guided")
    parser.add_argument("--short", type=int, default=12, help="steps of the shortest rows")
    parser.add_argument("--rows", type=int, nargs="+", help="numbers of the rows to run, the notebook being 0")
    o = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        repeat = Study.reopen(o.run).first if o.run else None
        if repeat:
            s = repeat.settings
            prompts, guidance = repeat.prompts("sd"), s.synthesis.guidance
            model = Model(repeat.base_folder, o.run / "adapters" / "sd", prompts, s.resolution, guidance)
        else:
            model = untrained(find_base(o.base, o.work), Path(folder), o.resolution)
        print(f"{machine()}\n{o.each} images of each of {len(model.prompts)} classes, refined too; {o.run or o.base}")
        table = pd.DataFrame(measured(model, repeat, o.each, o.short, tuple(o.interval), o.rows)).fillna("")
    print("| " + " | ".join(table.columns) + " |\n|" + "---|" * len(table.columns))
    for row in table.to_numpy():
        print("| " + " | ".join(row) + " |")


def measured(
    model: Model, repeat: Repeat | None, each: int, short: int, interval: tuple[float, float], only: list[int] | None
) -> Iterator[dict[str, str]]:
    """A row for each way; how the images look is told where there are real ones to compare them with."""
    auto = base_model.choose_precision("auto")
    ways = {"batches of 16": replace(Way(), batch=16)}

    def further(name: str, **changes: object) -> None:
        ways[name] = replace(list(ways.values())[-1], **changes)  # type: ignore[arg-type]

    further("adapter merged", merged=True)
    further(auto, precision=auto)
    further("20 steps of DPM-Solver++", steps=20, solver="dpm++")
    further(f"{short} steps", steps=short)
    further(f"guided from {interval[0]} to {interval[1]}", interval=interval)
    further("refined from the latent", latent=True)
    sides = {"notebook": partial(by_notebook, model, each)}
    sides |= {name: partial(by_sonosynth, model, each, way) for name, way in ways.items()}
    if repeat:
        yield {"way": "real validation images"} | looks(repeat, repeat.images(repeat.rows(VALIDATION)))
    first = None
    for name, side in [list(sides.items())[i] for i in only or range(len(sides))]:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder)
            (seconds, inside), peak = alone(partial(side, out))
            refined = sorted([*out.glob("refined/*/*.png"), *out.glob("*_refined.png")])
            images = np.stack([np.asarray(Image.open(file).convert("L")) for file in refined])
        rate = len(images) / seconds
        first = first or rate
        row = {
            "way": name, "images a second": f"{rate:.3g}", "ratio": f"{rate / first:.2f}",
            "inside the model": f"{inside:.0%}", "peak MB": f"{peak:.0f}",
        }  # fmt: skip
        row |= looks(repeat, images) if repeat else {}
        print(row, file=sys.stderr, flush=True)
        yield row


if __name__ == "__main__":
    main()
