"""A U-Net trained as a whole: from which weights, to which ones, and in a form that plain diffusers loads."""

import json
from collections import Counter

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file

from sonosynth.adapters import learning, training, unet
from sonosynth.adapters.learning import Examples, learn_unet
from sonosynth.adapters.settings import Unet
from sonosynth.bases import sd1
from sonosynth.bases.latents import Latents
from sonosynth.errors import UserError

PROMPTS = ["ultrasound image of a benign breast lesion", "ultrasound image of a malignant breast lesion"]
WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def base(tiny_base):
    return sd1.resolve(str(tiny_base))


@pytest.fixture(scope="module")
def examples():
    """One latent for each of two prompts."""
    mean = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)).repeat(6, 1, 1, 1)
    return Examples(Latents(mean, torch.zeros_like(mean)), PROMPTS * 3)


def learned(base, examples, out, *, precision="fp32", seed=0, **settings):
    out.mkdir(exist_ok=True)
    chosen = Unet(**{"steps": 6, "batch": 2, "learning_rate": 2e-3} | settings)
    losses = learn_unet(chosen, base, examples, precision=precision, seed=seed, work=out / "work", out=out)
    return losses, load_file(out / unet.FOLDER / WEIGHTS)


def equal(some, others):
    return some.keys() == others.keys() and all(torch.equal(some[name], others[name]) for name in some)


def test_random_weights_are_drawn_by_the_seed_alone_for_the_bases_architecture(base):
    state = torch.get_rng_state()
    first, again, other = (unet.start(base.folder, "random", seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert equal(first, again)
    own = sd1.load_network(base.folder, "unet", torch.float32).state_dict()
    for weights in (other, own):
        assert weights.keys() == first.keys() and not equal(weights, first)
        assert not torch.equal(weights["conv_in.weight"], first["conv_in.weight"])
    assert equal(unet.start(base.folder, "base", 0).state_dict(), own)


def test_a_folder_without_a_unet_has_none_and_one_without_its_weights_is_refused(base, tmp_path):
    assert unet.load(tmp_path, torch.float32) is None
    unet.save(unet.start(base.folder, "random", 0), torch.float32, tmp_path)
    assert "_name_or_path" not in json.loads((tmp_path / "unet" / "config.json").read_text())
    loaded = unet.load(tmp_path, torch.bfloat16)
    assert loaded.dtype == torch.bfloat16
    (tmp_path / "unet" / WEIGHTS).unlink()
    with pytest.raises(UserError, match="unet"):
        unet.load(tmp_path, torch.float32)


def test_a_training_is_repeated_bit_for_bit_and_changes_every_part(base, examples, tmp_path):
    losses, weights = learned(base, examples, tmp_path / "first")
    again, same = learned(base, examples, tmp_path / "again")
    other, _ = learned(base, examples, tmp_path / "other", seed=1)
    assert losses == again != other
    assert equal(weights, same)
    before = unet.start(base.folder, "random", 0).state_dict()
    assert all(not torch.equal(value, before[name]) for name, value in weights.items() if value.ndim > 1)


def test_a_stopped_training_ends_as_an_uninterrupted_one(base, examples, tmp_path, monkeypatch):
    whole, weights = learned(base, examples, tmp_path / "whole")

    class Dies(learning._noise_error):
        calls = 0

        def __call__(self, *given, **named):
            Dies.calls += 1
            if Dies.calls == 5:
                raise KeyboardInterrupt
            return super().__call__(*given, **named)

    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0)  # a checkpoint after every step
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(learning, "_noise_error", Dies)
        learned(base, examples, tmp_path / "stopped")
    assert not (tmp_path / "stopped" / "unet").exists()
    losses, resumed = learned(base, examples, tmp_path / "stopped")
    assert losses == whole
    assert equal(resumed, weights)


def test_weights_are_trained_in_float32_and_kept_at_the_studys_precision(base, examples, tmp_path):
    exact, _ = learned(base, examples, tmp_path / "fp32")
    rounded, weights = learned(base, examples, tmp_path / "bf16", precision="bf16")
    assert rounded != exact
    assert rounded == pytest.approx(exact, rel=0.05)
    assert {value.dtype for value in weights.values()} == {torch.bfloat16}
    trained = load_file(tmp_path / "bf16" / "work" / "unet.safetensors")
    assert {value.dtype for name, value in trained.items() if name != "losses"} == {torch.float32}
    plain = UNet2DConditionModel.from_pretrained(tmp_path / "bf16", subfolder="unet", torch_dtype=torch.bfloat16)
    assert equal(plain.state_dict(), weights)


def test_random_weights_learn_a_set_of_two_latents(base, examples, tmp_path):
    """Of known latents the noise is known, too: the loss falls from its variance, 1, towards 0."""
    losses, _ = learned(base, examples, tmp_path / "long", steps=60, batch=8, learning_rate=5e-3)
    assert losses[0] == pytest.approx(1, abs=0.4)
    assert sum(losses[-20:]) / 20 < 0.5


def test_classes_are_drawn_equally_often_and_prompts_dropped(base, examples, tmp_path, monkeypatch):
    seen, asked = [], []

    class Error(learning._noise_error):
        def __call__(self, indices, embeddings, generator, **given):
            seen.extend(indices.tolist())
            asked.extend(embeddings)
            return super().__call__(indices, embeddings, generator, **given)

    monkeypatch.setattr(learning, "_noise_error", Error)
    uneven = Examples(examples.latents, [PROMPTS[0]] * 5 + [PROMPTS[1]], balanced=True)
    learned(base, uneven, tmp_path / "a", steps=40, batch=4, drop_prompt=0.25)
    assert Counter(seen)[5] == 80
    kinds = Counter(tuple(embedding.flatten().tolist()) for embedding in asked)
    assert len(kinds) == 3
    assert min(kinds.values()) / 160 == pytest.approx(0.25, abs=3 * (0.25 * 0.75 / 160) ** 0.5)
