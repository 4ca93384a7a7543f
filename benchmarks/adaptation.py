"""Samples a second while a LoRA, or a token, is trained: sonosynth against diffusers' example script.

    python benchmarks/adaptation.py --work DIR [--base embedded|sd15|DIR] [--resolution 128] [--batch 4] [--steps 20]
        [--rounds 3] [--token] [--script PATH/train_text_to_image_lora.py or, with --token, PATH/textual_inversion.py]

At equal precision, batch, resolution and layers (rank 4 on the attention projections), in float32 and in sonosynth's
own precision. "Bare" is the U-Net's forward and backward pass alone, on random latents, with diffusers' own attention
and without memory kept between steps; what sonosynth gains by these two can put it above. The passes' floating-point
operations, and the rate that a large matrix product reaches, tell how much of the hardware a side uses. The script's
side is `neighbours.adapt`, plain diffusers that does in each step what the script does; with `--script` the public
script itself is run, too (it needs torchvision and datasets). Loading is not timed; what sonosynth encodes once, before
the first step, is timed apart. The training images are simulated.
"""

import argparse
import runpy
import sys
import tempfile
import time
from collections import deque
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from measuring import Clock, Side, alone, find_base, in_turns, labelled, machine
from neighbours import adapt as plain
from sonosynth.adapters import learning
from sonosynth.adapters import lora as low_rank
from sonosynth.adapters.settings import Lora, Token
from sonosynth.bases import sd1
from sonosynth.bases.latents import Latents, encode_images
from sonosynth.cohort.decoding import resize
from sonosynth.phantom import write_cohort

WARM, RANK, TOKEN, INIT, RATE = 2, 4, "<ultrasound>", "ultrasound", 1e-4
IMAGES = 24


@dataclass(frozen=True)
class Task:
    """What every side does.

    images: the folder of the training images. resolution: their side, pixels. batch: images in a step. token: whether
    a token is trained instead of a LoRA.
    """

    base: sd1.Base
    images: Path
    resolution: int
    batch: int
    steps: int
    token: bool


