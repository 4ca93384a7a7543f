"""The phantoms of random probes, with captions, on which the weights that ship are pretrained."""

from collections.abc import Iterator
from functools import partial

from sonosynth import seeding
from sonosynth.parallel import in_parallel
from sonosynth.phantom.prompts import caption
from sonosynth.phantom.simulate import KINDS, Phantom, random_probe, simulate

SIZE = 128


def corpus(count: int, seed: int) -> Iterator[tuple[Phantom, str]]:
    """`count` phantoms of 128 x 128 pixels and their captions, kinds in turn.

    The i-th depends on `seed` and i alone.
    """
    return in_parallel(partial(_captioned, seed), range(count))


def _captioned(seed: int, i: int) -> tuple[Phantom, str]:
    rng = seeding.numpy_generator(seed, "pretraining", i)
    phantom = simulate(KINDS[i % len(KINDS)], rng, random_probe(rng), SIZE)
    return phantom, caption(phantom, rng)
