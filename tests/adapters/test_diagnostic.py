"""Diagnostic encoders, and the term that they add to the loss of a LoRA."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from diffusers import DDPMScheduler
from torch.nn import functional as F

from sonosynth.adapters import diagnostic, learning, lora
from sonosynth.adapters.diagnostic import Encoders, cross_fit, low_noise, predicted_clean
from sonosynth.adapters.learning import Examples, learn_lora
from sonosynth.adapters.settings import Lora
from sonosynth.bases import sd1
from sonosynth.bases.latents import Latents

SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
N = 24
SHORT = replace(diagnostic.SCHEDULE, steps=40, batch=8)
PROMPTS = ["ultrasound image of a benign breast lesion", "ultrasound image of a malignant breast lesion"]


def two_classes(seed=0, apart=1.0):
    """Latents of N images and their mirror images: noise, shifted by the class, which is also returned, (N,)."""
    labels = torch.arange(N) % 2
    mean = torch.randn(2 * N, 4, 8, 8, generator=torch.Generator().manual_seed(seed))
    mean[:, 0] += (apart * (2.0 * labels - 1)).repeat(2)[:, None, None]
    return Latents(mean, torch.zeros_like(mean)), labels


@pytest.fixture(scope="module")
def separable(tmp_path_factory):
    """Latents of two classes, and their encoders, which nearly always tell them apart."""
    latents, labels = two_classes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diagnostic, "SCHEDULE", SHORT)
        folds = torch.arange(N) // 2 % 3
        return latents, cross_fit(latents, labels, folds, seed=0, work=tmp_path_factory.mktemp("encoders"))


@pytest.mark.parametrize(("kind", "terminal"), [("epsilon", False), ("v_prediction", False), ("v_prediction", True)])
def test_the_predicted_clean_latent_is_the_one_that_diffusers_predicts(kind, terminal):
    scheduler = DDPMScheduler(
        **SCHEDULE,
        prediction_type=kind,
        rescale_betas_zero_snr=terminal,
        clip_sample=False,
        timestep_spacing="trailing",
    )
    scheduler.set_timesteps(1000)
    noisy, predicted = torch.randn(2, 5, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    times = torch.tensor([0, 50, 300, 600, 999])
    found = predicted_clean(scheduler, noisy, predicted, times)
    for i, time in enumerate(times):
        expected = scheduler.step(predicted[i : i + 1], time, noisy[i : i + 1]).pred_original_sample
        assert torch.allclose(found[i : i + 1], expected, rtol=1e-4, atol=1e-5)


def test_a_low_noise_level_has_at_least_as_much_signal_as_noise():
    scheduler = DDPMScheduler(**SCHEDULE)
    times = torch.arange(1000)
    alpha = scheduler.alphas_cumprod
    assert torch.equal(low_noise(scheduler, times), alpha / (1 - alpha) >= 1)
    assert 0 < low_noise(scheduler, times).float().mean() < 0.5


def test_encoders_tell_classes_on_latents_that_they_have_not_seen_and_nothing_where_there_is_nothing(
    separable, tmp_path, monkeypatch
):
    latents, encoders = separable
    every = torch.arange(N)

    def accuracy(encoders, latents):
        return float((encoders.logits(latents.mean[:N], every).argmax(dim=1) == encoders.labels).float().mean())

    assert accuracy(encoders, latents) > 0.9
    monkeypatch.setattr(diagnostic, "SCHEDULE", SHORT)
    nothing, labels = two_classes(apart=0.0)
    unable = cross_fit(nothing, labels, encoders.folds, seed=0, work=tmp_path)
    assert accuracy(unable, nothing) == pytest.approx(0.5, abs=3 * (0.25 / N) ** 0.5)


def test_no_encoder_learns_from_the_images_that_it_judges(separable, tmp_path, monkeypatch):
    latents, encoders = separable
    drawn = []

    def train(name, parameters, loss_of, strata, schedule, **_):
        drawn.append(set(torch.cat(strata).tolist()))
        with torch.no_grad():
            parameters[-1].copy_(torch.tensor([float(len(drawn)), 0.0]))  # the bias: who judges

    monkeypatch.setattr(diagnostic, "train", train)
    found = cross_fit(latents, encoders.labels, encoders.folds, seed=0, work=tmp_path)
    for network in found.networks:
        network[-1].weight.zero_()
    judge = found.logits(latents.mean[:N], torch.arange(N))[:, 0].long() - 1
    assert len(drawn) == 3 and all(image not in drawn[judge[image]] for image in range(N))
    assert all(len(seen) == 16 for seen in drawn)


def test_encoders_are_the_same_for_a_seed_and_after_reading(separable, tmp_path, monkeypatch):
    latents, encoders = separable
    monkeypatch.setattr(diagnostic, "SCHEDULE", SHORT)
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
    again, other = (
        cross_fit(latents, encoders.labels, encoders.folds, seed=seed, work=tmp_path / str(seed)) for seed in (0, 1)
    )
    encoders.save(tmp_path / "saved")
    read = Encoders.load(tmp_path / "saved")
    logits = [x.logits(latents.mean[:N], torch.arange(N)) for x in (encoders, again, read, other)]
    assert torch.equal(logits[0], logits[1]) and torch.equal(logits[0], logits[2])
    assert not torch.equal(logits[0], logits[3])
    assert not any(p.requires_grad for network in read.networks for p in network.parameters())


class Perfect(torch.nn.Module):
    """A U-Net that knows the noise, and counts it as its own parameter's doing."""

    def __init__(self, clean):
        super().__init__()
        self.clean, self.scale = clean, torch.nn.Parameter(torch.ones(()))
        self.alpha = DDPMScheduler(**SCHEDULE).alphas_cumprod
        self.device, self.dtype = torch.device("cpu"), torch.float32

    def forward(self, noisy, times, _):
        alpha = self.alpha[times][:, None, None, None]
        return SimpleNamespace(sample=self.scale * (noisy - alpha.sqrt() * self.clean) / (1 - alpha).sqrt())


