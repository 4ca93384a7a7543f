"""The order in which a training sees its samples: an endless sequence that can be entered anywhere."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sonosynth import seeding


def draw(seed: int, name: str, strata: Sequence[Tensor], position: int, batch: int) -> Tensor:
    """Samples `position` to `position + batch` of the sequence called `name`: (batch,) indices.

    In every round each stratum is drawn from once, in a random order; within a stratum, each sample is seen once before
    any is seen again. One stratum of all samples is plain shuffled epochs; one of each class, balanced classes.
    """
    return torch.stack([_at(seed, name, strata, place) for place in range(position, position + batch)])


def _at(seed: int, name: str, strata: Sequence[Tensor], position: int) -> Tensor:
    if len(strata) == 1:
        return strata[0][_shuffled(len(strata[0]), position, seed, name, "epoch")]
    which = int(_shuffled(len(strata), position, seed, name, "round"))
    nth = position // len(strata)
    return strata[which][_shuffled(len(strata[which]), nth, seed, name, "stratum", which)]


def _shuffled(count: int, position: int, seed: int, *names: str | int) -> Tensor:
    """The element at `position` of endless permutations of `count` elements."""
    epoch, place = divmod(position, count)
    generator = torch.Generator().manual_seed(seeding.derive(seed, *names, epoch))
    return torch.randperm(count, generator=generator)[place]
