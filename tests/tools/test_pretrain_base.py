from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch


@pytest.fixture
def base(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "tools")
    return import_module("pretrain_base")


def test_texture_loss_misses_the_roughness_that_blur_took_away(base):
    # White noise of deviation s: grey differences have the root mean square s sqrt(2) at every lag; flat ones none.
    noise = 0.2 * torch.randn(8, 1, 64, 64, generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1)
    flat = torch.zeros_like(noise)
    assert base.texture_loss(flat, noise, base.ALL_LAGS).item() == pytest.approx(0.2 * np.sqrt(2) - 0.01, rel=0.03)
    assert base.texture_loss(noise, noise, base.ALL_LAGS).item() == 0


def test_texture_loss_asks_for_as_much_speckle_not_for_the_same(base):
    other = [torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    assert base.texture_loss(*other, base.ALL_LAGS) < 0.15 * base.texture_loss(
        torch.zeros_like(other[0]), other[0], base.ALL_LAGS
    )


def test_texture_loss_sees_a_pattern_along_either_diagonal(base):
    # cos(2 pi (y + x) / 4) turns into its negative two pixels down, but does not change along (1, -1).
    place = torch.arange(64)
    for sign, blind in ((1, (1, -1)), (-1, (1, 1))):
        weave = torch.cos(torch.pi / 2 * (place[:, None] + sign * place[None, :])).expand(1, 3, -1, -1)
        flat = torch.zeros_like(weave)
        assert base.texture_loss(weave, flat, (blind,)).item() == pytest.approx(0, abs=1e-3)
        assert base.texture_loss(weave, flat, ((2, 0),)).item() == pytest.approx(np.sqrt(2), rel=0.02)
