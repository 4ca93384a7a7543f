"""Feature functions of other installed packages, named as module:name.

Such a function takes images (N, H, W) uint8 grey and returns features (N, D), finite numbers; the features of an image
must not depend on the images beside it.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from sonosynth import installed
from sonosynth.errors import UserError, first_line

Extractor = Callable[[np.ndarray], np.ndarray]
"""From images (N, H, W) uint8 grey to features (N, D) float32."""

EXPECTED = "a function of an installed package that maps images (N, H, W) uint8 to finite features (N, D)"
FIX = "correct or install it, or fidelity.features=embedded"
BLOCK = 64  # images at a time
SIDE = 128


def digest(name: str) -> str:
    """The digest of the function's module: see `sonosynth.installed`."""
    return installed.digest(name, partial(_refusal, name))


def check(name: str) -> None:
    """Raise UserError unless the function makes a vector of each of two images."""
    images = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE), np.uint8)
    extractor(name)(images)


def extractor(name: str) -> Extractor:
    """The function, with what it returns checked.

    Raises:
        UserError: if it can't be imported; when called, if it fails or returns anything but features.
    """
    function = installed.load(name, partial(_refusal, name))

    def features(images: np.ndarray) -> np.ndarray:
        parts = [_called(function, name, images[start : start + BLOCK]) for start in range(0, len(images), BLOCK)]
        widths = sorted({part.shape[1] for part in parts})
        if len(widths) > 1:
            raise _refusal(name, f"images become vectors of {widths[0]} and of {widths[1]} numbers")
        return np.concatenate(parts)

    return features


def _called(function: Callable, name: str, images: np.ndarray) -> np.ndarray:
    try:
        found = np.asarray(function(images), np.float32)
    except Exception as error:  # whatever somebody else's code raises
        raise _refusal(name, first_line(error)) from error
    if found.ndim != 2 or len(found) != len(images) or not found.shape[1]:
        raise _refusal(name, f"{len(images)} images become an array of the shape {found.shape}")
    if not np.isfinite(found).all():
        raise _refusal(name, "some of its features are no finite numbers")
    return found


def _refusal(name: str, why: str) -> UserError:
    return UserError(f"fidelity.features: {name} can't be used ({why})", EXPECTED, FIX)
