"""report.html: one file that opens offline."""

import base64
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import jinja2
import pandas as pd

COLUMNS = {
    "arm": "arm",
    "n_train": "images",
    "accuracy": "accuracy",
    "f1": "F1",
    "auc": "AUC",
    "ppv": "PPV",
    "recall": "recall",
    "distance": "Fréchet",
}


def page(*, table: pd.DataFrame, fidelity: pd.DataFrame, settings: str, grid: Path, facts: Mapping[str, str]) -> str:
    """The report as HTML: table, grid, fidelity, settings, and what they were measured on."""
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        resources.files("sonosynth.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    )
    return template.render(
        columns=COLUMNS,
        rows=table.to_dict("records"),
        seeds=int(table["seeds"].iloc[0]),
        distances=distances(fidelity),
        fidelity=fidelity.to_dict("records"),
        settings=settings,
        grid=base64.b64encode(grid.read_bytes()).decode(),
        facts=facts,
        verdict=verdict(table),
    )


def distances(fidelity: pd.DataFrame) -> dict[str, str]:
    """Arm to the Fréchet distance of its set, as text."""
    known = fidelity[fidelity["metric"] == "frechet"].dropna(subset=["value"])
    return {f"real+{name}": f"{value:.3g}" for name, value in zip(known["set"], known["value"], strict=True)}


def verdict(table: pd.DataFrame) -> str:
    """One sentence that reads the table no further than it goes."""
    real = table[table["arm"] == "real"].iloc[0]
    others = table[table["arm"] != "real"]
    best = others.iloc[int(others["accuracy"].to_numpy().argmax())]
    n, gain = int(real["n_validation"]), float(best["accuracy"] - real["accuracy"])
    seeds = int(real["seeds"])
    spread = f", whose accuracies differ by {real['accuracy_sd']:.3f} (sd) on real images alone" if seeds > 1 else ""
    return (
        f"Best synthetic arm by accuracy: {best['arm']}, {gain:+.3f} against real images alone ({gain * n:+.1f} of {n}"
        f" validation images; mean of {seeds} seed{'s' * (seeds > 1)}{spread}). The best of several arms is picked"
        " after the fact and no significance test was made: by itself this is no evidence of a difference."
    )
