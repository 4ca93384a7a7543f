"""A synthetic set against real images: every measure with its interval, and with its floor at the same count."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import stats

from sonosynth.evidence.tests import LEVEL

HALVES = 50
DRAWS = 20
LARGEST, SMALLEST = 1000, 25
"""Images in a random part: at most, so that cost does not grow with the square of their number; and, if possible, at
least."""

Described = Mapping[str, np.ndarray]
"""What is known of N images: name to values (N, ...)."""

Measure = Callable[[Described, Described], dict[str, float]]
"""From real and other images to the value of each metric."""


def compare(
    measure: Measure, real: Described, other: Described, held_out: Described, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """One row for each metric of `measure`: value, low, high, matched, floor, n_real, n_synthetic, n_matched.

    The 95% interval is value ± 1.96 SD over random halves of both sides (the delete-d jackknife, Shao and Wu,
    Ann. Statist. 17:1176, 1989): a bootstrap would repeat images, and find them less diverse. For large sets
    the parts are smaller than halves, and the deviation is scaled accordingly. `matched` is the mean over random parts
    of the set of n_matched images, as many as both it and the held-out real images have, `LARGEST` at most; `floor` is
    the value of as many held-out real images; both against the same real images, `LARGEST` at most. Only these may be
    compared: most metrics depend on the counts.

    Args:
        real: the reference. other: the set. held_out: real images that are in neither.
    """
    n_real, n, n_held_out = (_count(x) for x in (real, other, held_out))
    value = measure(real, other)
    share = min(1 / 2, max(LARGEST / max(n_real, n, 1), SMALLEST / max(min(n_real, n), 1)))
    parts = [
        measure(_part(real, int(n_real * share), rng), _part(other, int(n * share), rng))
        for _ in range(HALVES if n >= 4 else 0)
    ]
    matched = min(n, n_held_out, LARGEST)
    some = _part(real, LARGEST, rng) if n_real > LARGEST else real
    same_count = _mean([measure(some, _part(other, matched, rng)) for _ in range(DRAWS if matched < n else 1)], value)
    floor = _mean(
        [measure(some, _part(held_out, matched, rng)) for _ in range(DRAWS if matched < n_held_out else 1)], value
    )
    reach = stats.norm.ppf((1 + LEVEL) / 2) * np.sqrt(share / (1 - share))
    rows = []
    for name, found in value.items():
        spread = reach * float(np.std([part[name] for part in parts])) if parts else np.nan
        rows.append(
            {
                "metric": name, "value": found, "low": found - spread, "high": found + spread,
                "matched": same_count[name], "floor": floor[name],
                "n_real": n_real, "n_synthetic": n, "n_matched": matched,
            }
        )  # fmt: skip
    return rows


def _count(images: Described) -> int:
    return len(next(iter(images.values())))


def _part(images: Described, count: int, rng: np.random.Generator) -> Described:
    rows = rng.permutation(_count(images))[:count]
    return {name: values[rows] for name, values in images.items()}


def _mean(found: list[dict[str, float]], names: dict[str, float]) -> dict[str, float]:
    return {name: float(np.mean([x[name] for x in found])) for name in names}
