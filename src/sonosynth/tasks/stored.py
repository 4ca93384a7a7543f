"""Several trained models as one safetensors file: the tensors of the model N have names N.NAME."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import safetensors.torch
from torch import Tensor


def pack(models: Sequence[Mapping[str, Tensor]]) -> bytes:
    """The file that `unpack` reads, of the tensors of each model by name."""
    named = {f"{number}.{name}": x for number, one in enumerate(models) for name, x in one.items()}
    # Copies: safetensors wants neither another memory format nor memory that two tensors share.
    return safetensors.torch.save({name: x.detach().cpu().contiguous().clone() for name, x in named.items()})


def unpack(path: Path, count: int) -> list[dict[str, Tensor]]:
    """The tensors by name of each of the first `count` models in a file of `pack`."""
    tensors = safetensors.torch.load_file(path)
    return [below(tensors, f"{number}.") for number in range(count)]


def below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose names begin with a prefix, by what follows it."""
    return {name.removeprefix(prefix): x for name, x in tensors.items() if name.startswith(prefix)}
