"""Images a second and how real they look: sonosynth against the notebook's way, lever by lever.

    python benchmarks/synthesis.py --run RUN [--each 32] [--short 12] [--interval 0.3 5] [--rows 0 6]
    python benchmarks/synthesis.py --base sd15 [--work DIR] [--resolution 256] [--each 1] …

RUN is a finished run; its first adapter, prompts and real images are used. With a base instead, the LoRA is untrained,
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from PIL import Image

from finished import FinishedRun
from measuring import alone, find_base, machine
from neighbours import notebook
from sonosynth import seeding
from sonosynth.adapters import lora as low_rank
from sonosynth.adapters.learning import with_token
from sonosynth.artefacts import TRAIN, VALIDATION
from sonosynth.bases import sd1
from sonosynth.fidelity import comparison
from sonosynth.fidelity.networks import extractor
from sonosynth.measures import features, ultrasound
from sonosynth.synthesis.making import Maker, make_set
from sonosynth.synthesis.requests import Request, from_images, from_noise
from sonosynth.synthesis.sampling import Sampler
from sonosynth.synthesis.settings import Synthesis

STRENGTH = 0.3

Side = Callable[[Path], tuple[float, float]]
"""Writes images into a folder, and returns seconds and the share of them inside the model."""


@dataclass(frozen=True)
class Way:
    """How images are made."""

    steps: int = 50
    batch: int = 1
    precision: str = "fp32"
    merged: bool = False
    interval: tuple[float, float] | None = None
    solver: Literal["base", "dpm++"] = "base"


@dataclass(frozen=True)
class Model:
    """An adapted base: the folder of its LoRA, the prompt of each class, pixels a side, scale of the guidance."""

    base: sd1.Base
    adapter: Path
    prompts: dict[str, str]
    resolution: int
    guidance: float


def untrained(base: sd1.Base, folder: Path, resolution: int) -> Model:
    """A base with a LoRA that does nothing yet."""
    pipeline = sd1.load(base.folder, torch.float32, "cpu", without=("vae", "text_encoder"))
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


def mixed(requests: Sequence[Request]) -> list[Request]:
    """In such an order that the first few hold all classes."""
    return sorted(requests, key=lambda request: request.file_name.rpartition("/")[2])


def wanted(model: Model, each: int) -> list[Request]:
    """As many requests of each class."""
    return mixed(from_noise(dict.fromkeys(model.prompts, each), model.prompts, seeding.derive(0, "benchmark")))


def by_notebook(model: Model, each: int, out: Path) -> tuple[float, float]:
    """Write the images; returns seconds and the share of them inside the model."""
    chosen, spent = wanted(model, each), ModelTime()
    started = time.perf_counter()
    notebook(
        model.base.folder, model.adapter, [r.prompt for r in chosen], [r.seed for r in chosen], out,
        resolution=model.resolution, guidance=model.guidance, strength=STRENGTH,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    return seconds, spent.seconds / seconds


def by_sonosynth(model: Model, each: int, way: Way, out: Path) -> tuple[float, float]:
    """The same as a study does it."""
    chosen = wanted(model, each)
    load = low_rank.load
    if not way.merged:
        low_rank.load = lambda pipeline, folder: pipeline.load_lora_weights(folder)
    steps = max(way.steps, math.ceil(1 / STRENGTH))
    settings = Synthesis(
        steps=steps, guidance=model.guidance, guidance_interval=way.interval, solver=way.solver, batch=way.batch
    )
    sampler = Sampler(model.base, model.adapter, way.precision, model.resolution, settings)
    low_rank.load = load

    def generate(some: Sequence[Request], _: np.ndarray | None) -> np.ndarray:
        return sampler.generate([r.prompt for r in some], [r.seed for r in some])

    def refine(some: Sequence[Request], starts: np.ndarray | None) -> np.ndarray:
        assert starts is not None
        return sampler.refine(starts, [r.prompt for r in some], [r.seed for r in some], STRENGTH, None)

    sources = {label: [r.file_name for r in chosen if r.label == label] for label in model.prompts}
    again = mixed(from_images(dict.fromkeys(sources, each), model.prompts, 0, sources, depth=1))
    spent = ModelTime()
    started = time.perf_counter()
    images = make_set(chosen, None, Maker(generate, {}), out / "sd", name="sd", batch=way.batch)
    make_set(again, images, Maker(refine, {}), out / "refined", name="refined", batch=way.batch)
    seconds = time.perf_counter() - started
    return seconds, spent.seconds / seconds


class Looks:
    """How images look, beside the real training images of a run."""

    def __init__(self, run: FinishedRun) -> None:
        self.extract = extractor(run.machine.networks[0])
        self.validation = run.pixels[run.of_side(VALIDATION)]
        self.real, self.held_out = (self.described(x) for x in (run.pixels[run.of_side(TRAIN)], self.validation))

    def described(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """What the measures say of images (N, H, W) uint8."""
        return ultrasound.measures(images) | {"features": self.extract(images)}

    def row(self, images: np.ndarray) -> dict[str, str]:
        """Kernel distance and ultrasound distance of images (N, H, W) uint8."""
        other, row = self.described(images), {}
        for measure, name, label in (
            (features.compare, "kernel", "kernel distance"),
            (ultrasound.compare, "mean", "ultrasound distance"),
        ):
            rng = seeding.numpy_generator(0, "benchmark", name)
            sides = (
                comparison.Images(x, *np.full((2, len(x["features"])), "")) for x in (self.real, other, self.held_out)
            )
            compared = comparison.compare(measure, comparison.Sides(*sides), rng)
            found = next(x for x in compared if x["metric"] == name)
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
        looks = None
        if o.run:
            run = FinishedRun.read(o.run)
            s, (name, adapter) = run.settings, next(iter(run.settings.declared_adapters.items()))
            prompts = {label: with_token(s.prompts.of(label), adapter.token_of(label)) for label in run.labels}
            model = Model(run.machine.base, run.adapters[name], prompts, s.resolution, s.synthesis.scale)
            looks = Looks(run)
        else:
            model = untrained(find_base(o.base, o.work), Path(folder), o.resolution)
        print(f"{machine()}\n{o.each} images of each of {len(model.prompts)} classes, refined too; {o.run or o.base}")
        sides = ways(model, o.each, o.short, tuple(o.interval))
        table = pd.DataFrame(measured(sides, looks, o.rows)).fillna("")
    print("| " + " | ".join(table.columns) + " |\n|" + "---|" * len(table.columns))
    for row in table.to_numpy():
        print("| " + " | ".join(row) + " |")


def ways(model: Model, each: int, short: int, interval: tuple[float, float]) -> dict[str, Side]:
    """The rows, by name. Each changes one lever of the one before."""
    auto = sd1.choose_precision("auto")
    found = {"batches of 16": replace(Way(), batch=16)}

    def further(name: str, **changes: object) -> None:
        found[name] = replace(list(found.values())[-1], **changes)  # type: ignore[arg-type]

    further("adapter merged", merged=True)
    further(auto, precision=auto)
    further("20 steps of DPM-Solver++", steps=20, solver="dpm++")
    further(f"{short} steps", steps=short)
    further(f"guided from {interval[0]} to {interval[1]}", interval=interval)
    sides: dict[str, Side] = {"notebook": partial(by_notebook, model, each)}
    return sides | {name: partial(by_sonosynth, model, each, way) for name, way in found.items()}


def measured(sides: Mapping[str, Side], looks: Looks | None, only: list[int] | None) -> Iterator[dict[str, str]]:
    """A row for each way; how the images look is told where there are real ones to compare them with."""
    if looks:
        yield {"way": "real validation images"} | looks.row(looks.validation)
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
        row |= looks.row(images) if looks else {}
        print(row, file=sys.stderr, flush=True)
        yield row


if __name__ == "__main__":
    main()
