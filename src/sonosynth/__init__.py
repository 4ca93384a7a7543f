"""Class-balancing synthetic ultrasound images from a fine-tuned Stable Diffusion, and whether they help.

from sonosynth import Study, load_settings
Study(Path("busi"), Path("runs/busi"), load_settings("quick")).everything()
"""

from typing import Any

__all__ = ["Settings", "Study", "UserError", "frechet_distance", "load_settings", "read_cohort", "simulate"]

_WHERE = {
    "Settings": ("sonosynth.config", "Settings"),
    "Study": ("sonosynth.study", "Study"),
    "UserError": ("sonosynth.errors", "UserError"),
    "frechet_distance": ("sonosynth.evaluation", "frechet_distance"),
    "load_settings": ("sonosynth.config", "load"),
    "read_cohort": ("sonosynth.cohort", "read"),
    "simulate": ("sonosynth.phantom", "simulate"),
}


def __getattr__(name: str) -> Any:
    # Imported when used: torch takes seconds, and `sonosynth --help` needs none of it.
    if name not in _WHERE:
        raise AttributeError(f"module 'sonosynth' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _WHERE[name]
    return getattr(import_module(module), attribute)
