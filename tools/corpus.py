"""The phantoms seen by random probes, with captions, on which the shipped weights are pretrained."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from threadpoolctl import threadpool_limits

from captions import caption
from sonosynth import seeding
from sonosynth.parallel import cores
from sonosynth.phantom.simulate import KINDS, Phantom, random_probe, simulate

SIZE = 128


def corpus(count: int, seed: int) -> Iterator[tuple[Phantom, str]]:
    """`count` phantoms of 128 x 128 pixels and their captions, kinds in turn.

    The i-th depends on `seed` and i alone.
    """
    with ProcessPoolExecutor(cores(), multiprocessing.get_context("spawn"), _one_thread) as pool:
        yield from pool.map(partial(_captioned, seed), range(count), chunksize=4)


def _one_thread() -> None:
    threadpool_limits(1)


def _captioned(seed: int, i: int) -> tuple[Phantom, str]:
    rng = seeding.numpy_generator(seed, "pretraining", i)
    phantom = simulate(KINDS[i % len(KINDS)], rng, random_probe(rng), SIZE)
    return phantom, caption(phantom, rng)
