import pytest
import torch
from torch.optim import AdamW

from sonosynth.diffusion.training import Schedule, make_accelerator, train
from sonosynth.errors import UserError

TARGET = torch.linspace(-1, 1, 40)


def problem():
    weight = torch.nn.Parameter(torch.zeros(1))
    seen = []

    def loss_of(indices, generator):
        seen.append(indices.tolist())
        noise = torch.randn(len(indices), generator=generator) * 0.1
        return (weight - TARGET[indices] - noise).square().mean()

    return weight, loss_of, seen


def run(weight, loss_of, schedule, path, seed=1):
    return train(
        "test", [weight], loss_of, 40, schedule, accelerator=make_accelerator("fp32", schedule.accumulation), seed=seed,
        checkpoint=path,
    )  # fmt: skip


def test_every_sample_is_seen_once_an_epoch(tmp_path):
    weight, loss_of, seen = problem()
    run(weight, loss_of, Schedule(10, 8, 0.1), tmp_path / "c.safetensors")
    first, second = ([i for batch in part for i in batch] for part in (seen[:5], seen[5:]))
    assert sorted(first) == sorted(second) == list(range(40))
    assert first != second


def test_a_stopped_training_ends_as_an_uninterrupted_one(tmp_path):
    schedule = Schedule(60, 4, 0.05, accumulation=2, warmup=5, decay=True, checkpoint_every=25)
    whole, loss_of, _ = problem()
    losses = run(whole, loss_of, schedule, tmp_path / "whole.safetensors")

    stopped, loss_of, seen = problem()

    def dies(indices, generator):
        if len(seen) == 2 * 40:
            raise KeyboardInterrupt
        return loss_of(indices, generator)

    with pytest.raises(KeyboardInterrupt):
        run(stopped, dies, schedule, tmp_path / "c.safetensors")
    resumed, loss_of, seen = problem()
    again = run(resumed, loss_of, schedule, tmp_path / "c.safetensors")
    assert len(seen) == 2 * 35  # from the checkpoint at step 25
    assert again == losses
    assert torch.equal(resumed, whole)


def test_accumulation_equals_a_larger_batch_in_plain_torch(tmp_path):
    weight, _, _ = problem()
    order = []

    def loss_of(indices, generator):
        order.append(indices)
        return (weight - TARGET[indices]).square().mean()

    run(weight, loss_of, Schedule(5, 2, 0.1, accumulation=3), tmp_path / "c.safetensors")
    plain = torch.nn.Parameter(torch.zeros(1))
    optimizer = AdamW([plain], lr=0.1, weight_decay=1e-2)
    for step in range(5):
        indices = torch.cat(order[3 * step : 3 * step + 3])
        optimizer.zero_grad()
        (plain - TARGET[indices]).square().mean().backward()
        torch.nn.utils.clip_grad_norm_([plain], 1.0)
        optimizer.step()
    assert torch.allclose(weight, plain, atol=1e-6)


def test_nan_stops_with_the_step_and_keeps_the_checkpoint(tmp_path):
    weight, loss_of, seen = problem()

    def breaks(indices, generator):
        loss = loss_of(indices, generator)
        return loss * float("nan") if len(seen) == 31 else loss

    with pytest.raises(UserError, match="the loss is nan at step 31"):
        run(weight, breaks, Schedule(60, 4, 0.05, checkpoint_every=25), tmp_path / "c.safetensors")
    weight, loss_of, _ = problem()
    assert len(run(weight, loss_of, Schedule(60, 4, 0.05, checkpoint_every=25), tmp_path / "c.safetensors")) == 60
