"""Whether `torch.compile` makes the training of a LoRA shorter, with its cache kept from one process to the next.

    PYTHONPATH=benchmarks python benchmarks/compiling.py --work DIR --out compiling.csv [--base embedded|sd15|DIR]
        [--resolution 128] [--batch 4] [--steps 40] [--rounds 2]

Three ways: as it is; the blocks that repeat compiled (diffusers' `compile_repeated_blocks`); the whole U-Net compiled.
For each, the seconds until the first step of a LoRA of all layers is done, with an empty cache and with the one that
the process before left, and the seconds of a step after that. What follows is the number of steps from which a
compiled training is shorter. Every training is a process of its own; images are simulated.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
from PIL import Image

from adaptation import encoded, training_images
from measuring import alone, find_base, machine
from sonosynth.adapters import learning
from sonosynth.adapters import lora as low_rank
from sonosynth.adapters.settings import Lora
from sonosynth.bases import sd1
from sonosynth.cohort.decoding import resize

WAYS: dict[str, Callable[[Any], object] | None] = {
    "as it is": None,
    "repeated blocks": lambda unet: unet.compile_repeated_blocks(),
    "whole U-Net": lambda unet: unet.compile(),
}


def seconds(base: sd1.Base, work: Path, resolution: int, way: str, cache: Path, settings: Lora) -> float:
    """The seconds of one training, without loading Python, encoding images or reading files.

    Args:
        way: one of `WAYS`. cache: the folder of torch's compiler.
    """
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cache)
    items, prompts = training_images(work / "images")
    pixels = np.stack([np.asarray(Image.open(file).convert("L")) for file, _ in items])
    precision = sd1.choose_precision("auto")
    latents = encoded(base, resize(pixels, resolution), precision)
    examples = learning.Examples(latents, [prompts[number] for _, number in items])
    attach = low_rank.attach

    def and_compile(pipeline, *rest):  # type: ignore[no-untyped-def]
        parameters = attach(pipeline, *rest)
        if compiling := WAYS[way]:
            compiling(pipeline.unet)
        return parameters

    with tempfile.TemporaryDirectory() as folder, mock.patch.object(low_rank, "attach", and_compile):
        started = time.perf_counter()
        learning.learn_lora(
            settings, base, examples, precision=precision, seed=0, work=Path(folder), out=Path(folder)
        )  # fmt: skip
        return time.perf_counter() - started


def table(found: pd.DataFrame) -> str:
    """Medians over rounds, and from how many steps on a compiled training is the shorter one, as Markdown."""
    middle = found.groupby("way", sort=False)[["first", "again", "step"]].median()
    plain = middle.loc["as it is"]
    lines = ["| | first step, empty cache, s | first step, kept cache, s | a step after that, s | shorter from |"]
    lines.append("|---" * 5 + "|")
    for way, row in middle.iterrows():
        gain = plain["step"] - row["step"]
        steps = [(row[start] - plain[start]) / gain for start in ("first", "again")] if gain > 0 else []
        shorter = " and ".join(f"{n:.0f}" for n in steps) + " steps" if steps else "never"
        lines.append(
            f"| {way} | {row['first']:.0f} | {row['again']:.0f} | {row['step']:.3f} |"
            f" {'–' if way == 'as it is' else shorter} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, store and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="where images and random weights are kept")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--base", default="embedded")
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=40, help="steps that are timed after the first")
    parser.add_argument("--rounds", type=int, default=2)
    o = parser.parse_args()
    base = find_base(o.base, o.work)
    training_images(o.work / "images")
    settings = Lora(batch=o.batch, rank=4, layers="all")
    rows = []
    for _ in range(o.rounds):
        for way in WAYS:
            with tempfile.TemporaryDirectory() as cache:
                train = partial(seconds, base, o.work, o.resolution, way, Path(cache))
                first, again, longer = (
                    alone(partial(train, settings.model_copy(update={"steps": steps})))[0]
                    for steps in (1, 1, 1 + o.steps)
                )
            rows.append({"way": way, "first": first, "again": again, "step": (longer - again) / o.steps})
            pd.DataFrame(rows).to_csv(o.out, index=False, float_format="%.4f")
    print(f"{machine()}\n\n{table(pd.read_csv(o.out))}")


if __name__ == "__main__":
    main()
