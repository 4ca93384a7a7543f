"""The sections of the page, in their order. Each has a template `templates/sections/<id>.html.j2`.

Those with figures have a file that draws them, and says in `ALT` what each of them shows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.figure import Figure

from sonosynth.report.figures import LISTED
from sonosynth.report.results import Results, Shown
from sonosynth.report.sections import (
    ablation,
    classifier,
    copies,
    curves,
    fidelity,
    obedience,
    pictures,
    readers,
    segmentation,
    tests,
    training,
)


@dataclass(frozen=True)
class Section:
    """One section: its id and title, its figures, what each of them shows, whether a page has it, and the pictures in
    its figures (tables with some of the columns `LISTED`).
    """

    id: str
    title: str
    figures: Callable[[Shown], dict[str, Figure]] = lambda _: {}
    alt: Mapping[str, str] = field(default_factory=dict)
    shown: Callable[[Results], bool] = lambda _: True
    pictured: Callable[[Shown], list[pd.DataFrame]] = lambda _: []


SECTIONS = (
    Section("ablation", "All scores", ablation.figures),
    Section("curves", "Share and strength", curves.figures, curves.ALT, curves.shown),
    Section("sealed", "Sealed part", shown=lambda results: results.sealed is not None),
    Section("tests", "Other cohorts", tests.figures, shown=lambda results: bool(results.tests)),
    Section("pictures", "Pictures", pictures.figures, pictures.ALT, pictured=pictures.pictured),
    Section("readers", "Human readers", readers.figures, readers.ALT, lambda results: bool(results.readers)),
    Section("segmentation", "Segmentation", segmentation.figures, segmentation.ALT, segmentation.shown,
            segmentation.pictured),
    Section("classifier", "Classifier", classifier.figures, classifier.ALT, lambda results: results.classified),
    Section("subgroups", "Subgroups", shown=lambda results: results.subgroups is not None),
    Section("fidelity", "Fidelity", fidelity.figures, fidelity.ALT),
    Section("obedience", "Masks asked for, lesions seen", obedience.figures, obedience.ALT, obedience.shown,
            obedience.pictured),
    Section("selection", "Selection", shown=lambda results: results.selection is not None),
    Section("weights", "Weights", shown=lambda results: results.critics is not None),
    Section("copies", "Copies", copies.figures, copies.ALT, pictured=copies.pictured),
    Section("training", "Training", training.figures, training.ALT),
    Section("provenance", "Provenance"),
    Section("paper", "For a paper"),
)  # fmt: skip


def listing(shown: Shown) -> pd.DataFrame:
    """The pictures in all figures, and how each was made: the columns `LISTED`, as text."""
    parts = [pd.DataFrame(columns=LISTED), *(part for section in SECTIONS for part in section.pictured(shown))]
    return pd.concat([part.astype(str) for part in parts], ignore_index=True)[LISTED].fillna("")
