"""Peak memory of Stable Diffusion v1.5 on a GPU, computed from shapes alone: no weights, no GPU, nothing measured.

    python benchmarks/memory.py [--resolution 512]

The networks are built from their configurations on PyTorch's meta device, which knows shapes and no numbers, and do
what a study does. What is counted are the bytes of all tensors that live at a time; not CUDA itself, the workspace of
its kernels, and gaps between tensors, which take 1 to 2 GB more. Attention is counted as fused (Dao, 2023): it holds
queries, keys, values and the result, never the matrix of all pairs.
"""

import argparse
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from measuring import sd15
from sonosynth.adapters import lora
from sonosynth.adapters.settings import Lora

HALF, RANK = torch.bfloat16, 4
GB = 1e9


class Peak(TorchDispatchMode):
    """The most bytes that tensors which are made meanwhile hold at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [x.untyped_storage() for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        result = function(*args, **(kwargs or {}))
        for made in tree_leaves(result):
            if isinstance(made, Tensor) and all(made.untyped_storage() is not storage for storage in given):
                self._add(made.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        if storage not in self.known:
            self.known.add(storage)
            self.now += storage.nbytes()
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self._free, storage.nbytes())

    def _free(self, size: int) -> None:
        self.now -= size


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, out, query.new_empty(query.shape[:-1], dtype=torch.float32))
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return tuple(torch.empty_like(x) for x in ctx.saved_tensors[:3])


@contextmanager
def as_on_a_gpu(*, autocast: bool) -> Iterator[None]:
    """Fused attention, and autocast, which the meta device lacks: products in half precision, norms in full."""
    linear, convolved, half = F.linear, nn.Conv2d._conv_forward, partial(_cast, HALF)

    def normed(norm: Callable[..., Tensor], *given: Any, **named: Any) -> Tensor:
        full = {name: _cast(torch.float32, value) for name, value in named.items()}
        return norm(*(_cast(torch.float32, value) for value in given), **full)

    def attended(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> Any:
        return _Fused.apply(query, key, value)

    replaced: dict[tuple[Any, str], Callable[..., Any]] = {(F, "scaled_dot_product_attention"): attended}
    if autocast:
        replaced[F, "linear"] = lambda *given: linear(*map(half, given))
        replaced[nn.Conv2d, "_conv_forward"] = lambda self, *given: convolved(self, *map(half, given))
        replaced |= {(F, name): partial(normed, getattr(F, name)) for name in ("group_norm", "layer_norm")}
    with ExitStack() as stack:
        for (place, name), function in replaced.items():
            stack.enter_context(patch.object(place, name, function))
        yield


def _cast(dtype: torch.dtype, value: Any) -> Any:
    return value.to(dtype) if isinstance(value, Tensor) else value


def size(*networks: nn.Module) -> int:
    """Bytes of the weights."""
    return sum(p.numel() * p.element_size() for network in networks for p in network.parameters())


def trained(side: int, batch: int, *, checkpointing: bool) -> float:
    """A step of a LoRA: the U-Net alone is loaded."""
    unet: Any = sd15()["unet"].to(HALF).requires_grad_(False)
    weights = size(unet)
    parts = type("Pipeline", (), {"unet": unet})
    parameters = lora.attach(parts, RANK, "attention", 0)
    own = 4 * size(nn.ParameterList(parameters))  # weights, gradients and AdamW's two moments, float32
    if checkpointing:
        unet.train()
        unet.enable_gradient_checkpointing()
    with as_on_a_gpu(autocast=True), Peak() as peak:
        noisy = torch.empty(batch, 4, side // 8, side // 8, dtype=HALF, device="meta")
        times, words = torch.empty(batch, device="meta"), torch.empty(batch, 77, 768, dtype=HALF, device="meta")
        unet(noisy, times, words).sample.float().square().mean().backward()
    return weights + own + peak.most


@torch.no_grad()
def sampled(side: int, batch: int) -> tuple[float, float, float]:
    """Guided steps; decoding; and encoding of as many images, as refinement starts: everything is loaded."""
    parts: dict[str, Any] = {name: network.to(HALF) for name, network in sd15().items()}
    weights = size(*parts.values())

    def peak_of(work: Callable[[], Any]) -> float:
        with as_on_a_gpu(autocast=False), Peak() as peak:
            work()
        return weights + peak.most

    latents = torch.empty(2 * batch, 4, side // 8, side // 8, dtype=HALF, device="meta")
    times, words = torch.empty(2 * batch, device="meta"), torch.empty(2 * batch, 77, 768, dtype=HALF, device="meta")
    pixels = torch.empty(batch, 3, side, side, dtype=HALF, device="meta")
    return (
        peak_of(lambda: parts["unet"](latents, times, words).sample),
        peak_of(lambda: parts["vae"].decode(latents[:batch]).sample),
        peak_of(lambda: parts["vae"].encode(pixels).latent_dist.parameters),
    )


def main() -> None:
    """Compute and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=512)
    side = parser.parse_args().resolution
    with torch.device("meta"):
        for name, network in sd15().items():
            print(f"{name}: {sum(p.numel() for p in network.parameters()):,} weights")
        print(f"| at {side} pixels, bfloat16 | GB, computed |\n|---|---|")
        for batch in (4, Lora().batch):
            for checkpointing in (False, True):
                what = f"LoRA of rank {RANK}, batch {batch}" + ", gradient checkpointing" * checkpointing
                print(f"| {what} | {trained(side, batch, checkpointing=checkpointing) / GB:.1f} |", flush=True)
        for batch in (8, 16):
            for what, found in zip(("guided steps", "decoding", "encoding"), sampled(side, batch), strict=True):
                print(f"| sampling, batch {batch}: {what} | {found / GB:.1f} |", flush=True)


if __name__ == "__main__":
    main()
