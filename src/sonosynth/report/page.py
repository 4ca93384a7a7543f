"""report.html: one file that opens offline."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from PIL import Image

from sonosynth.report.results import COLUMNS, SCORES, Results

ALT = {
    "grid": "Grid of real and synthetic images: one row per class, one column for the real images and one per set",
    "balance": "Bars: real and synthetic training images of each class",
    "forest": "Difference in macro F1 of every arm from real images alone, with 95% intervals",
    "confusion": "Confusion matrix of every arm",
    "roc": "ROC curves by class, a line an arm",
    "calibration": "Calibration curves by class, a line an arm",
    "fidelity": "Every fidelity metric of every set at equal counts, beside what real images get",
    "speckle": "Speckle statistics and attenuation of real images and of every set, as boxes",
    "refinement": "Text-to-image pictures, each above its refinement",
    "closest": "The synthetic images nearest to a training image, each above that image",
    "losses": "Loss by step of token and LoRA",
}
"""What each figure shows, in the order of the page."""


@dataclass(frozen=True)
class Provenance:
    """How the run came about.

    command: that makes it again. settings: study.yaml as text. values: its settings as a mapping. hashes: what to its
    digest. stages: rows with stage, seconds and peak_mb.
    """

    command: str
    settings: str
    values: Mapping[str, Any]
    hashes: Mapping[str, str]
    stages: Sequence[Mapping[str, Any]]


def page(results: Results, provenance: Provenance, figures: Path) -> str:
    """The report as HTML, without scripts; nothing in it is fetched.

    Args:
        figures: the folder of the PNG files that `ALT` names; they are put into the page.
    """
    environment = jinja2.Environment(
        autoescape=jinja2.select_autoescape(["html.j2"]), undefined=jinja2.StrictUndefined, trim_blocks=True,
        loader=jinja2.PackageLoader("sonosynth.report", "templates"),
    )  # fmt: skip
    environment.filters["inline"] = lambda data: base64.b64encode(data).decode()
    environment.globals["number"] = _number
    tables = {
        "table": results.table, "differences": results.differences, "verdicts": results.verdicts,
        "fidelity": results.fidelity,
    }  # fmt: skip
    return environment.get_template("page.html.j2").render(
        columns=COLUMNS,
        scores=SCORES,
        results=results,
        differences=results.differences.to_dict("records"),
        fidelity=results.fidelity[results.fidelity["class"] == "all"].to_dict("records"),
        copies=results.copies(),
        provenance=provenance,
        pictures={name: _light(figures / f"{name}.png") for name in ALT},
        alt=ALT,
        tables={name: table.to_csv(index=False).encode() for name, table in tables.items()},
        latex=latex(results),
        methods=environment.get_template("methods.txt.j2").render(s=provenance.values, facts=results.facts),
        bibtex=resources.files("sonosynth.report").joinpath("templates", "cite.bib").read_text(encoding="utf-8"),
    )


def _light(file: Path) -> bytes:
    """A PNG file without the channels that it does not need."""
    with Image.open(file) as image:
        pixels = np.asarray(image.convert("RGB"))
    grey = (pixels == pixels[..., :1]).all()
    data = BytesIO()
    Image.fromarray(pixels[..., 0] if grey else pixels).save(data, format="PNG", optimize=True)
    return data.getvalue()


def latex(results: Results) -> str:
    """The ablation as a LaTeX table, intervals below the scores."""
    lines = [
        rf"\begin{{tabular}}{{l{'r' * (len(SCORES) + 2)}}}",
        " & ".join([*(COLUMNS[name] for name in ("arm", "n_train", *SCORES)), "Fr\\'echet"]) + r" \\ \hline",
    ]
    for row in results.rows():
        lines.append(" & ".join(_tex(row[name]) for name in ("arm", "n_train", *SCORES, "distance")) + r" \\")
        if f"{SCORES[0]}_interval" in row:
            intervals = (f"({row[f'{name}_interval'].replace(' to ', '--')})" for name in SCORES)
            lines.append(" & & " + " & ".join(rf"\footnotesize {text}" for text in intervals) + r" & \\")
    return "\n".join([*lines, r"\end{tabular}"])


def _tex(text: str) -> str:
    """Text in which no character is LaTeX's own."""
    named = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--"}
    return "".join(named.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)


def _number(value: Any, form: str = "%.3f") -> str:
    """A number as text, a dash for none."""
    return "–" if value == "" or pd.isna(value) else form % value
