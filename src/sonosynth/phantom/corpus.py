"""Many phantoms of random probes, with captions: what the embedded base and feature network are pretrained on."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from threadpoolctl import threadpool_limits

from sonosynth import seeding
from sonosynth.phantom.prompts import caption
from sonosynth.phantom.simulate import KINDS, Phantom, random_probe, simulate

SIZE = 128


def corpus(count: int, seed: int) -> Iterator[tuple[Phantom, str]]:
    """`count` phantoms of 128 x 128 pixels and their captions, kinds in turn.

    The i-th depends on `seed` and i alone.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(mp_context=context, initializer=_single_thread) as pool:
        yield from pool.map(partial(_captioned, seed), range(count), chunksize=32)


def _single_thread() -> None:
    """The workers fill the cores: threads of the linear algebra would only wait for each other."""
    threadpool_limits(1)


def _captioned(seed: int, i: int) -> tuple[Phantom, str]:
    rng = seeding.numpy_generator(seed, "pretraining", i)
    phantom = simulate(KINDS[i % len(KINDS)], rng, random_probe(rng), SIZE)
    return phantom, caption(phantom, rng)
