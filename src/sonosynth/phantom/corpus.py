"""Many phantoms on all cores; those of random probes, with captions, are what ships pretrained."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TypeVar

from threadpoolctl import threadpool_limits

from sonosynth import seeding
from sonosynth.phantom.prompts import caption
from sonosynth.phantom.simulate import KINDS, Phantom, random_probe, simulate

SIZE = 128
Item = TypeVar("Item")
Made = TypeVar("Made")


def in_parallel(make: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
    """`make` of every item, in their order, by one process a core."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(mp_context=context, initializer=_single_thread) as pool:
        yield from pool.map(make, items, chunksize=32)


def corpus(count: int, seed: int) -> Iterator[tuple[Phantom, str]]:
    """`count` phantoms of 128 x 128 pixels and their captions, kinds in turn.

    The i-th depends on `seed` and i alone.
    """
    return in_parallel(partial(_captioned, seed), range(count))


def _single_thread() -> None:
    """The workers fill the cores: threads of the linear algebra would only wait for each other."""
    threadpool_limits(1)


def _captioned(seed: int, i: int) -> tuple[Phantom, str]:
    rng = seeding.numpy_generator(seed, "pretraining", i)
    phantom = simulate(KINDS[i % len(KINDS)], rng, random_probe(rng), SIZE)
    return phantom, caption(phantom, rng)
