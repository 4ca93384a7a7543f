"""How far a set of synthetic images is from the real ones, in a feature space."""

from collections.abc import Iterator

import numpy as np
from scipy.spatial.distance import cdist

BLOCK = 1_000_000
"""Pairs of images that are held in memory at once: 8 MB, whatever the number of images."""


def frechet_distance(real: np.ndarray, synthetic: np.ndarray) -> float:
    """Squared Fréchet distance between the Gaussians fitted to two sets of features.

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), Heusel et al., NeurIPS 2017, eq. 6; covariances divide by
    n - 1. With S1 = A'A and S2 = B'B, the trace of the root is the sum of the singular values of A B', which
    stays exact when there are fewer images than features.

    Args:
        real: (N, D), at least 2 rows.
        synthetic: (M, D), likewise.

    Raises:
        ValueError: if the shapes don't fit.
    """
    real, synthetic = _checked(real, synthetic)
    if min(len(real), len(synthetic)) < 2:
        raise ValueError(f"{len(real)} real and {len(synthetic)} synthetic images; a covariance needs 2")
    a = (real - real.mean(axis=0)) / np.sqrt(len(real) - 1)
    b = (synthetic - synthetic.mean(axis=0)) / np.sqrt(len(synthetic) - 1)
    # Reduce to at most D rows, so that the product stays small for many images.
    a, b = (np.asarray(np.linalg.qr(x, mode="r")) if len(x) > x.shape[1] else x for x in (a, b))
    root = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    shift = real.mean(axis=0) - synthetic.mean(axis=0)
    return float(max(shift @ shift + (a**2).sum() + (b**2).sum() - 2 * root, 0.0))


def kernel_distance(real: np.ndarray, synthetic: np.ndarray) -> float:
    """Kernel distance (KID): the unbiased squared MMD with the kernel (x . y / D + 1)^3.

    Bińkowski et al., ICLR 2018, section 3, without their subsets: all pairs count. It has no bias at small counts,
    so it can be negative.

    Args:
        real: (N, D), at least 2 rows.
        synthetic: (M, D), likewise.

    Raises:
        ValueError: if the shapes don't fit.
    """
    real, synthetic = _checked(real, synthetic)
    n, m = len(real), len(synthetic)
    if min(n, m) < 2:
        raise ValueError(f"{n} real and {m} synthetic images; an unbiased estimate needs 2")
    within_real, within = (_kernel_sum(x, x) - _kernel_of_itself(x).sum() for x in (real, synthetic))
    between = _kernel_sum(real, synthetic)
    return float(within_real / (n * (n - 1)) + within / (m * (m - 1)) - 2 * between / (n * m))


