"""report.html: one file that opens offline."""

import base64
import itertools
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from PIL import Image

from sonosynth.cohort.settings import Prompts, path_of
from sonosynth.fidelity.jobs import ALL
from sonosynth.jobs import Made
from sonosynth.report import citing, elsewhere, words
from sonosynth.report.answer import answer
from sonosynth.report.curves import panels
from sonosynth.report.declared import Declared
from sonosynth.report.headline import explained, headline
from sonosynth.report.results import Results
from sonosynth.report.sections import SECTIONS, tests

LOADER = jinja2.PackageLoader("sonosynth.report", "templates")


@dataclass(frozen=True)
class Provenance:
    """How the run was made: study.yaml as text and as values, digests by name, and every finished job.

    real_images: whether the page may show them, and paths, which the other fields are then free of.
    """

    study: str
    values: Mapping[str, Any]
    hashes: Mapping[str, str]
    finished: Sequence[Made]
    real_images: bool = True

    @property
    def command(self) -> str:
        """The command that repeats the run."""
        return shlex.join(
            ["sonosynth", "run", path_of(self.values["cohort"]), "--out", "NEW", "--config", "study.yaml"]
        )


def page(results: Results, provenance: Provenance, figures: Path, pictured: pd.DataFrame) -> str:
    """The report as HTML, without scripts; it loads nothing from elsewhere.

    Args:
        figures: the folder with the PNG files of the sections; those that exist are embedded in the page. pictured: see
            `sections.listing`.
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
    if results.segmented is not None:
        tables |= {"segmentation_table": results.segmented.table, "segmentation_verdicts": results.segmented.verdicts}
    if results.choices is not None:
        tables["choices"] = results.choices
    environment.globals |= {
        "number": words.number,
        "reason": words.reason,
        "meaning": words.MEANINGS.get,
        "numbered": itertools.count(1).__next__,
        "alt": alt,
        "pictures": {name: _light(file) for name in alt if (file := figures / f"{name}.png").is_file()},
        "tables": {name: table.to_csv(index=False).encode() for name, table in tables.items()},
        "pictured": {str(name): rows.to_dict("records") for name, rows in pictured.groupby("figure")},
    }
    study, declared = provenance.values, results.declared
    cited = citing.cited(study, results.facts, declared)
    return environment.get_template("page.html.j2").render(
        sections=[section for section in SECTIONS if section.shown(results)],
        headline=headline(results),
        explained=explained(results),
        answers=[answer(one, declared, results.facts, study["compare"]["margin"]) for one in results.judged],
        declared=declared,
        elsewhere=elsewhere.COLUMNS,
        results=results,
        panels=panels(results),
        contrasts=results.verdicts.dropna(subset=["difference"]).to_dict("records"),
        fidelity=results.fidelity[results.fidelity["class"] == ALL].to_dict("records"),
        provenance=provenance,
        latex=latex(results),
        methods=methods(
            study,
            results.measured_on,
            declared,
            results.labels,
            own_split=results.facts.own_split,
            unfit=tuple(results.segmented.unfit) if results.segmented else (),
        ),
        cited=cited,
        bibtex=citing.bibtex(cited),
    )


def methods(
    study: Mapping[str, Any], facts: Mapping[str, str], declared: Declared, classes: Sequence[str], *,
    own_split: bool = False, unfit: Sequence[str] = (),
) -> str:  # fmt: skip
    """The methods paragraph.

    Args:
        study: the values of study.yaml. facts: what the scores were measured on, in words. own_split: as in `Facts`.
            unfit: the arms without segmenters.
    """
    template = jinja2.Environment(loader=LOADER, undefined=jinja2.StrictUndefined).get_template("methods.txt.j2")
    prompts = Prompts(**study["prompts"])
    said = {label: prompts.of(label) for label in classes}
    text = template.render(
        s=study, facts=facts, prompts=said, adapters=declared.adapters, sets=declared.sets, arms=declared.arms,
        arm=declared.arm, own_split=own_split, unfit=unfit,
    )  # fmt: skip
    return " ".join(text.split())


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
    titles, scores = results.columns, results.scores
    lines = [
        rf"\begin{{tabular}}{{l{'r' * (len(scores) + 2)}}}",
        " & ".join([*(_tex(titles[name]) for name in ("arm", "n_train", *scores)), "Fr\\'echet"]) + r" \\ \hline",
    ]
    for row in results.rows():
        lines.append(" & ".join(_tex(row[name]) for name in ("arm", "n_train", *scores, "distance")) + r" \\")
        intervals = [row.get(f"{name}_interval", "").replace(" to ", "--") for name in scores]
        if any(intervals):
            cells = (rf"\footnotesize ({text})" if text else "" for text in intervals)
            lines.append(" & & " + " & ".join(cells) + r" & \\")
    return "\n".join([*lines, r"\end{tabular}"])


def _tex(text: str) -> str:
    """Text with LaTeX's special characters escaped."""
    named = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--"}
    return "".join(named.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)
