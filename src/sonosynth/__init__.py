"""Class-balancing synthetic medical images from an adapted Stable Diffusion, and whether they help.

from sonosynth import Study, load_settings
Study(Path("busi"), load_settings("quick")).run(Path("runs/busi"), processes=False)
"""

from importlib import import_module
from typing import Any

_WHERE = {
    "Settings": ("sonosynth.settings", "Settings"),
    "Study": ("sonosynth.run", "Study"),
    "UserError": ("sonosynth.errors", "UserError"),
    "frechet_distance": ("sonosynth.evaluation", "frechet_distance"),
    "load_settings": ("sonosynth.settings", "load"),
    "read_cohort": ("sonosynth.cohort.reading", "read"),
    "read_provenance": ("sonosynth.synthesis.provenance", "read"),
    "simulate": ("sonosynth.phantom", "simulate"),
}


__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    # Imported when used: torch takes seconds, and `sonosynth --help` needs none of it.
    if name not in _WHERE:
        raise AttributeError(f"module 'sonosynth' has no attribute {name!r}")
    module, attribute = _WHERE[name]
    return getattr(import_module(module), attribute)
