"""report.html: one file that opens offline."""

import base64
from importlib import resources
from pathlib import Path

import jinja2

from sonosynth.report.results import COLUMNS, SCORES, Results


def page(results: Results, *, settings: str, grid: Path, closest: Path) -> str:
    """The report as HTML: verdicts, tables, pictures, settings, and what they were measured on.

    Args:
        settings: study.yaml as text. grid, closest: PNG files that are put into the page.
    """
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        resources.files("sonosynth.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    )
    copies = results.memorisation.groupby("set", sort=False)["copy"].agg(["sum", "size"]).reset_index()
    return template.render(
        columns=COLUMNS,
        scores=SCORES,
        results=results,
        differences=results.differences.to_dict("records"),
        fidelity=results.fidelity.to_dict("records"),
        copies=copies.to_dict("records"),
        settings=settings,
        grid=_inline(grid),
        closest=_inline(closest),
    )


def _inline(picture: Path) -> str:
    return base64.b64encode(picture.read_bytes()).decode()
