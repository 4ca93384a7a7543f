"""The training loop. It serves textual inversion, LoRA, whole U-Nets and the pretraining of the embedded base alike.

Every random draw of a step comes from a generator named after that step, so a run that was stopped and
resumed from its checkpoint draws what an uninterrupted one draws.
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sonosynth import device, disk, interruption, progress, seeding
from sonosynth.adapters import order
from sonosynth.adapters.settings import Control, Lora, Token, Unet
from sonosynth.bases import memory
from sonosynth.errors import UserError, first_line

Loss = Callable[[Tensor, torch.Generator], Tensor]
"""From the indices (B,) of the samples and the step's generator to the mean loss of that batch."""

CHECK_EVERY = 25  # steps between checks of the loss, so that a GPU need not wait at every step
CHECKPOINT_SECONDS = 120  # between checkpoints, at most, where steps are slow


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: optimiser steps, samples in a batch, batches in a step, AdamW's learning rate.

    warmup: steps of linear warm-up. decay: whether a cosine takes the rate to zero at the last step. average: share of
    the old in the running average of the parameters; 0: none is kept.
    """

    steps: int
    batch: int
    learning_rate: float
    accumulation: int = 1
    warmup: int = 0
    decay: bool = False
    average: float = 0.0
    weight_decay: float = 1e-2
    checkpoint_every: int = 250

    @classmethod
    def of(cls, settings: Token | Lora | Unet | Control, weight_decay: float = 1e-2) -> "Schedule":
        """The schedule that a section of settings names; a token is learned at a constant rate, and not averaged."""
        decay, average = False, 0.0
        if not isinstance(settings, Token):
            decay, average = settings.schedule == "cosine", settings.average
        return cls(
            settings.steps, settings.batch, settings.learning_rate, settings.accumulation, decay=decay, average=average,
            weight_decay=weight_decay,
        )  # fmt: skip

    def rate(self, step: int) -> float:
        """The factor on the learning rate at `step`."""
        factor = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        if self.decay:
            factor *= 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * step / self.steps))))
        return factor

    def kept(self, step: int) -> float:
        """The share of the running average that `step` keeps: `average`, less in the first steps."""
        return min(self.average, (1 + step) / (10 + step)) if step else 0.0


def make_accelerator(precision: str, accumulation: int = 1) -> Accelerator:
    """An Accelerator for "fp32", "bf16" or "fp16" on the best device there is."""
    AcceleratorState._reset_state()  # the precision is per study, not per process
    mixed = "no" if precision == "fp32" else precision
    on_cpu = device.best().type == "cpu"  # it would choose among more kinds itself
    return Accelerator(cpu=on_cpu, mixed_precision=mixed, gradient_accumulation_steps=accumulation)


def train(
    name: str,
    parameters: Sequence[torch.nn.Parameter],
    loss_of: Loss,
    strata: Sequence[Tensor],
    schedule: Schedule,
    *,
    accelerator: Accelerator,
    seed: int,
    checkpoint: Path,
) -> list[float]:
    """Train `parameters` in place for `schedule.steps` steps; return the loss of every step.

    They end as their running average, if the schedule has one: each step moves it towards them by one minus
    `schedule.average`, and by more in the first steps, as diffusers' `EMAModel` does.

    Args:
        name: names the random streams and the task that is shown.
        loss_of: the loss of a batch; called under the accelerator's autocast.
        strata: indices of the samples that `loss_of` can be given. See `order.draw`.
        checkpoint: a safetensors file; written now and then, and on SIGINT or SIGTERM; resumed from if it
            exists. The previous one is kept beside it.

    Raises:
        UserError: if a loss is not finite; the step is named, and the checkpoint before it is kept. If none of the
            existing checkpoints is intact.
        KeyboardInterrupt: on SIGINT or SIGTERM, once the step is finished and saved.
    """
    optimizer = torch.optim.AdamW(parameters, lr=schedule.learning_rate, weight_decay=schedule.weight_decay, fused=True)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule.rate)
    averages = [p.detach().clone() for p in parameters] if schedule.average else []
    losses = _resume(checkpoint, parameters, averages, optimizer, scheduler)
    optimizer = accelerator.prepare(optimizer)
    holder = torch.nn.ParameterList(parameters)
    recent: list[Tensor] = []

    saved = time.monotonic()

    with (
        progress.task(f"training {name}", schedule.steps, len(losses)) as bar,
        interruption.held_back() as interrupted,
        memory.kept_by_process(),
    ):
        for step in range(len(losses), schedule.steps):
            generator = torch.Generator().manual_seed(seeding.derive(seed, name, step))
            total = torch.zeros((), device=accelerator.device)
            for part in range(schedule.accumulation):
                position = (step * schedule.accumulation + part) * schedule.batch
                indices = order.draw(seed, name, strata, position, schedule.batch)
                with accelerator.accumulate(holder):
                    with accelerator.autocast():
                        loss = loss_of(indices, generator)
                    accelerator.backward(loss)
                    if accelerator.sync_gradients:
                        accelerator.clip_grad_norm_(parameters, 1.0)
                    optimizer.step()
                    optimizer.zero_grad()
                total += loss.detach() / schedule.accumulation
            scheduler.step()
            for average, parameter in zip(averages, parameters, strict=False):
                average.lerp_(parameter.detach(), 1 - schedule.kept(step))
            recent.append(total)

            stop = interrupted()
            must_save = stop or step + 1 == schedule.steps or (step + 1) % schedule.checkpoint_every == 0
            must_save |= time.monotonic() - saved > CHECKPOINT_SECONDS
            if must_save or (step + 1) % CHECK_EVERY == 0:
                values = torch.stack(recent).tolist()
                for offset, value in enumerate(values):
                    if not torch.isfinite(torch.tensor(value)):
                        raise UserError(
                            f"training {name}: the loss is {value} at step {len(losses) + offset + 1}",
                            "a finite loss",
                            "lower its learning_rate, or use precision: bf16 or fp32 instead of fp16",
                        )
                losses += values
                recent.clear()
                bar.advance(len(values), loss=sum(values) / len(values))
            if must_save:
                _save(checkpoint, parameters, averages, optimizer, losses)
                saved = time.monotonic()
            if stop:
                break
    for average, parameter in zip(averages, parameters, strict=False):
        parameter.data.copy_(average)
    return losses


def _before(path: Path) -> Path:
    """Where the checkpoint before the one at `path` is kept."""
    return path.with_name(f"{path.stem}.before{path.suffix}")


def _save(
    path: Path, parameters: Sequence[Tensor], averages: Sequence[Tensor], optimizer: torch.optim.Optimizer,
    losses: list[float],
) -> None:  # fmt: skip
    named = _named(parameters, averages)
    tensors = {name: value.detach().cpu().contiguous() for name, value in named.items()}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{key}": value.cpu().contiguous() for key, value in state.items()}
    tensors["losses"] = torch.tensor(losses, dtype=torch.float64)
    data = safetensors.torch.save(tensors, {"sha256": _digest(tensors)})
    if path.exists():
        path.replace(_before(path))
    disk.write_bytes(path, data)


def _digest(tensors: Mapping[str, Tensor]) -> str:
    total = hashlib.sha256()
    for name in sorted(tensors):
        total.update(f"{name} {tuple(tensors[name].shape)}\n".encode())
        total.update(tensors[name].flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint; raises ValueError or SafetensorError if it is not what was written."""
    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
        if _digest(tensors) != (file.metadata() or {}).get("sha256"):
            raise ValueError("its content is not what was written")
    return tensors


