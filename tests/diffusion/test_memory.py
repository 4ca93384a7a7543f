"""Memory of tensors between steps."""

import ctypes
import sys

import pytest
import torch

from sonosynth.diffusion import memory

resource = pytest.importorskip("resource")
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="only glibc can be told"
)
MEGABYTES = 100


def faults(times: int) -> int:
    """Page faults while a tensor is made and dropped `times` times."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.ones(MEGABYTES * 250_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_the_memory_of_a_tensor_is_used_again_and_given_back_in_the_end():
    pages = MEGABYTES * 1_000_000 // 4096
    with memory.kept_by_process():
        faults(5)
        assert faults(5) < pages
    assert faults(5) > 4 * pages
