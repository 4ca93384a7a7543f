"""What the benchmarks share: every side in a process of its own, sides in turns, ratios with their spread."""

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from operator import call
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from sonosynth.bases import sd1
from sonosynth.cohort.places import file_of
from sonosynth.cohort.sources import list_sources
from sonosynth.firewall import Origins
from sonosynth.parallel import cores
from sonosynth.run import reopen
from sonosynth.runners.execution import set_threads
from sonosynth.tasks.training_set import TrainingSet

Item = TypeVar("Item")
Made = TypeVar("Made")

AT_ONCE = 4
"""Trainings beside each other, as in `sonosynth.study`, which imports more than the processes here should hold."""

Side = Callable[[], float]
"""Does some work, and returns its rate."""


def in_turns(sides: Mapping[str, Side], rounds: int, what: str) -> dict[str, np.ndarray]:
    """Run each side `rounds` times, in turns, each time in a new process; print and return the rates, of `what`.

    The table has the median rate, its range, the median and range of the ratio to the first side in the same round, and
    the largest memory of the process, MB.
    """
    rates: dict[str, list[float]] = {name: [] for name in sides}
    memory = dict.fromkeys(sides, 0.0)
    for number in range(rounds):
        for name, side in sides.items():
            rate, peak = alone(side)
            rates[name].append(rate)
            memory[name] = max(memory[name], peak)
            print(f"  round {number + 1}: {name} {rate:.3g} {what}, {peak:.0f} MB", file=sys.stderr, flush=True)
    found = {name: np.array(values) for name, values in rates.items()}
    first = next(iter(found.values()))
    print(f"| | {what} | ratio | peak MB |\n|---|---|---|---|")
    for name, values in found.items():
        print(f"| {name} | {spread(values)} | {spread(values / first)} | {memory[name]:.0f} |")
    print(flush=True)
    return found


def spread(values: np.ndarray) -> str:
    """Median and range."""
    return f"{np.median(values):.3g} ({values.min():.3g} to {values.max():.3g})"


def alone(work: Callable[[], Any]) -> tuple[Any, float]:
    """What `work` returns in a new process, and the largest memory of that process, MB."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_with_peak, work).result()


def _with_peak(work: Callable[[], Any]) -> tuple[Any, float]:
    result = work()
    unit = 1 if sys.platform == "darwin" else 1024
    return result, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def in_processes(make: Callable[[Item], Made], items: Iterable[Item], at_most: int | None = None) -> list[Made]:
    """`make` of every item, in as many processes as there are cores, or `at_most`; they share the cores.

    Args:
        make: a function of a module, so that other processes find it.
    """
    workers = min(cores(), at_most or cores())
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), set_threads, (cores() // workers,)) as pool:
        return list(pool.map(make, items))


def trained(trainings: Iterable[Callable[[], np.ndarray]]) -> list[np.ndarray]:
    """The results of calls of `classifier.predict`, as many at a time as in a study."""
    if torch.cuda.is_available():
        return [training() for training in trainings]
    return in_processes(call, trainings, AT_ONCE)


def training_set(images: np.ndarray, labels: np.ndarray) -> TrainingSet:
    """Images (N, H, W) uint8 and labels (N,) int to train on, outside of any study: no origins are kept."""
    origins = Origins(frozenset(), (frozenset(),) * len(labels))
    return TrainingSet.of_real(images, labels, int(labels.max()) + 1, origins)


class Clock:
    """Notes when a U-Net is called, in whatever code does it."""

    def __init__(self) -> None:
        self.times: list[float] = []
        torch.nn.modules.module.register_module_forward_pre_hook(self._note)

    def _note(self, module: torch.nn.Module, _: Any) -> None:
        if isinstance(module, UNet2DConditionModel):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.times.append(time.perf_counter())

    def rate(self, warm: int) -> float:
        """Calls a second, without the first `warm` ones."""
        return (len(self.times) - 1 - warm) / (self.times[-1] - self.times[warm])


def sd15() -> dict[str, torch.nn.Module]:
    """Networks with Stable Diffusion v1.5's shapes and random weights, by their names in a pipeline."""
    return {
        "vae": AutoencoderKL(
            block_out_channels=(128, 256, 512, 512), down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=2,
        ),
        "unet": UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8),
        "text_encoder": CLIPTextModel(
            CLIPTextConfig(
                hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, vocab_size=49408
            )
        ),
    }  # fmt: skip


def find_base(name: str, work: Path) -> sd1.Base:
    """ "embedded", a folder, or "sd15": Stable Diffusion v1.5's shapes with random weights. No job is keyed by it."""
    folder = work / "sd15" if name == "sd15" else sd1.find(name)
    if not (folder / "model_index.json").exists():
        torch.manual_seed(0)
        pipeline = StableDiffusionPipeline(
            **sd15(),
            tokenizer=sd1.load(sd1.find("embedded"), torch.float32, "cpu").tokenizer,
            scheduler=PNDMScheduler(
                beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1,
                set_alpha_to_one=False,
            ),
            safety_checker=None,
            feature_extractor=None,
        )  # fmt: skip
        pipeline.save_pretrained(folder)
    return sd1.Base(name, folder, "")


def labelled(folder: Path) -> list[tuple[Path, int]]:
    """The files of a cohort, in order, and the number of their class."""
    sources = list_sources(folder).sources
    labels = sorted({source.label for source in sources})
    return [(file_of(source.file), labels.index(source.label)) for source in sources]


def by_kind(run: Path) -> str:
    """A Markdown table: how many jobs of each kind a finished run has, and their seconds together."""
    jobs = [(job.function, status.made.seconds) for job, status in reopen(run).statuses(run) if status.made]
    table = pd.DataFrame(jobs, columns=["job", "seconds"]).groupby("job", sort=False)["seconds"].agg(["count", "sum"])
    rows = [
        f"| {str(name).removeprefix('sonosynth.')} | {count:.0f} | {spent:.1f} |"
        for name, (count, spent) in table.iterrows()
    ]
    return "\n".join(["| job | how many | s |", "|---|---|---|", *rows])


def machine() -> str:
    """What the figures were measured on, in a line."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"
    names = ("torch", "diffusers", "transformers", "peft", "sonosynth")
    return f"{device}; " + ", ".join(f"{name} {version(name)}" for name in names)