def training_images(folder: Path) -> tuple[list[tuple[Path, int]], list[str]]:
    """Files with the number of their prompt, and the prompts."""
    if not folder.exists():
        write_cohort(folder, {"benign": IMAGES // 2, "malignant": IMAGES // 2}, seed=0)
    return labelled(folder), [f"ultrasound image of a {label} breast lesion" for label in ("benign", "malignant")]


def ours(task: Task, precision: str) -> float:
    """Samples a second of sonosynth."""
    items, prompts = training_images(task.images)
    pixels = np.stack([np.asarray(Image.open(file).convert("L")) for file, _ in items])
    clock = Clock()
    started = time.perf_counter()
    latents = encoded(task.base, resize(pixels, task.resolution), precision)
    print(f"    encoding {len(items)} images, twice: {time.perf_counter() - started:.1f} s", file=sys.stderr)
    examples = learning.Examples(latents, [prompts[number] for _, number in items])
    schedule = {"steps": task.steps, "batch": task.batch, "learning_rate": RATE}
    with tempfile.TemporaryDirectory() as folder:
        about: dict[str, Any] = {"precision": precision, "seed": 0, "work": Path(folder), "out": Path(folder)}
        if task.token:
            learning.learn_token(Token(init=INIT, **schedule), TOKEN, task.base, examples, **about)
        else:
            learning.learn_lora(Lora(rank=RANK, layers="attention", **schedule), task.base, examples, **about)
    return task.batch * clock.rate(WARM)


def encoded(base: sd1.Base, images: np.ndarray, precision: str) -> Latents:
    """The latents of images (N, H, W) uint8, as a study makes them."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    pipeline = sd1.load(base.folder, sd1.DTYPES[precision], device, without=("unet", "text_encoder"))
    return encode_images(pipeline.vae, images)


def bare(task: Task, precision: str) -> float:
    """Samples a second of the U-Net's forward and backward pass alone."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    pipeline = sd1.load(task.base.folder, sd1.DTYPES[precision], device)
    low_rank.attach(pipeline, RANK, "attention", 0)
    unet, clock = pipeline.unet, Clock()
    side = task.resolution // 2 ** (len(pipeline.vae.config.block_out_channels) - 1)
    latents = torch.randn(task.batch, unet.config.in_channels, side, side, device=device)
    embeddings = torch.randn(task.batch, 77, unet.config.cross_attention_dim, device=device)
    times = torch.randint(0, 1000, (task.batch,), device=device)
    for _ in range(task.steps):
        with torch.autocast(device, unet.dtype, enabled=precision != "fp32"):
            unet(latents.to(unet.dtype), times, embeddings.to(unet.dtype)).sample.float().square().mean().backward()
    return task.batch * clock.rate(WARM)


def roofline(task: Task, precision: str) -> tuple[float, float]:
    """Floating-point operations of a sample's two passes, and those that a large matrix product does in a second.

    Attention is counted as torch counts it, which on a CPU is not at all.
    """
    with FlopCounterMode(display=False) as counted:
        bare(replace(task, steps=WARM + 2), precision)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    side, times = (8192, 50) if device == "cuda" else (2048, 10)
    matrix = torch.randn(side, side, device=device, dtype=sd1.DTYPES[precision])
    rates = []
    for _ in range(4):
        started = time.perf_counter()
        for _ in range(times):
            matrix @ matrix
        if device == "cuda":
            torch.cuda.synchronize()
        rates.append(2 * side**3 * times / (time.perf_counter() - started))
    return counted.get_total_flops() / (WARM + 2) / task.batch, max(rates)


def theirs(task: Task) -> float:
    """Samples a second of plain diffusers, in float32."""
    items, prompts = training_images(task.images)
    clock = Clock()
    steps = plain(
        task.base.folder, items, prompts, resolution=task.resolution, batch=task.batch, rank=RANK, steps=task.steps,
        token=TOKEN if task.token else "",
    )  # fmt: skip
    deque(steps, maxlen=0)
    return task.batch * clock.rate(WARM)


def script(path: Path, task: Task, precision: str) -> float:
    """Samples a second of the public script."""
    items, prompts = training_images(task.images)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "images"
        data.mkdir()
        captions = ["file_name,text"]
        for file, number in items:
            name = f"{file.parent.name}-{file.name}".replace(" ", "-")
            (data / name).write_bytes(file.read_bytes())
            captions.append(f"{name},{prompts[number]}")
        options = {
            "pretrained_model_name_or_path": task.base.folder, "train_data_dir": data, "resolution": task.resolution,
            "train_batch_size": task.batch, "max_train_steps": task.steps, "learning_rate": RATE,
            "output_dir": f"{folder}/out", "mixed_precision": "no" if precision == "fp32" else precision,
        }  # fmt: skip
        flags = []
        if task.token:
            options |= {"placeholder_token": TOKEN, "initializer_token": INIT}
        else:
            (data / "metadata.csv").write_text("\n".join(captions))
            options |= {"caption_column": "text", "cache_dir": f"{folder}/cache", "rank": RANK}
            flags = ["--random_flip"]
        sys.argv = [str(path), *flags, *[f"--{name}={value}" for name, value in options.items()]]
        clock = Clock()
        runpy.run_path(str(path), run_name="__main__")
    return task.batch * clock.rate(WARM)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="where images and random weights are kept")
    parser.add_argument("--base", default="embedded")
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--token", action="store_true", help="train the token instead of a LoRA")
    parser.add_argument(
        "--script", type=Path, help="diffusers' train_text_to_image_lora.py, or textual_inversion.py with --token"
    )
    o = parser.parse_args()
    if o.steps < WARM + 2:
        parser.error(f"--steps {o.steps}: the first {WARM} are not timed; give {WARM + 2} or more")
    task = Task(find_base(o.base, o.work), o.work / "images", o.resolution, o.batch, o.steps, o.token)
    training_images(task.images)
    precisions = list(dict.fromkeys(("fp32", sd1.choose_precision("auto"))))
    sides: dict[str, Side] = {}
    for precision in precisions if o.script else ():
        sides[f"diffusers' script, {precision}"] = partial(script, o.script, task, precision)
    sides["plain diffusers, fp32"] = partial(theirs, task)
    for precision in precisions:
        sides[f"sonosynth, {precision}"] = partial(ours, task, precision)
        if not o.token:
            sides[f"bare U-Net, {precision}"] = partial(bare, task, precision)
    print(f"{machine()}\n{'token' if o.token else 'LoRA'}, {o.base}, {o.resolution} px, batches of {o.batch}")
    rates = in_turns(sides, o.rounds, "samples a second")
    for precision in () if o.token else precisions:
        (work, product), _ = alone(partial(roofline, task, precision))
        share = work * float(np.median(rates[f"sonosynth, {precision}"])) / product
        print(
            f"{precision}: {work / 1e9:.3g} GFLOP a sample; a large matrix product: {product / 1e12:.3g} TFLOP/s; "
            f"sonosynth: {share:.0%} of that"
        )


if __name__ == "__main__":
    main()
