"""The training loop. It serves textual inversion, LoRA and the pretraining of the embedded base alike.

Every random draw of a step comes from a generator named after that step, so a run that was stopped and
resumed from its checkpoint draws what an uninterrupted one draws.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from sonosynth import progress, seeding
from sonosynth.errors import UserError

Loss = Callable[[Tensor, torch.Generator], Tensor]
"""From the indices (B,) of the samples and the step's generator to the mean loss of that batch."""

CHECK_EVERY = 25  # steps between looks at the loss, so that a GPU is not made to wait at every step


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: optimiser steps, samples in a batch, batches in a step, AdamW's learning rate.

    warmup: steps of linear warm-up. decay: whether a cosine takes the rate to zero at the last step.
    """

    steps: int
    batch: int
    learning_rate: float
    accumulation: int = 1
    warmup: int = 0
    decay: bool = False
    weight_decay: float = 1e-2
    checkpoint_every: int = 250

    def rate(self, step: int) -> float:
        """The factor on the learning rate at `step`."""
        factor = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        if self.decay:
            factor *= 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * step / self.steps))))
        return factor


def make_accelerator(precision: str, accumulation: int = 1) -> Accelerator:
    """An Accelerator for "fp32", "bf16" or "fp16" on the best device there is."""
    AcceleratorState._reset_state()  # the precision is per study, not per process
    mixed = "no" if precision == "fp32" else precision
    return Accelerator(mixed_precision=mixed, gradient_accumulation_steps=accumulation)


def train(
    name: str,
    parameters: Sequence[torch.nn.Parameter],
    loss_of: Loss,
    samples: int,
    schedule: Schedule,
    *,
    accelerator: Accelerator,
    seed: int,
    checkpoint: Path,
) -> list[float]:
    """Train `parameters` in place for `schedule.steps` steps; return the loss of every step.

    Args:
        name: names the random streams and the progress bar.
        loss_of: the loss of a batch; called under the accelerator's autocast.
        samples: how many samples `loss_of` can index. Each is seen once before any is seen again.
        checkpoint: a safetensors file; written now and then, continued from where it exists.

    Raises:
        UserError: if a loss is not finite; the step is named, and the checkpoint before it stays.
    """
    optimizer = torch.optim.AdamW(parameters, lr=schedule.learning_rate, weight_decay=schedule.weight_decay, fused=True)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule.rate)
    losses = _resume(checkpoint, parameters, optimizer, scheduler)
    optimizer = accelerator.prepare(optimizer)
    holder = torch.nn.ParameterList(parameters)
    recent: list[Tensor] = []

    with progress.task(f"training {name}", schedule.steps, len(losses)) as bar:
        for step in range(len(losses), schedule.steps):
            generator = seeding.torch_generator(seed, name, step)
            total = torch.zeros((), device=accelerator.device)
            for part in range(schedule.accumulation):
                position = (step * schedule.accumulation + part) * schedule.batch
                indices = _epoch_order(seed, name, samples, position, schedule.batch)
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
            recent.append(total)

            last = step + 1 == schedule.steps
            if last or (step + 1) % CHECK_EVERY == 0:
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
                bar.advance(len(values), f"loss {sum(values) / len(values):.4f}")
                if last or len(losses) % schedule.checkpoint_every == 0:
                    _save(checkpoint, parameters, optimizer, losses)
    return losses


def _epoch_order(seed: int, name: str, samples: int, position: int, batch: int) -> Tensor:
    """Indices of samples `position` to `position + batch` of an endless sequence of shuffled epochs."""
    chosen: list[Tensor] = []
    while batch > 0:
        epoch, start = divmod(position, samples)
        order = torch.randperm(samples, generator=seeding.torch_generator(seed, name, "epoch", epoch))
        chosen.append(order[start : start + batch])
        position += len(chosen[-1])
        batch -= len(chosen[-1])
    return torch.cat(chosen)


def _save(path: Path, parameters: Sequence[Tensor], optimizer: torch.optim.Optimizer, losses: list[float]) -> None:
    tensors = {f"parameter.{i}": p.detach().cpu().contiguous() for i, p in enumerate(parameters)}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{key}": value.cpu().contiguous() for key, value in state.items()}
    tensors["losses"] = torch.tensor(losses, dtype=torch.float64)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file(tensors, partial)
    partial.replace(path)


def _resume(
    path: Path,
    parameters: Sequence[torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LambdaLR,
) -> list[float]:
    if not path.exists():
        return []
    state: dict[int, dict[str, Tensor]] = {}
    with safe_open(path, "pt") as file:
        for i, parameter in enumerate(parameters):
            parameter.data.copy_(file.get_tensor(f"parameter.{i}"))
        for key in file.keys():  # noqa: SIM118 (not a dict)
            if key.startswith("optimizer."):
                _, i, name = key.split(".")
                state.setdefault(int(i), {})[name] = file.get_tensor(key)
        losses: list[float] = file.get_tensor("losses").tolist()
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    scheduler.last_epoch = len(losses)
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * scheduler.lr_lambdas[0](len(losses))
    return losses
