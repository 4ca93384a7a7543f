import torch

from sonosynth import seeding


def test_streams_depend_on_their_names_alone():
    assert seeding.derive(0, "a", 1) == seeding.derive(0, "a", 1)
    seeds = {seeding.derive(s, *names) for s in range(3) for names in (("a", 1), ("a", 2), ("b", 1), ("a1",), ("a",))}
    assert len(seeds) == 15
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_generators_repeat_and_differ():
    first, again = (torch.randn(4, generator=torch.Generator().manual_seed(seeding.derive(1, "x"))) for _ in range(2))
    assert torch.equal(first, again)
    draws = [seeding.numpy_generator(1, "x", n).random() for n in range(50)]
    assert len(set(draws)) == 50
