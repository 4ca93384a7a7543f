"""Memory of tensors between steps."""

import ctypes
import sys
from pathlib import Path

import pytest
import torch

from sonosynth.diffusion import memory

resource = pytest.importorskip("resource")
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="only glibc can be told"
)
SIZE = 100_000_000  # bytes of a tensor


def make_and_drop(times: int) -> int:
    """Page faults while a tensor is made and dropped `times` times."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.ones(SIZE // 4)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_the_memory_of_a_tensor_is_used_again_and_given_back_in_the_end():
    with memory.kept_by_process():
        make_and_drop(1)
        assert make_and_drop(5) < SIZE / resource.getpagesize()
        kept = resident()
    assert resident() < kept - 0.9 * SIZE
