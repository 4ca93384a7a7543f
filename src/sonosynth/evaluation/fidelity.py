"""How far a set of synthetic images is from the real ones, in a feature space."""

import numpy as np


def frechet_distance(real: np.ndarray, synthetic: np.ndarray) -> float:
    """Squared Fréchet distance of the Gaussians fitted to two sets of features.

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), Heusel et al., NeurIPS 2017, eq. 6; covariances divide by
    n - 1. With S1 = A'A and S2 = B'B, the trace of the root is the sum of the singular values of A B', which
    stays exact when there are fewer images than features.

    Args:
        real, synthetic: (N, D) and (M, D), at least 2 rows each.

    Raises:
        ValueError: if the shapes don't fit.
    """
    real, synthetic = np.asarray(real, np.float64), np.asarray(synthetic, np.float64)
    if real.ndim != 2 or synthetic.ndim != 2 or real.shape[1] != synthetic.shape[1]:
        raise ValueError(f"features are {real.shape} and {synthetic.shape}; (N, D) and (M, D) are expected")
    if min(len(real), len(synthetic)) < 2:
        raise ValueError(f"{len(real)} real and {len(synthetic)} synthetic images; a covariance needs 2")
    a = (real - real.mean(axis=0)) / np.sqrt(len(real) - 1)
    b = (synthetic - synthetic.mean(axis=0)) / np.sqrt(len(synthetic) - 1)
    # Reduce to at most D rows, so that the product stays small for many images.
    a, b = (np.asarray(np.linalg.qr(x, mode="r")) if len(x) > x.shape[1] else x for x in (a, b))
    root = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    shift = real.mean(axis=0) - synthetic.mean(axis=0)
    return float(max(shift @ shift + (a**2).sum() + (b**2).sum() - 2 * root, 0.0))
