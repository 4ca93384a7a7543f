"""The last stage: the grid, the closest pairs, the page, and the table in the terminal."""

from pathlib import Path

import numpy as np
import pandas as pd

from sonosynth import cohort, progress, report, store, synthesis
from sonosynth.cohort.splitting import TRAIN, VALIDATION
from sonosynth.config import SETS
from sonosynth.evaluation.contrasts import smallest_visible
from sonosynth.stages.repeat import SAMPLES, SETS_FOLDER, Repeat

FIGURES = ("figures/grid.png", "figures/closest.png")
INPUTS = ("table", "differences", "verdicts", "fidelity", "memorisation")
CLOSEST = 8


def draw(repeat: Repeat) -> None:
    """figures/, report.html, and the table in the terminal, of the study whose first repeat this is."""
    files = {name: repeat.run.root / "evaluation" / f"{name}.csv" for name in INPUTS}
    for file in files.values():
        repeat.needs(file, "evaluate")
    sets = {name: [repeat.run.root / place / name for place in (SETS_FOLDER, SAMPLES)] for name in SETS}
    facts = _facts(repeat)
    found = {name: pd.read_csv(file, dtype={"file_name": str, "nearest": str}) for name, file in files.items()}
    smallest = smallest_visible(int(found["table"]["n_validation"].max()), len(found["verdicts"]))
    used = {name: arm.synthetic for name, arm in repeat.settings.ablation.items() if arm.synthetic != "none"}
    results = report.Results(**found, facts=facts, sets=used, smallest=smallest)

    def make(work: Path) -> None:
        train, side = repeat.rows(TRAIN), repeat.settings.resolution
        real = repeat.images(TRAIN, side)
        pictures = {"real": (list(train["label"]), real)}
        samples: set[str] = set()
        for name, folders in sets.items():
            (rows, images), (more_rows, more) = (synthesis.load_set(folder) for folder in folders)
            samples |= set(more_rows["label"])
            images = np.concatenate([part for part in (images, more) if len(part)])
            pictures[name] = ([*rows["label"], *more_rows["label"]], images)
        grid, closest = (work / name for name in FIGURES)
        report.grid(pictures, repeat.classes, samples, grid)
        report.pairs(_closest(repeat, found["memorisation"], real), closest)
        settings = (repeat.run.root / "study.yaml").read_text(encoding="utf-8")
        store.write_text(work / "report.html", report.page(results, settings=settings, grid=grid, closest=closest))

    inputs = {
        "tables": [store.digest(file) for file in files.values()],
        "sets": [store.digest(*folders) for folders in sets.values()],
        "settings": store.digest(repeat.run.root / "study.yaml"),
        "facts": facts,
    }
    repeat.run.stage("report", inputs, [*FIGURES, "report.html"], make)
    report.show(results)
    progress.say(f"report: {repeat.run.root / 'report.html'}")


def _closest(repeat: Repeat, nearest: pd.DataFrame, real: np.ndarray) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """The synthetic images nearest to a training image: what it is, it, and that training image."""
    rows = nearest[nearest["set"].isin(SETS)].sort_values("correlation", ascending=False, kind="stable").head(CLOSEST)
    place = {id: i for i, id in enumerate(repeat.rows(TRAIN)["id"])}
    pairs = []
    for name, file, id, correlation, copy in rows[["set", "file_name", "nearest", "correlation", "copy"]].to_numpy():
        image = synthesis.load_images(repeat.run.root / SETS_FOLDER / name, [file])[0]
        pairs.append((f"{name}\ncorrelation {correlation:.2f}{', flagged' if copy else ''}", image, real[place[id]]))
    return pairs


def _facts(repeat: Repeat) -> dict[str, str]:
    """What the scores were measured on, in words; printed beside them everywhere."""
    from sonosynth.evaluation import features

    s, train, validation = repeat.settings, repeat.rows(TRAIN), repeat.rows(VALIDATION)
    root = repeat.run.root
    simulated = (repeat.path / "SIMULATED.txt").exists()
    base = "the embedded small model, pretrained on simulated images" if s.base == "embedded" else s.base
    twins = pd.read_csv(root / "twins.csv", dtype={"id": str, "twin": str}, keep_default_na=False)
    crossing = cohort.crossing(cohort.load_table(root / "cohort.csv"), twins)
    scored = {
        "last": "last step scored",
        "inner": "best epoch on a fifth of the training images scored",
        "validation": "best epoch ON THE VALIDATION IMAGES scored, as in the original scripts: optimistic for all arms",
    }[s.classifier.selection]
    r = s.repeats
    repeats = f"{r.times} x {r.folds} grouped folds" if r.folds else "one split"
    facts = {
        "cohort": f"{repeat.path.name}: {'simulated' if simulated else 'as given'},"
        f" {len(train)} training and {len(validation)} validation images",
        "near-duplicates": f"{len(twins)} pairs, {crossing} across the split"
        + ("; the validation images are not independent of the training images" if crossing else ""),
        "repeats": f"{repeats}, {r.generators} generator(s) each, {len(s.classifier.seeds)} classifier seed(s)",
        "base": f"{base}, {s.resolution} x {s.resolution} pixels, {repeat.precision}",
        "classifier": f"{s.classifier.model}, {s.classifier.resolution} x {s.classifier.resolution} pixels, {scored}",
        "fidelity": features.describe(repeat.features),
    }
    if repeat.leaks:
        facts["LEAK"] = "the generator was trained on the validation images, too (adapt.on=all): no score is evidence"
    return facts