def test_a_perfect_prediction_costs_the_encoders_own_error_on_the_clean_latent(separable, monkeypatch):
    latents, encoders = separable
    upright = Latents(latents.mean[:N].repeat(2, 1, 1, 1), latents.deviation)  # mirror images alike, so all is known
    indices = torch.arange(N)
    unet, scheduler = Perfect(upright.mean[:N]), DDPMScheduler(**SCHEDULE)
    pipeline = SimpleNamespace(unet=unet, scheduler=scheduler)
    times = []
    drawn = torch.randint
    monkeypatch.setattr(torch, "randint", lambda *given, **named: times.append(drawn(*given, **named)) or times[-1])
    error = learning._noise_error(pipeline, upright, encoders, 0.3)
    prompted = torch.arange(N) % 3 > 0
    found = error(indices, torch.zeros(N, 1, 1), torch.Generator().manual_seed(0), prompted=prompted)
    folds = [encoders.networks[fold](x[None]) for fold, x in zip(encoders.folds, upright.mean[:N], strict=True)]
    judged = (scheduler.alphas_cumprod[times[0]] >= 0.5) & prompted
    own = F.cross_entropy(torch.cat(folds), encoders.labels, reduction="none")
    assert 0 < judged.sum() < prompted.sum()
    assert found.item() == pytest.approx(0.3 * own[judged].sum().item() / N, rel=1e-3)
    found.backward()
    assert unet.scale.grad is not None and unet.scale.grad.abs() > 0
    assert all(p.grad is None for network in encoders.networks for p in network.parameters())


def test_a_batch_without_low_noise_or_prompts_has_no_term(separable):
    latents, encoders = separable
    upright = Latents(latents.mean[:N].repeat(2, 1, 1, 1), latents.deviation)
    pipeline = SimpleNamespace(unet=Perfect(upright.mean[:2]), scheduler=DDPMScheduler(**SCHEDULE))
    error = learning._noise_error(pipeline, upright, encoders, 0.3)
    given = (torch.arange(2), torch.zeros(2, 1, 1), torch.Generator().manual_seed(0))
    assert error(*given, prompted=torch.zeros(2, dtype=torch.bool)).item() == pytest.approx(0, abs=1e-9)


def test_a_weight_of_zero_changes_no_bit_and_another_one_does(separable, tiny_base, tmp_path):
    latents, encoders = separable
    examples = Examples(latents, [PROMPTS[label] for label in encoders.labels])

    def learned(name, weight, encoders):
        out = tmp_path / name
        out.mkdir()
        settings = Lora(rank=2, steps=4, batch=8, layers="attention", drop_prompt=0.2, diagnostic=weight)
        losses = learn_lora(
            settings, sd1.resolve(str(tiny_base)), examples, precision="fp32", seed=0, work=out, out=out,
            encoders=encoders,
        )  # fmt: skip
        return losses, (out / lora.FILE).read_bytes()

    plain = learned("plain", 0.0, None)
    assert learned("zero", 0.0, encoders) == plain
    other = learned("other", 0.5, encoders)
    assert other[1] != plain[1] and sum(other[0]) > sum(plain[0])


def test_the_term_makes_predicted_latents_show_more_of_their_class(tiny_base, tmp_path, monkeypatch):
    monkeypatch.setattr(diagnostic, "SCHEDULE", SHORT)
    latents, labels = two_classes(apart=0.25)
    encoders = cross_fit(latents, labels, torch.arange(N) // 2 % 3, seed=0, work=tmp_path)
    examples = Examples(latents, [PROMPTS[label] for label in labels])
    base, every = sd1.resolve(str(tiny_base)), torch.arange(N)

    def result_after(weight):
        out = tmp_path / str(weight)
        out.mkdir()
        settings = Lora(rank=4, steps=40, batch=8, learning_rate=1e-2, diagnostic=weight)
        learn_lora(settings, base, examples, precision="fp32", seed=0, work=out, out=out, encoders=encoders)
        embeddings, rows = learning._embed(sd1.load(tiny_base, torch.float32, "cpu"), examples.prompts, out)
        pipeline = sd1.load(tiny_base, torch.float32, "cpu")
        lora.load(pipeline, out)
        scheduler = DDPMScheduler.from_config(pipeline.scheduler.config)
        draws, errors = torch.Generator().manual_seed(9), []
        with torch.no_grad():
            for time in (50, 150, 250, 300):
                noise, times = torch.randn(N, 4, 8, 8, generator=draws), torch.full((N,), time)
                noisy = scheduler.add_noise(latents.mean[:N], noise, times)
                predicted = pipeline.unet(noisy, times, embeddings[rows]).sample
                clean = predicted_clean(scheduler, noisy, predicted, times)
                errors.append(encoders.errors(clean, every))
        return torch.stack(errors).mean(dim=0)

    less = result_after(0.0) - result_after(3.0)  # of each image, under the same noise
    assert less.mean() > 2 * less.std() / N**0.5