def _named(parameters: Sequence[Tensor], averages: Sequence[Tensor]) -> dict[str, Tensor]:
    named = {f"parameter.{i}": value for i, value in enumerate(parameters)}
    return named | {f"average.{i}": value for i, value in enumerate(averages)}


def _resume(
    path: Path,
    parameters: Sequence[torch.nn.Parameter],
    averages: Sequence[Tensor],
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LambdaLR,
) -> list[float]:
    """Resume from the last intact checkpoint; returns its losses. Does nothing if there never was one."""
    named = _named(parameters, averages)
    existing = [file for file in (path, _before(path)) if file.exists()]
    tensors: dict[str, Tensor] = {}
    broken = []
    for file in existing:
        try:
            tensors = _read(file)
            if any(tensors[name].shape != value.shape for name, value in named.items()):
                raise ValueError("it is of another training")
            break
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            tensors = {}
            progress.warn(f"{file}: is incomplete or was altered ({first_line(error)})")
            broken.append(file)
    if existing and not tensors:
        raise UserError(
            f"{path}: no checkpoint of this training is intact",
            "the files as they were written",
            f"remove {path.parent} to start this training over",
        )
    if not tensors:
        return []
    for file in broken:  # it must not become the previous one of the next
        file.unlink()
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in named.items():
        value.data.copy_(tensors[name])
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, number, name = key.split(".")
            state.setdefault(int(number), {})[name] = value
    losses: list[float] = tensors["losses"].tolist()
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    scheduler.last_epoch = len(losses)
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * scheduler.lr_lambdas[0](len(losses))
    return losses
