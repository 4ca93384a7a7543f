"""What a run shows: the figures, the page, and the table in the terminal."""

from matplotlib.figure import Figure

from sonosynth.report.figures import grid, save
from sonosynth.report.page import Provenance, page
from sonosynth.report.results import Results
from sonosynth.report.terminal import show

__all__ = ["Figure", "Provenance", "Results", "grid", "page", "save", "show"]
