"""Memory of tensors between steps."""

import ctypes
import multiprocessing
import sys
from pathlib import Path

import pytest
import torch

from sonosynth.bases import memory

resource = pytest.importorskip("resource")
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="only glibc can be told"
)
SIZE = 50_000_000  # bytes of a tensor


def make_and_drop(times: int) -> int:
    """Page faults while a tensor is made and dropped `times` times."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.ones(SIZE // 4)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def measure() -> tuple[int, int]:
    """Page faults of five tensors once the heap has room for them, and the bytes given back in the end."""
    with memory.kept_by_process():
        make_and_drop(20)  # glibc keeps seven small pieces beside aligned blocks, whose holes then are a little short
        faults = make_and_drop(5)
        kept = resident()
    return faults, kept - resident()


def test_the_memory_of_a_tensor_is_used_again_and_given_back_in_the_end():
    # In a process of its own: where a tensor is put depends on the holes that others left in the heap.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        faults, given_back = pool.apply(measure)
    assert faults < SIZE / resource.getpagesize()
    assert given_back > 0.9 * SIZE
