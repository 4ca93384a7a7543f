"""How findings are marked: by colour and by shape, for readers who can't tell the colours apart."""

from dataclasses import dataclass

from sonosynth.evidence.judging import Finding
from sonosynth.report.figures import COLOURS


@dataclass(frozen=True)
class Symbol:
    """marker, colour: in figures. name: of the style on the page. path: its outline there, 12 units wide, around 0."""

    marker: str
    colour: str
    name: str
    path: str


_GREY = "#666666"
SYMBOLS = {
    Finding.IMPROVES: Symbol("^", COLOURS[3], "improves", "M0-6 6 5-6 5z"),
    Finding.HARMS: Symbol("v", COLOURS[6], "harms", "M0 6 6-5-6-5z"),
    Finding.NO_RELEVANT_DIFFERENCE: Symbol("s", COLOURS[1], "same", "M-5-5H5V5H-5z"),
    Finding.NO_EVIDENCE: Symbol("o", _GREY, "open", "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0z"),
    Finding.NOT_ENOUGH_RUNS: Symbol("D", _GREY, "few", "M0-6 6 0 0 6-6 0z"),
    Finding.REFUSED: Symbol("x", _GREY, "refused", "M-5-5 5 5M5-5-5 5"),
    Finding.NOT_RUN: Symbol("_", _GREY, "absent", "M-5 0H5"),
}
