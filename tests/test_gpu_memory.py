"""The computed memory of docs/gpu.md."""

import re
from importlib import import_module
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]


@pytest.fixture
def memory(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return import_module("memory")


def test_the_networks_have_the_published_numbers_of_weights(memory):
    """Those of the files of Stable Diffusion v1.5."""
    with torch.device("meta"):
        found = {name: sum(p.numel() for p in network.parameters()) for name, network in memory.sd15().items()}
    assert found == {"vae": 83_653_863, "unet": 859_520_964, "text_encoder": 123_060_480}


def test_the_peak_counts_what_lives_at_a_time(memory):
    outside = torch.empty(1000, device="meta")
    with memory.Peak() as peak:
        first = torch.empty(1000, device="meta")
        second = first.view(10, 100) * 2
        assert peak.now == 8000
        del first
        second.mul_(3)
        outside.mul_(2)
        third = second.t() + 1
        assert (peak.now, peak.most) == (8000, 8000)
        del second, third
        assert (peak.now, peak.most) == (0, 8000)


def test_a_step_keeps_what_its_backward_pass_needs(memory):
    """A chain of n exponentials keeps n results, and its backward pass two gradients at a time."""
    with memory.Peak() as peak:
        x = start = torch.empty(1000, device="meta", requires_grad=True)
        for _ in range(5):
            x = x.exp()
        assert peak.now == 6 * 4000
        x.sum().backward()
    assert 7 * 4000 <= peak.most <= 8 * 4000 + 8
    assert start.grad.shape == (1000,)


def test_the_documents_figures_are_those_computed(memory):
    page = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")

    def told(work):
        return float(re.search(rf"^\| {re.escape(work)}.* \| ([\d.]+) \|$", page, re.MULTILINE)[1])

    with torch.device("meta"):
        assert told("LoRA of rank 4, batch 4") == round(memory.trained(512, 4, checkpointing=False) / 1e9, 1)
        found = [round(x / 1e9, 1) for x in memory.sampled(512, 8)]
    works = ("sampling, batch 8: guided steps", "sampling, batch 8: decoding", "image-to-image, batch 8: encoding")
    assert found == [told(work) for work in works]
