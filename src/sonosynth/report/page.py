"""report.html: one file that opens offline."""

import base64
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from sonosynth.adapters.settings import Adapter
from sonosynth.cohort.settings import path_of
from sonosynth.fidelity.jobs import ALL
from sonosynth.jobs import Made
from sonosynth.report import elsewhere, words
from sonosynth.report.curves import panels
from sonosynth.report.results import COLUMNS, SCORES, Results
from sonosynth.report.sections import SECTIONS, tests
from sonosynth.synthesis.settings import Set
from sonosynth.tasks.classification.settings import Arm

LOADER = jinja2.PackageLoader("sonosynth.report", "templates")


@dataclass(frozen=True)
class Provenance:
    """How the run was made: study.yaml as text and as values, digests by name, and every finished job."""

    study: str
    values: Mapping[str, Any]
    hashes: Mapping[str, str]
    finished: Sequence[Made]

    @property
    def command(self) -> str:
        """The command that repeats the run."""
        return shlex.join(
            ["sonosynth", "run", path_of(self.values["cohort"]), "--out", "NEW", "--config", "study.yaml"]
        )


def page(results: Results, provenance: Provenance, figures: Path) -> str:
    """The report as HTML, without scripts; it loads nothing from elsewhere.

    Args:
        figures: the folder with the PNG files of the sections; those that exist are embedded in the page.
    """
    environment = jinja2.Environment(
        autoescape=jinja2.select_autoescape(["html.j2"]), undefined=jinja2.StrictUndefined, trim_blocks=True,
        loader=LOADER,
    )  # fmt: skip
    environment.filters["inline"] = lambda data: base64.b64encode(data).decode()
    alt = {name: text for section in SECTIONS for name, text in section.alt.items()} | tests.alt(results)
    tables = {
        "table": results.table, "classes": results.classes, "verdicts": results.verdicts,
        "fidelity": results.fidelity,
    }  # fmt: skip
    if results.sealed is not None:
        tables["sealed_verdicts"] = results.sealed
    if results.choices is not None:
        tables["choices"] = results.choices
    environment.globals |= {
        "number": words.number,
        "alt": alt,
        "pictures": {name: _light(file) for name in alt if (file := figures / f"{name}.png").is_file()},
        "tables": {name: table.to_csv(index=False).encode() for name, table in tables.items()},
    }
    return environment.get_template("page.html.j2").render(
        sections=[section for section in SECTIONS if section.shown(results)],
        columns=COLUMNS,
        scores=SCORES,
        elsewhere=elsewhere.COLUMNS,
        results=results,
        panels=panels(results),
        contrasts=results.verdicts.dropna(subset=["difference"]).to_dict("records"),
        fidelity=results.fidelity[results.fidelity["class"] == ALL].to_dict("records"),
        provenance=provenance,
        latex=latex(results),
        methods=methods(provenance.values, results.measured_on),
        bibtex=resources.files("sonosynth.report").joinpath("templates", "cite.bib").read_text(encoding="utf-8"),
    )


def methods(study: Mapping[str, Any], facts: Mapping[str, str]) -> str:
    """The methods paragraph.

    Args:
        study: the values of study.yaml. facts: what the scores were measured on, in words.
    """
    template = jinja2.Environment(loader=LOADER, undefined=jinja2.StrictUndefined).get_template("methods.txt.j2")
    declared = {
        group: {name: kind(**values) for name, values in study[group].items() if values is not None}
        for group, kind in (("adapters", Adapter), ("sets", Set), ("arms", Arm))
    }
    return " ".join(template.render(s=study, facts=facts, **declared).split())


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
        intervals = [row.get(f"{name}_interval", "").replace(" to ", "--") for name in SCORES]
        if any(intervals):
            cells = (rf"\footnotesize ({text})" if text else "" for text in intervals)
            lines.append(" & & " + " & ".join(cells) + r" & \\")
    return "\n".join([*lines, r"\end{tabular}"])


def _tex(text: str) -> str:
    """Text with LaTeX's special characters escaped."""
    named = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--"}
    return "".join(named.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)
