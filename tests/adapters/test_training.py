import math
import os
import signal

import pytest
import safetensors.torch
import torch
from diffusers.training_utils import EMAModel
from torch.optim import AdamW

from sonosynth.adapters.training import Schedule, make_accelerator, train
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
        "test", [weight], loss_of, [torch.arange(40)], schedule, seed=seed, checkpoint=path,
        accelerator=make_accelerator("fp32", schedule.accumulation),
    )  # fmt: skip


def test_every_sample_is_seen_once_an_epoch(tmp_path):
    weight, loss_of, seen = problem()
    run(weight, loss_of, Schedule(10, 8, 0.1), tmp_path / "c.safetensors")
    first, second = ([i for batch in part for i in batch] for part in (seen[:5], seen[5:]))
    assert sorted(first) == sorted(second) == list(range(40))
    assert first != second


def test_every_step_draws_anew_and_a_seed_draws_the_same(tmp_path):
    def draws(seed):
        weight, found = torch.nn.Parameter(torch.zeros(1)), []

        def loss_of(indices, generator):
            found.append(float(torch.rand(1, generator=generator)))
            return weight.square().mean()

        run(
            weight, loss_of, Schedule(6, 4, 0.1), tmp_path / f"{seed}-{len(list(tmp_path.iterdir()))}.safetensors", seed
        )
        return found

    assert len(set(draws(1))) == 6
    assert draws(1) == draws(1) != draws(2)


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_a_stopped_training_ends_as_an_uninterrupted_one(tmp_path, average):
    schedule = Schedule(60, 4, 0.05, accumulation=2, warmup=5, decay=True, average=average, checkpoint_every=25)
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


def test_the_parameters_end_as_the_running_average_that_diffusers_computes(tmp_path):
    after = []

    def trained(steps, average):
        weight, loss_of, _ = problem()
        run(weight, loss_of, Schedule(steps, 4, 0.05, average=average), tmp_path / f"{steps}-{average}.safetensors")
        return weight.detach()

    theirs = EMAModel([torch.nn.Parameter(torch.zeros(1))], decay=0.7)
    for steps in range(1, 31):
        after.append(trained(steps, 0.0))
        theirs.step([torch.nn.Parameter(after[-1].clone())])
    assert torch.allclose(trained(30, 0.7), theirs.shadow_params[0], atol=1e-6)
    assert not torch.allclose(after[-1], theirs.shadow_params[0], atol=1e-3)


def test_a_finished_training_that_is_called_again_ends_as_its_average(tmp_path):
    schedule = Schedule(20, 4, 0.05, average=0.9)
    first, loss_of, _ = problem()
    run(first, loss_of, schedule, tmp_path / "c.safetensors")
    second, loss_of, seen = problem()
    run(second, loss_of, schedule, tmp_path / "c.safetensors")
    assert not seen
    assert torch.equal(first, second)


@pytest.mark.parametrize("decay", [False, True])
def test_the_learning_rate_is_constant_or_half_a_cosine(decay):
    schedule = Schedule(100, 4, 0.05, decay=decay)
    wanted = [0.5 * (1 + math.cos(math.pi * step / 100)) if decay else 1.0 for step in range(100)]
    assert [schedule.rate(step) for step in range(100)] == pytest.approx(wanted, abs=1e-6)


def test_nan_stops_with_the_step_and_keeps_the_checkpoint(tmp_path):
    weight, loss_of, seen = problem()

    def breaks(indices, generator):
        loss = loss_of(indices, generator)
        return loss * float("nan") if len(seen) == 31 else loss

    with pytest.raises(UserError, match="the loss is nan at step 31"):
        run(weight, breaks, Schedule(60, 4, 0.05, checkpoint_every=25), tmp_path / "c.safetensors")
    weight, loss_of, _ = problem()
    assert len(run(weight, loss_of, Schedule(60, 4, 0.05, checkpoint_every=25), tmp_path / "c.safetensors")) == 60


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_and_saves_it(tmp_path, number):
    schedule = Schedule(60, 4, 0.05, warmup=5, decay=True, checkpoint_every=25)
    whole, loss_of, _ = problem()
    losses = run(whole, loss_of, schedule, tmp_path / "whole.safetensors")
    before = signal.getsignal(number)
    for stops in (7, 31):  # twice
        weight, loss_of, seen = problem()

        def interrupted(indices, generator, seen=seen, loss_of=loss_of, stops=stops):
            if len(seen) == stops:
                os.kill(os.getpid(), number)
            return loss_of(indices, generator)

        with pytest.raises(KeyboardInterrupt):
            run(weight, interrupted, schedule, tmp_path / "c.safetensors")
        assert len(seen) == stops + 1
        assert signal.getsignal(number) == before
    resumed, loss_of, seen = problem()
    assert run(resumed, loss_of, schedule, tmp_path / "c.safetensors") == losses
    assert len(seen) == 60 - 8 - 32
    assert torch.equal(resumed, whole)


def altered(path):
    """One bit of a number in the file is another one."""
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


def torn(path):
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("harm", "named"),
    [(altered, True), (torn, True), (lambda path: path.write_bytes(b""), True), (lambda path: path.unlink(), False)],
    ids=["altered", "torn", "empty", "gone"],
)
def test_a_broken_checkpoint_is_named_and_the_one_before_is_used(tmp_path, harm, named, capsys):
    schedule, path = Schedule(60, 4, 0.05, checkpoint_every=10), tmp_path / "c.safetensors"
    whole, loss_of, _ = problem()
    losses = run(whole, loss_of, schedule, path)
    harm(path)
    resumed, loss_of, seen = problem()
    assert run(resumed, loss_of, schedule, path) == losses
    assert len(seen) == 10  # from step 50
    assert torch.equal(resumed, whole)
    assert ("is incomplete or was altered" in capsys.readouterr().err) == named
    assert all(safetensors.torch.load_file(file) for file in tmp_path.glob("*.safetensors"))  # no broken one stays


def test_without_a_whole_checkpoint_nothing_starts_anew_silently(tmp_path):
    schedule, path = Schedule(60, 4, 0.05, checkpoint_every=10), tmp_path / "c.safetensors"
    weight, loss_of, _ = problem()
    run(weight, loss_of, schedule, path)
    for file in tmp_path.glob("*.safetensors"):
        altered(file)
    weight, loss_of, seen = problem()
    with pytest.raises(UserError, match="no checkpoint of this training is intact"):
        run(weight, loss_of, schedule, path)
    assert not seen
