"""What is learned from images: the token's vector, and the gradient of the low-rank update."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sonosynth.adapters import learning, lora, token
from sonosynth.adapters.learning import Examples, learn_lora, learn_token, with_token
from sonosynth.adapters.settings import Lora, Token
from sonosynth.bases import sd1
from sonosynth.bases.latents import Latents, encode_images, encode_prompts, tokenize

TOKEN = "<ultrasound>"
PROMPTS = ["ultrasound image of a benign breast lesion", "ultrasound image of a malignant breast lesion"]


@pytest.fixture(scope="module")
def examples(tiny_base):
    vae = sd1.load(tiny_base, torch.float32, "cpu", without=("unet", "text_encoder")).vae
    images = np.random.default_rng(0).integers(0, 255, (6, 32, 32), np.uint8)
    return Examples(encode_images(vae, images), [PROMPTS[i % 2] for i in range(6)])


def test_only_the_tokens_row_is_learned_and_its_movement_is_reported(tiny_base, examples, tmp_path):
    losses, movement = learn_token(
        Token(steps=5, batch=2, learning_rate=0.05), TOKEN, sd1.resolve(str(tiny_base)), examples, precision="fp32",
        seed=0, work=tmp_path / "work", out=tmp_path,
    )  # fmt: skip
    assert len(losses) == 5
    plain = sd1.load(tiny_base, torch.float32, "cpu")
    start = plain.text_encoder.get_input_embeddings().weight[
        plain.tokenizer("ultrasound", add_special_tokens=False)["input_ids"]
    ].mean(dim=0)  # fmt: skip
    before = plain.text_encoder.get_input_embeddings().weight.clone()
    learned = load_file(tmp_path / "learned_embeds.safetensors")[TOKEN][0]
    assert movement["moved"] == pytest.approx(float((learned - start).norm()), rel=1e-5)
    assert movement["moved"] > 0.01
    assert token.load(plain, tmp_path) == [TOKEN]
    after = plain.text_encoder.get_input_embeddings().weight
    assert torch.equal(after[: len(before)], before)
    assert torch.equal(after[-1], learned)


def test_a_lora_learns_under_the_token_that_lies_beside_it(tiny_base, examples, tmp_path):
    base, settings = sd1.resolve(str(tiny_base)), Lora(rank=4, steps=8, batch=2, learning_rate=0.02)
    learned = {}
    for name in ("without", "with"):
        out = tmp_path / name
        out.mkdir()
        if name == "with":
            new = token.add(sd1.load(tiny_base, torch.float32, "cpu"), TOKEN, "ultrasound")
            new.vector.data += 1
            token.save(new, out)
            with pytest.raises(RuntimeError, match="does not reach the text encoder"):
                learn_lora(settings, base, examples, precision="fp32", seed=0, work=out / "work", out=out)
        text = {"without": None, "with": TOKEN}[name]
        prompted = Examples(examples.latents, [with_token(prompt, text) for prompt in examples.prompts])
        losses = learn_lora(settings, base, prompted, precision="fp32", seed=0, work=out / "work", out=out)
        assert len(losses) == 8
        learned[name] = (losses, load_file(out / lora.FILE))
    (plain, weights), (other, others) = learned["without"], learned["with"]
    # Both begin with the same weights, images, noises and times: the token alone tells them apart.
    assert weights.keys() == others.keys()
    assert plain != other
    assert plain[0] == pytest.approx(other[0], rel=0.2)
    assert any(value.abs().max() > 0.01 for name, value in weights.items() if "lora_B" in name)


@pytest.mark.parametrize("side", [8, 40])
def test_bfloat16_has_float32s_gradient_and_never_holds_all_pairs_of_many_positions(tiny_base, side):
    draws = torch.Generator().manual_seed(0)
    mean, embeddings = torch.randn(4, 4, side, side, generator=draws), torch.randn(2, 77, 32, generator=draws)

    def gradient_and_largest_tensor(dtype):
        pipeline = sd1.load(tiny_base, dtype, "cpu", without=("vae", "text_encoder"))
        error = learning._noise_error(pipeline, Latents(mean, torch.zeros_like(mean)))
        parameters, sizes = lora.attach(pipeline, 4, "attention", 0), []
        kept = torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.numel()) or x, lambda x: x)
        with kept, torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            error(torch.tensor([0, 1]), embeddings, torch.Generator().manual_seed(1)).backward()
        return torch.cat([p.grad.flatten() for p in parameters]), max(sizes)

    exact, _ = gradient_and_largest_tensor(torch.float32)
    rounded, largest = gradient_and_largest_tensor(torch.bfloat16)
    assert torch.cosine_similarity(rounded, exact, dim=0) > 0.99
    assert float(rounded.norm()) == pytest.approx(float(exact.norm()), rel=0.02)
    assert side == 8 or largest < side**4


def test_dropped_prompts_teach_the_empty_one(tiny_base, examples, tmp_path, monkeypatch):
    asked = []

    class Error(learning._noise_error):
        def __call__(self, indices, embeddings, generator, **given):
            asked.extend(embeddings)
            return super().__call__(indices, embeddings, generator, **given)

    monkeypatch.setattr(learning, "_noise_error", Error)
    pipeline = sd1.load(tiny_base, torch.float32, "cpu")
    with torch.no_grad():
        empty = encode_prompts(pipeline.text_encoder, tokenize(pipeline.tokenizer, [""]))[0]

    def share(drop):
        asked.clear()
        out = tmp_path / str(drop)
        out.mkdir()
        settings = Lora(rank=2, steps=20, batch=8, layers="attention", drop_prompt=drop)
        learn_lora(settings, sd1.resolve(str(tiny_base)), examples, precision="fp32", seed=0, work=out, out=out)
        return sum(torch.allclose(x, empty) for x in asked) / len(asked)

    assert share(0.0) == 0
    assert share(0.25) == pytest.approx(0.25, abs=3 * (0.25 * 0.75 / 160) ** 0.5)


def test_a_balanced_adapter_sees_every_prompt_equally_often(tiny_base, examples, tmp_path, monkeypatch):
    seen = []

    class Error(learning._noise_error):
        def __call__(self, indices, embeddings, generator, **given):
            seen.extend(indices.tolist())
            return super().__call__(indices, embeddings, generator, **given)

    monkeypatch.setattr(learning, "_noise_error", Error)
    uneven = Examples(examples.latents, [PROMPTS[0]] * 5 + [PROMPTS[1]], balanced=True)
    common = {"precision": "fp32", "seed": 0, "work": tmp_path, "out": tmp_path}
    base = sd1.resolve(str(tiny_base))
    learn_token(Token(steps=5, batch=2), TOKEN, base, uneven, **common)
    prompted = replace(uneven, prompts=[with_token(prompt, TOKEN) for prompt in uneven.prompts])
    learn_lora(Lora(rank=2, steps=5, batch=2), base, prompted, **common)
    assert [Counter(part)[5] for part in (seen[:10], seen[10:])] == [5, 5]
