"""Adaptation as time to equal quality: sonosynth's recipe and precision against diffusers' example script.

    PYTHONPATH=benchmarks python benchmarks/quality.py RUN --out results.csv [--seeds 0 1] [--script-steps 250 500 1000]
        [--steps 60 125 250 500] [--each 40] [--rounds 3] [--features embedded imagenet:features]

RUN is a finished run; base, prompts, recipe of the LoRA and sampler are its own, and images come from its first split.
The script's side is `neighbours.adapt`: what diffusers' train_text_to_image_lora.py does with its defaults (rank 4 on
the attention projections, a constant learning rate of 1e-4, every image as often) in float32, in the batches of RUN;
one training, looked at after each of `--script-steps`. sonosynth's side is the LoRA of RUN's settings without a token,
trained anew for each of `--steps`, since its learning rate decays. Each adapter then makes `--each` images of every
class with the same prompts and seeds, and quality is the kernel distance of these to the held-out images of their
class, averaged over classes.

Seconds are those of loading, encoding and training; sampling is left out. They come from short trainings of both sides
in turns, before the others (`--rounds`; the medians of what a step takes, and of what comes before the first), so that
only these need a quiet machine.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from finished import FinishedRun
from measuring import alone, machine
from neighbours import adapt
from sonosynth import seeding
from sonosynth.adapters import learning
from sonosynth.adapters import lora as low_rank
from sonosynth.artefacts import TRAIN, VALIDATION
from sonosynth.bases import sd1
from sonosynth.bases.latents import encode_images
from sonosynth.device import best
from sonosynth.fidelity.distances import kernel_distance
from sonosynth.fidelity.networks import extractor, resolve
from sonosynth.run import reopen
from sonosynth.synthesis.sampling import Sampler

SCRIPT, OURS, FLOOR = "diffusers' script", "sonosynth", "training images"
RANK = 4
TIMED = (4, 44)
"""Steps of the short trainings whose times are compared."""


def script(root: Path, steps: list[int], seed: int, out: Path) -> float:
    """Train as the script does; the seconds. Writes an adapter for each of the steps into a folder of `out`."""
    run, cohort = FinishedRun.read(root), reopen(root).path
    train = run.rows[run.of_side(TRAIN)]
    items = [
        (cohort / file, run.labels.index(label)) for file, label in zip(train["file"], train["label"], strict=True)
    ]
    torch.manual_seed(seed)
    random.seed(seed)
    started = time.perf_counter()
    for step, pipeline in adapt(
        run.machine.base.folder, items, [run.settings.prompts.of(label) for label in run.labels],
        resolution=run.settings.resolution, batch=run.settings.lora.batch, rank=RANK, steps=max(steps),
    ):  # fmt: skip
        if step in steps:
            low_rank.save(pipeline, out / str(step))
    return time.perf_counter() - started


def ours(root: Path, steps: list[int], seed: int, out: Path, base: Path | None = None) -> float:
    """Train as RUN's study does, without a token; the seconds. As `script`, but each of the steps is a training."""
    run = FinishedRun.read(root, base)
    train, precision = run.of_side(TRAIN), run.machine.precision
    prompts = [run.settings.prompts.of(label) for label in run.rows["label"][train]]
    started = time.perf_counter()
    pipeline = sd1.load(
        run.machine.base.folder, sd1.DTYPES[precision], best(), without=("unet", "text_encoder")
    )  # fmt: skip
    latents = encode_images(pipeline.vae, run.pixels[train])
    examples = learning.Examples(latents, prompts, run.settings.adapt.balance == "classes")
    for count in steps:
        recipe = run.settings.lora.model_copy(update={"steps": count})
        with tempfile.TemporaryDirectory() as work:
            learning.learn_lora(
                recipe, run.machine.base, examples, precision=precision, seed=seed, work=Path(work),
                out=out / str(count),
            )  # fmt: skip
    return time.perf_counter() - started


SIDES: dict[str, Callable[[Path, list[int], int, Path], float]] = {SCRIPT: script, OURS: ours}


def rates(root: Path, rounds: int) -> pd.DataFrame:
    """For each side, the medians over rounds of the seconds before the first step, and of a step."""
    found = []
    for side in list(SIDES) * rounds:
        with tempfile.TemporaryDirectory() as out:
            few, more = (alone(partial(SIDES[side], root, [steps], 0, Path(out) / "timed"))[0] for steps in TIMED)
        step = (more - few) / (TIMED[1] - TIMED[0])
        found.append({"side": side, "before": few - TIMED[0] * step, "step": step})
    print(pd.DataFrame(found).to_string(index=False), flush=True)
    return pd.DataFrame(found).groupby("side").median()


