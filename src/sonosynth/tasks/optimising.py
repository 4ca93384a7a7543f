"""How the weights of a model are optimised."""

import math
from typing import Literal

import torch
from torch.optim.lr_scheduler import LambdaLR

Schedule = Literal["constant", "cosine"]
SCHEDULES = {"constant": lambda done: 1.0, "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2}
"""The learning rate, in parts of the largest, when a share of the steps is done."""


def adam(
    model: torch.nn.Module, learning_rate: float, schedule: Schedule, steps: int
) -> tuple[torch.optim.Adam, LambdaLR]:
    """Adam, and the schedule of its learning rate over `steps` steps, to be stepped after each of them."""
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, fused=True)
    rate = SCHEDULES[schedule]
    return optimizer, LambdaLR(optimizer, lambda step: rate(step / steps))
