"""The spectra of images."""

import numpy as np

RINGS = 16


def spectra(images: np.ndarray) -> np.ndarray:
    """(N, 16): log10 of the mean power of `images` (N, H, W), Hann window, in rings of radial frequency."""
    height, width = images.shape[1:]
    window = np.outer(np.hanning(height), np.hanning(width))
    centred = images - images.mean(axis=(1, 2), keepdims=True)
    power = np.abs(np.fft.rfft2(centred * window)) ** 2
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    ring = np.minimum((radius * 2 * RINGS).astype(int), RINGS)  # the corners, beyond 1/2, are left out
    sums = np.stack([power[:, ring == k].mean(axis=1) for k in range(RINGS)], axis=1)
    return np.log10(sums + 1)
