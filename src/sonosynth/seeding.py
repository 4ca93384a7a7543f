"""One independent random stream per purpose, derived from the study's seed by name.

A stream depends on its names alone, never on what was drawn before it. So an image's noise does not change
with the batch size, and a training step draws the same numbers whether or not the run was interrupted.
"""

import hashlib

import numpy as np


def derive(seed: int, *names: str | int) -> int:
    """A seed in [0, 2**32) for the stream called `names` under the study's `seed`."""
    text = "\x1f".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big")


def numpy_generator(seed: int, *names: str | int) -> np.random.Generator:
    """The NumPy generator of the stream called `names`."""
    return np.random.default_rng(derive(seed, *names))