def made(run: FinishedRun, adapter: Path | None, each: int) -> list[np.ndarray]:
    """`each` images (each, H, W) uint8 of every class, with the same prompts and seeds whatever made them.

    Args:
        adapter: its folder; None: the base as it is.
    """
    s = run.settings
    sampler = Sampler(run.machine.base, adapter, run.machine.precision, s.resolution, s.synthesis)
    found = []
    for label in run.labels:
        seeds = [seeding.derive(0, "benchmark", label, i) for i in range(each)]
        batches = [seeds[i : i + s.synthesis.batch] for i in range(0, each, s.synthesis.batch)]
        prompt = s.prompts.of(label)
        found.append(np.concatenate([sampler.generate([prompt] * len(batch), batch) for batch in batches]))
    return found


def training_images(run: FinishedRun, each: int) -> list[np.ndarray]:
    """`each` of every class, or all, if there are fewer: the floor of the distances."""
    train, labels = run.of_side(TRAIN), run.rows["label"].to_numpy()
    chosen = [np.flatnonzero((labels == label) & train) for label in run.labels]
    return [run.pixels[np.random.default_rng(0).permutation(rows)[:each]] for rows in chosen]


def far(run: FinishedRun, images: list[np.ndarray], features: list[str]) -> dict[str, float]:
    """The mean over classes of the kernel distance of images to held-out ones, in each feature space."""
    held_out, labels = run.of_side(VALIDATION), run.rows["label"].to_numpy()
    real = [run.pixels[(labels == label) & held_out] for label in run.labels]
    found = {}
    for name in features:
        extract = extractor(resolve(name))
        pairs = zip(real, images, strict=True)
        found[name] = float(np.mean([kernel_distance(extract(one), extract(other)) for one, other in pairs]))
    return found


def distances(root: Path, adapter: Path | None, each: int, features: list[str]) -> dict[str, float]:
    """`far`, of the images of an adapter; None: of as many training images."""
    run = FinishedRun.read(root)
    return far(run, made(run, adapter, each) if adapter else training_images(run, each), features)


def tables(found: pd.DataFrame) -> str:
    """The distances at each step and the seconds until then, means over seeds, as Markdown."""
    spaces = [name for name in found if name not in ("side", "seed", "steps", "seconds")]
    lines = ["| | steps | seconds | " + " | ".join(f"distance, {name}" for name in spaces) + " |"]
    lines.append("|---" * (3 + len(spaces)) + "|")
    for (side, steps), rows in found.groupby(["side", "steps"], sort=False):
        cells = [" to ".join(f"{x:.3f}" for x in sorted({rows[name].min(), rows[name].max()})) for name in spaces]
        took = "–" if side == FLOOR else f"{rows['seconds'].mean():.0f}"
        lines.append(f"| {side} | {steps or '–'} | {took} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, store and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--script-steps", type=int, nargs="+", default=[250, 500, 1000])
    parser.add_argument("--steps", type=int, nargs="+", default=[60, 125, 250, 500])
    parser.add_argument("--each", type=int, default=40, help="images of each class")
    parser.add_argument("--rounds", type=int, default=3, help="short trainings of each side, to time them")
    parser.add_argument("--features", nargs="+", default=["embedded"])
    o = parser.parse_args()
    took = rates(o.run, o.rounds)
    rows: list[dict[str, str | float]] = []

    def look(side: str, seed: int, steps: int, seconds: float, adapter: Path | None) -> None:
        far, _ = alone(partial(distances, o.run, adapter, o.each, o.features))
        rows.append({"side": side, "seed": seed, "steps": steps, "seconds": seconds} | far)
        pd.DataFrame(rows).to_csv(o.out, index=False, float_format="%.5f")

    look(FLOOR, 0, 0, 0.0, None)
    for seed, (side, wanted) in product(o.seeds, {SCRIPT: o.script_steps, OURS: o.steps}.items()):
        with tempfile.TemporaryDirectory() as folder:
            alone(partial(SIDES[side], o.run, wanted, seed, Path(folder)))
            for steps in wanted:
                seconds = took.loc[side, "before"] + steps * took.loc[side, "step"]
                look(side, seed, steps, seconds, Path(folder) / str(steps))
    print(f"{machine()}\n\n{tables(pd.read_csv(o.out).sort_values(['side', 'steps'], kind='stable'))}")


if __name__ == "__main__":
    main()
