"""What a run shows: the grid, the page, and the table in the terminal."""

from sonosynth.report.figures import grid
from sonosynth.report.page import page
from sonosynth.report.terminal import show

__all__ = ["grid", "page", "show"]
