"""Class-balancing synthetic medical images from an adapted Stable Diffusion, and whether they help.

from sonosynth import Study, load_settings
Study("busi", load_settings("quick")).run("runs/busi", processes=False)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors, type checkers and the reference
    from sonosynth.cohort.reading import read as read_cohort
    from sonosynth.errors import UserError
    from sonosynth.evidence.judging import judge
    from sonosynth.evidence.tables import score
    from sonosynth.fidelity.distances import frechet_distance, kernel_distance, prdc, vendi_score
    from sonosynth.fidelity.networks import features
    from sonosynth.fidelity.searching import find_copies
    from sonosynth.finished import FinishedRun, open_run
    from sonosynth.phantom.simulate import simulate
    from sonosynth.run import Study
    from sonosynth.settings import Settings
    from sonosynth.settings import load as load_settings
    from sonosynth.synthesis.provenance import read as read_provenance

_WHERE = {
    "FinishedRun": ("sonosynth.finished", "FinishedRun"),
    "Settings": ("sonosynth.settings", "Settings"),
    "Study": ("sonosynth.run", "Study"),
    "UserError": ("sonosynth.errors", "UserError"),
    "features": ("sonosynth.fidelity.networks", "features"),
    "find_copies": ("sonosynth.fidelity.searching", "find_copies"),
    "frechet_distance": ("sonosynth.fidelity.distances", "frechet_distance"),
    "judge": ("sonosynth.evidence.judging", "judge"),
    "kernel_distance": ("sonosynth.fidelity.distances", "kernel_distance"),
    "load_settings": ("sonosynth.settings", "load"),
    "open_run": ("sonosynth.finished", "open_run"),
    "prdc": ("sonosynth.fidelity.distances", "prdc"),
    "read_cohort": ("sonosynth.cohort.reading", "read"),
    "read_provenance": ("sonosynth.synthesis.provenance", "read"),
    "score": ("sonosynth.evidence.tables", "score"),
    "simulate": ("sonosynth.phantom", "simulate"),
    "vendi_score": ("sonosynth.fidelity.distances", "vendi_score"),
}


__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    # Imported when used: torch takes seconds, and `sonosynth --help` needs none of it.
    if name not in _WHERE:
        raise AttributeError(f"module 'sonosynth' has no attribute {name!r}")
    module, attribute = _WHERE[name]
    return getattr(import_module(module), attribute)
