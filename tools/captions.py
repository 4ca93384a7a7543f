"""Captions of simulated images, for the pretraining of the embedded base."""

import numpy as np

from sonosynth.phantom.simulate import Phantom

SUBJECTS = {
    "normal": ("benign breast tissue", "normal breast tissue"),
    "benign": ("benign breast lesion", "benign breast lesion"),
    "malignant": ("malignant breast lesion", "malignant breast lesion"),
}


def caption(phantom: Phantom, rng: np.random.Generator) -> str:
    """What the image shows; half of the captions say more than the kind."""
    subject = SUBJECTS[phantom.kind][rng.integers(2)]
    text = f"ultrasound image of a {subject}"
    probe = phantom.probe
    details = [
        *phantom.traits,
        "high frequency" if probe.frequency > 9 else "low frequency",
        "deep" if probe.depth > 40 else "shallow",
        "bright" if phantom.image.mean() > 95 else "dark",
        "clear" if probe.looks > 2 else "noisy",
        "sharp" if probe.sharpening else "blurred" if probe.smoothing > 0.5 else "natural",
    ]
    if rng.random() < 0.5:
        chosen = rng.choice(details, size=rng.integers(1, 4), replace=False)
        text += ", " + ", ".join(str(detail) for detail in chosen)
    return text
