"""The time steps of a refinement: noise is added to the first of them, and removed in all."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler

from sonosynth.bases import sd1
from sonosynth.errors import UserError, first_line


def solver(own: Any, name: str) -> Any:
    """The scheduler that samples: the base's `own` for "base", or DPM-Solver++ on the same noise levels for "dpm++"."""
    return own if name == "base" else DPMSolverMultistepScheduler.from_config(own.config)


def spaced(strength: float, steps: int, trained: int) -> list[int]:
    """The time that a strength names, and evenly spaced ones from there to the image: at most `steps` whole times.

    The first is strength x `trained`, the number of times that the base was trained with, rounded; at strength 1 the
    last there is. With fewer times than steps, each is taken once.
    """
    first = min(round(strength * trained), trained - 1)
    times = np.linspace(first, 0, steps, endpoint=False).round().astype(int)
    return [int(time) for time in np.unique(times)[::-1]]


def set_on(scheduler: Any, times: list[int], device: torch.device | str = "cpu") -> None:
    """Let the scheduler denoise at these times, the noisiest first.

    Raises:
        UserError: if it takes no times of one's own.
    """
    what = f"refine.steps: the scheduler {type(scheduler).__name__}"
    fix = "synthesis.solver=dpm++, or refine.steps=null for the last share of its own steps"
    if "timesteps" not in inspect.signature(scheduler.set_timesteps).parameters:
        raise UserError(f"{what} can't start at the time step of a strength", fix=fix)
    try:
        scheduler.set_timesteps(timesteps=times, device=device)
    except ValueError as error:
        raise UserError(f"{what} refuses the time steps of a strength ({first_line(error)})", fix=fix) from None


def check(base: Path, name: str) -> None:
    """Raise UserError unless the solver of that name can start at any time of the base in that folder."""
    set_on(solver(sd1.load_scheduler(base), name), [1, 0])
