"""A model of the lesions of a class: their outlines, sizes and positions, and how many images have none.

An outline is its distance from the centre in every direction. The Fourier coefficients of the logarithm of that and
the centre make up a vector; over the masks of the class, it has a mean and principal components, along which new ones
are drawn (point distribution models: Cootes et al., Comput. Vis. Image Underst. 61:38, 1995). Such an outline is in one
piece and crosses no ray from its centre twice: of bays that turn back, it has the outer edge.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from sonosynth.synthesis.deforming import into_frame

ANGLES, HARMONICS = 256, 12
FARTHEST = 2.0  # standard deviations along each component
FEWEST = 5  # lesions that a model needs


@dataclass(frozen=True)
class Shapes:
    """side: of the masks, pixels. lesions: share of the images that have one. mean: (D,); components: (n, D), each as
    long as one standard deviation.
    """

    side: int
    lesions: float
    mean: np.ndarray
    components: np.ndarray

    @classmethod
    def of(cls, masks: np.ndarray) -> "Shapes":
        """The model of masks (N, S, S) bool; of several pieces, the largest counts.

        Raises:
            ValueError: if some, but fewer than `FEWEST` show a lesion.
        """
        side, shown = masks.shape[-1], masks.any(axis=(1, 2))
        if not shown.any():
            return cls(side, 0.0, np.empty(0), np.empty((0, 0)))
        if shown.sum() < FEWEST:
            raise ValueError(f"{shown.sum()} masks show a lesion; a model of shapes needs {FEWEST}")
        vectors = np.stack([_described(mask) for mask in masks[shown]])
        mean = vectors.mean(axis=0)
        _, lengths, directions = np.linalg.svd(vectors - mean, full_matrices=False)
        deviations = lengths / np.sqrt(len(vectors) - 1)
        return cls(side, float(shown.mean()), mean, deviations[:, None] * directions)

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """A mask (S, S) bool: a lesion whole within the frame, or none, as often as the images have none."""
        if rng.random() >= self.lesions:
            return np.zeros((self.side, self.side), bool)
        scores = np.clip(rng.standard_normal(len(self.components)), -FARTHEST, FARTHEST)
        vector = self.mean + scores @ self.components
        radii, centre = _outline(vector, self.side), vector[-2:] * self.side
        radii *= min(1.0, (self.side / 2 - 1) / radii.max())
        found = into_frame(largest(_filled(radii, self.side)), centre)
        assert found is not None  # it has a pixel, and no radius above half of the side
        return found


def largest(mask: np.ndarray) -> np.ndarray:
    """The largest piece of a mask (H, W) bool."""
    pieces, count = ndimage.label(mask)
    if count < 2:
        return mask
    found: np.ndarray = pieces == 1 + np.argmax(ndimage.sum_labels(mask, pieces, range(1, count + 1)))
    return found


def _described(mask: np.ndarray) -> np.ndarray:
    """The vector (D,) of a mask: its coefficients, real and imaginary parts, and its centre as shares of the side."""
    side, piece = len(mask), largest(mask)
    centre = np.array(ndimage.center_of_mass(piece))
    angles, steps = 2 * np.pi * np.arange(ANGLES) / ANGLES, np.arange(0, 1.5 * side, 0.5)
    rays = np.stack([np.sin(angles), np.cos(angles)])[:, :, None] * steps
    inside = ndimage.map_coordinates(piece.astype(np.uint8), centre[:, None, None] + rays, order=0) > 0
    farthest = np.where(inside, steps, 0.0).max(axis=1) + 0.5  # pixels reach half a pixel beyond their middle
    found = np.fft.rfft(np.log(farthest))[: HARMONICS + 1] / ANGLES
    return np.concatenate([found.real, found.imag[1:], (centre + 0.5) / side])


def _outline(vector: np.ndarray, side: int) -> np.ndarray:
    """The distances (ANGLES,) from the centre that a vector describes, pixels; at least half a pixel."""
    real, imaginary = vector[: HARMONICS + 1], vector[HARMONICS + 1 : 2 * HARMONICS + 1]
    coefficients = real + 1j * np.concatenate([[0.0], imaginary])
    radii: np.ndarray = np.exp(np.fft.irfft(coefficients * ANGLES, ANGLES)).clip(0.75, side)
    return radii


def _filled(radii: np.ndarray, side: int) -> np.ndarray:
    """What lies within an outline, in the middle of a frame (2S, 2S) bool."""
    y, x = np.indices((2 * side, 2 * side)) + 0.5 - side
    angles = np.arctan2(y, x) * ANGLES / (2 * np.pi)
    inside: np.ndarray = np.hypot(y, x) <= np.interp(angles % ANGLES, np.arange(ANGLES + 1), [*radii, radii[0]])
    return inside