def kernel_influences(real: np.ndarray, synthetic: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much each real and each synthetic image moves `kernel_distance`: (N,) and (M,), to first order.

    Summed over images that belong together, their root sum of squares is the standard error (Hoeffding, Ann. Math.
    Statist. 19:293, 1948, section 7), and that of differences between two such sums the standard error of a difference
    of two distances from the same real images. Where two sets are alike, the first order is nearly nothing, and the
    error too small.

    Args:
        real: (N, D), at least 2 rows.
        synthetic: (M, D), likewise.

    Raises:
        ValueError: if the shapes don't fit.
    """
    real, synthetic = _checked(real, synthetic)
    if min(len(real), len(synthetic)) < 2:
        raise ValueError(f"{len(real)} real and {len(synthetic)} synthetic images; a standard error needs 2")

    def influences(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        within = (_kernel_sums(x, x) - _kernel_of_itself(x)) / (len(x) - 1)
        found = 2 * (within - _kernel_sums(x, y) / len(y))
        centred: np.ndarray = (found - found.mean()) / len(x)
        return centred

    return influences(real, synthetic), influences(synthetic, real)


def moment_distances(real: np.ndarray, synthetic: np.ndarray) -> dict[str, float]:
    """frechet and kernel, the two distances above; NaN if either side has fewer than 2 rows."""
    if min(len(real), len(synthetic)) < 2:
        return dict.fromkeys(("frechet", "kernel"), float("nan"))
    return {"frechet": frechet_distance(real, synthetic), "kernel": kernel_distance(real, synthetic)}


def prdc(real: np.ndarray, synthetic: np.ndarray, k: int = 5) -> dict[str, float]:
    """Precision and recall (Kynkäänniemi et al., NeurIPS 2019), density and coverage (Naeem et al., ICML 2020).

    Precision: share of synthetic images within the distance from some real image to its k-th nearest real one; recall:
    the same with the roles exchanged. Density: how many such balls hold a synthetic image, over k. Coverage: share of
    real images' balls that hold a synthetic one.

    Args:
        real: (N, D), more than k rows.
        synthetic: (M, D), likewise.
        k: the neighbour that gives each image its radius.

    Raises:
        ValueError: if the shapes don't fit.
    """
    real, synthetic = _checked(real, synthetic)
    if min(len(real), len(synthetic)) <= k:
        raise ValueError(f"{len(real)} real and {len(synthetic)} synthetic images; more than k = {k} are needed")
    radii_real, radii = _radii(real, k), _radii(synthetic, k)
    balls = np.zeros(len(synthetic), int)  # of real images, that hold each synthetic one
    recalled, covered = np.zeros(len(real), bool), np.zeros(len(real), bool)
    for rows in _blocks(len(real), len(synthetic)):
        distance = cdist(real[rows], synthetic)
        inside = distance < radii_real[rows, None]
        balls += inside.sum(axis=0)
        covered[rows] = inside.any(axis=1)
        recalled[rows] = (distance < radii).any(axis=1)
    return {
        "precision": float((balls > 0).mean()),
        "recall": float(recalled.mean()),
        "density": float(balls.mean() / k),
        "coverage": float(covered.mean()),
    }


def _radii(x: np.ndarray, k: int) -> np.ndarray:
    """The distance (N,) of each row of x to its k-th nearest other one."""
    radii = np.empty(len(x))
    for rows in _blocks(len(x), len(x)):
        radii[rows] = np.partition(cdist(x[rows], x), k, axis=1)[:, k]  # the nearest, of index 0, is itself
    return radii


def vendi_score(features: np.ndarray) -> float:
    """The effective number of different images in a set: exp of the entropy of their cosine similarities' spectrum.

    Friedman and Dieng, TMLR 2023, eq. 2. From 1 (all alike) to N (all orthogonal).

    Args:
        features: (N, D), at least 1 row, none of them zero.

    Raises:
        ValueError: if the shape doesn't fit.
    """
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or not len(features):
        raise ValueError(f"features are {features.shape}; (N, D) are expected")
    scaled = features / np.linalg.norm(features, axis=1, keepdims=True) / np.sqrt(len(features))
    shares = np.linalg.svd(scaled, compute_uv=False) ** 2
    shares = shares[shares > 1e-15]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _kernel_sum(x: np.ndarray, y: np.ndarray) -> float:
    """The sum of the kernel over all pairs of rows of x and y."""
    return sum(float(_cubed(x[rows] @ y.T / x.shape[1] + 1).sum()) for rows in _blocks(len(x), len(y)))


def _kernel_sums(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The sum (N,) of the kernel over all rows of y, for each row of x."""
    return np.concatenate([_cubed(x[rows] @ y.T / x.shape[1] + 1).sum(axis=1) for rows in _blocks(len(x), len(y))])


def _kernel_of_itself(x: np.ndarray) -> np.ndarray:
    return _cubed((x**2).sum(axis=1) / x.shape[1] + 1)


def _cubed(x: np.ndarray) -> np.ndarray:
    cube: np.ndarray = x * x * x  # a tenth of the time of x**3
    return cube


def _blocks(n: int, m: int) -> Iterator[slice]:
    """The rows of an n x m matrix in parts of `BLOCK` elements at most, one row at least."""
    height = max(1, BLOCK // m)
    return (slice(start, start + height) for start in range(0, n, height))


def _checked(real: np.ndarray, synthetic: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    real, synthetic = np.asarray(real, np.float64), np.asarray(synthetic, np.float64)
    if real.ndim != 2 or synthetic.ndim != 2 or real.shape[1] != synthetic.shape[1]:
        raise ValueError(f"features are {real.shape} and {synthetic.shape}; (N, D) and (M, D) are expected")
    return real, synthetic
