"""A control branch: it starts without effect, learns what masks say, and is kept as plain diffusers reads it."""

import json
from dataclasses import replace

import pytest
import torch
from diffusers import ControlNetModel
from safetensors.torch import load_file

from sonosynth.adapters import control, learning
from sonosynth.adapters.learning import Examples, learn_control, learn_lora
from sonosynth.adapters.settings import Control, Lora
from sonosynth.bases import sd1
from sonosynth.bases.latents import Latents
from sonosynth.errors import UserError

PROMPT = "ultrasound image of a benign breast lesion"
WEIGHTS = "control/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def base(tiny_base):
    return sd1.resolve(str(tiny_base))


@pytest.fixture(scope="module")
def examples():
    """Two latents under one prompt, which only their masks tell apart: one is of an empty mask."""
    mean = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)).repeat(4, 1, 1, 1)
    masks = torch.zeros(2, 32, 32, dtype=torch.bool)
    masks[1, 8:24, 4:20] = True
    return Examples(Latents(mean, torch.zeros_like(mean)), [PROMPT] * 4, masks=masks.repeat(4, 1, 1))


def learned(base, examples, out, *, weights=None, precision="fp32", **settings):
    out.mkdir(exist_ok=True)
    chosen = Control(**{"steps": 4, "batch": 2, "learning_rate": 2e-3} | settings)
    work = {"work": out / "work", "out": out}
    return learn_control(chosen, base, examples, weights=weights, precision=precision, seed=0, **work)


def inputs(count=2):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 4, 8, 8, generator=generator), torch.tensor(400), torch.randn(count, 77, 32)


def test_it_starts_as_the_unets_encoder_and_changes_nothing(base, examples):
    unet = sd1.load_network(base.folder, "unet", torch.float32)
    state = torch.get_rng_state()
    network = control.start(unet, 4, None, 0)
    assert torch.equal(torch.get_rng_state(), state)
    own, known = network.state_dict(), unet.state_dict()
    copied = [name for name in own if name in known]
    assert all(torch.equal(own[name], known[name]) for name in copied)
    assert {name.split(".")[0] for name in copied} == {"conv_in", "time_embedding", "down_blocks", "mid_block"}
    given = inputs()
    with torch.no_grad():
        steered = unet(*given, **control.residuals(network, *given, examples.masks[:2])).sample
        assert torch.equal(steered, unet(*given).sample)


def test_it_learns_what_the_masks_say(base, examples, tmp_path):
    """Of two latents under one prompt, the same noise is predicted better under their own masks than the other's."""
    learned(base, examples, tmp_path / "own", steps=60, batch=4, learning_rate=1e-2, average=0)
    pipeline = sd1.load(base.folder, torch.float32, "cpu")
    network, errors = control.load(tmp_path / "own", torch.float32), []
    embeddings = torch.zeros(4, 77, 32) + learning._embed(pipeline, [PROMPT], tmp_path)[0][0]
    for masks in (examples.masks, examples.masks.roll(1, 0)):
        error = learning._noise_error(pipeline, examples.latents, control=(network, masks))
        with torch.no_grad():
            draws = [error(torch.arange(4), embeddings, torch.Generator().manual_seed(n)) for n in range(16)]
        errors.append(torch.stack(draws))
    assert (errors[0] < errors[1]).sum() >= 14  # 8 if it had learned nothing; at most 13 in 99.8% of cases


def test_masks_are_mirrored_with_their_images(base, examples, tmp_path, monkeypatch):
    """The third of four images and its mirror image have masks of their own, as do all others."""
    masks = torch.zeros(8, 32, 32, dtype=torch.bool)
    for row in range(8):
        masks[row, row] = True
    seen, drawn = [], []
    monkeypatch.setattr(
        control, "residuals",
        lambda network, *given: seen.append(given[-1]) or {},
    )  # fmt: skip
    monkeypatch.setattr(Latents, "drawn", lambda self, rows, _: drawn.append(rows) or self.mean[rows])
    with pytest.raises(RuntimeError, match="does not require grad"):  # as the control has no part in the loss here
        learned(base, replace(examples, masks=masks), tmp_path, steps=1, batch=6)
    assert torch.equal(seen[0], masks[drawn[0]]) and drawn[0].max() > 3 and drawn[0].min() < 4


def test_a_published_controlnet_is_where_it_starts(base, examples, tmp_path):
    unet = sd1.load_network(base.folder, "unet", torch.float32)
    torch.manual_seed(3)
    published = control.start(unet, 4, None, 0)
    for value in published.state_dict().values():
        value.add_(torch.randn(value.shape) * 0.01)
    published.save_pretrained(tmp_path / "published")
    found = control.resolve(str(tmp_path / "published"), base, "adapters.a.control.start")
    own = control.start(unet, 4, found.folder, 0).state_dict()
    assert all(torch.equal(value, own[name]) for name, value in published.state_dict().items())
    learned(base, examples, tmp_path / "a", weights=found.folder, steps=1)
    assert "_name_or_path" not in json.loads((tmp_path / "a" / "control" / "config.json").read_text())

    config = tmp_path / "published" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"cross_attention_dim": 768}))
    with pytest.raises(UserError, match="differs from the base in cross_attention_dim"):
        control.resolve(str(tmp_path / "published"), base, "adapters.a.control.start")
    with pytest.raises(UserError, match=r"adapters\.a\.control\.start: .*empty"):
        (tmp_path / "empty").mkdir()
        control.resolve(str(tmp_path / "empty"), base, "adapters.a.control.start")


def test_the_adapter_stays_as_it_is_and_weights_have_the_studys_precision(base, examples, tmp_path):
    (tmp_path / "a").mkdir()
    learn_lora(
        Lora(rank=2, steps=2, batch=2, learning_rate=0.02), base, examples, precision="bf16", seed=0,
        work=tmp_path / "work", out=tmp_path / "a",
    )  # fmt: skip
    before = load_file(tmp_path / "a" / "pytorch_lora_weights.safetensors")
    losses = learned(base, examples, tmp_path / "a", precision="bf16")
    after = load_file(tmp_path / "a" / "pytorch_lora_weights.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert {value.dtype for value in load_file(tmp_path / "a" / WEIGHTS).values()} == {torch.bfloat16}
    assert losses != learned(base, examples, tmp_path / "without", precision="bf16")  # the LoRA has its part in them
    plain = ControlNetModel.from_pretrained(tmp_path / "a", subfolder="control")
    assert plain.config.conditioning_embedding_out_channels == [16, 32, 96]
