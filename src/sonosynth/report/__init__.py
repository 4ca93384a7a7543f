"""What a run shows: the figures, the page, and the table in the terminal."""

from sonosynth.report.figures import grid, pairs
from sonosynth.report.page import page
from sonosynth.report.results import Results
from sonosynth.report.terminal import show

__all__ = ["Results", "grid", "page", "pairs", "show"]
