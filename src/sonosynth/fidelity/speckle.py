"""Speckle statistics of small patches: what blur and white noise change first.

The mean-to-deviation ratio is the point signal-to-noise ratio of Wagner et al. (IEEE Trans. Sonics Ultrason.
30:156, 1983). Both it and the Nakagami shape are computed here from displayed, that is log-compressed, grey levels, so
1.91 and 1 are not their reference values. The autocorrelation lengths, along depth and across it, are those of the
images as they are resampled: in pixels of their resolution, which may be coarser than a speckle grain. So all four
compare images of one study with one another, and are no properties of tissue or scanner.
"""

from dataclasses import dataclass

import numpy as np

PATCH = 16


@dataclass(frozen=True)
class Speckle:
    """Statistics of P patches: ratio (P,) of mean to standard deviation; nakagami (P,), the shape of a Nakagami
    distribution by its moments, 1 for fully developed speckle (Shankar, IEEE Trans. UFFC 47:727, 2000); axial, lateral
    (P,) autocorrelation lengths in pixels, the lag at which the autocorrelation along depth (rows), across it (columns)
    falls to 1/2.
    """

    ratio: np.ndarray
    nakagami: np.ndarray
    axial: np.ndarray
    lateral: np.ndarray

    def medians(self) -> dict[str, float]:
        """The median of each statistic over the patches."""
        return {name: float(np.median(values)) for name, values in vars(self).items()}


def patches(images: np.ndarray) -> np.ndarray:
    """Patches (P, 16, 16) float64 of `images` (N, H, W) uint8, without overlap."""
    n, height, width = images.shape
    rows, columns = height // PATCH, width // PATCH
    cut = images[:, : rows * PATCH, : columns * PATCH].reshape(n, rows, PATCH, columns, PATCH)
    return cut.transpose(0, 1, 3, 2, 4).reshape(-1, PATCH, PATCH).astype(np.float64)


def textured(cut: np.ndarray) -> np.ndarray:
    """Which patches (P,) show speckle: hardly any of their pixels are clipped to black or white."""
    clipped: np.ndarray = ((cut <= 2) | (cut >= 253)).mean(axis=(1, 2))
    return (clipped < 0.02) & (cut.std(axis=(1, 2)) > 1)


def homogeneous(cut: np.ndarray) -> np.ndarray:
    """Which patches (P,) that are not constant are of one tissue: their quarters' means differ only as in speckle."""
    half = cut.shape[1] // 2
    quarters = cut.reshape(len(cut), 2, half, 2, half).mean(axis=(2, 4)).reshape(len(cut), 4)
    even: np.ndarray = quarters.std(axis=1) < 0.5 * cut.std(axis=(1, 2))
    return even


def statistics(cut: np.ndarray) -> Speckle:
    """Statistics of patches `cut` (P, h, w) that are not constant."""
    centred = cut - cut.mean(axis=(1, 2), keepdims=True)
    power = cut**2
    return Speckle(
        cut.mean(axis=(1, 2)) / cut.std(axis=(1, 2)),
        power.mean(axis=(1, 2)) ** 2 / power.var(axis=(1, 2)),
        _length(centred, 1),
        _length(centred, 2),
    )


def _length(centred: np.ndarray, axis: int) -> np.ndarray:
    """The lag (P,) at which the autocorrelation of patches with mean zero falls to 1/2, linearly interpolated."""
    side = centred.shape[axis]
    moved = np.moveaxis(centred, axis, 1)
    covariance = [(moved[:, lag:] * moved[:, : side - lag]).mean(axis=(1, 2)) for lag in range(side // 2 + 1)]
    correlation = np.stack(covariance, axis=1) / covariance[0][:, None]
    below = correlation < 0.5
    first = np.where(below.any(axis=1), below.argmax(axis=1), side // 2)
    rows = np.arange(len(centred))
    high, low = correlation[rows, first - 1], correlation[rows, first]
    share = np.where(below[rows, first], (high - 0.5) / np.maximum(high - low, 1e-12), 1.0)
    return first - 1 + share
