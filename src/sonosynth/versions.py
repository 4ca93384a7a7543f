"""The packages on whose versions results depend."""

from importlib.metadata import version

PACKAGES = ("sonosynth", "torch", "diffusers", "transformers", "peft", "accelerate", "numpy", "scikit-learn", "pillow")


def installed() -> dict[str, str]:
    """The version of each package."""
    return {name: version(name) for name in PACKAGES}
