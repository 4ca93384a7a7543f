"""The last stage: the figures, the page, and the table in the terminal."""

import shlex
from pathlib import Path

import numpy as np
import pandas as pd

from sonosynth import progress, report, store, synthesis
from sonosynth.cohort.splitting import TRAIN, VALIDATION
from sonosynth.config import REFERENCE, SETS, read_yaml
from sonosynth.evaluation.contrasts import smallest_visible
from sonosynth.report import charts
from sonosynth.stages.repeat import MODELS, SAMPLES, SETS_FOLDER, Repeat

INPUTS = ("table", "differences", "verdicts", "fidelity", "memorisation", "predictions")
SHOWN = 8  # pairs in a row


def draw(repeat: Repeat) -> None:
    """figures/, report.html, and the table in the terminal, of the study whose first repeat this is."""
    root = repeat.run.root
    files = {name: root / "evaluation" / f"{name}.csv" for name in (*INPUTS, "ultrasound")}
    for file in files.values():
        repeat.needs(file, "evaluate")
    text = {"file_name": str, "nearest": str, "id": str, "label": str}
    found = {name: pd.read_csv(files[name], dtype=text) for name in INPUTS}
    facts = _facts(repeat)
    smallest = smallest_visible(int(found["table"]["n_validation"].max()), len(found["verdicts"]))
    used = {name: arm.synthetic for name, arm in repeat.settings.ablation.items() if arm.synthetic != "none"}
    results = report.Results(**found, facts=facts, sets=used, smallest=smallest)

    def make(work: Path) -> None:
        real = repeat.images(repeat.rows(TRAIN))
        figures = {
            "grid": _grid(repeat, real),
            "balance": charts.balance(_balance(repeat)),
            "forest": charts.forest(results.differences, REFERENCE),
            "confusion": charts.confusion(results.predictions),
            "roc": charts.roc(results.predictions),
            "calibration": charts.calibration(results.predictions),
            "fidelity": charts.fidelity(results.fidelity),
            "speckle": charts.speckle(pd.read_csv(files["ultrasound"])),
            "refinement": charts.refinement(_refined(repeat)),
            "closest": charts.copies(_closest(repeat, found["memorisation"], real)),
            "losses": charts.losses({m: pd.read_csv(root / "adapters" / m / "losses.csv") for m in MODELS}),
        }
        report.save(figures, work / "figures")
        store.write_text(work / "report.html", report.page(results, _provenance(repeat), work / "figures"))

    inputs = {
        "tables": [store.digest(file) for file in files.values()],
        "sets": [store.digest(root / place / name) for place in (SETS_FOLDER, SAMPLES) for name in SETS],
        "adapters": [store.digest(root / "adapters" / model) for model in MODELS],
        "settings": store.digest(root / "study.yaml"),
        "facts": facts,
    }
    repeat.run.stage("report", inputs, ["figures", "report.html"], make)
    report.show(results)
    progress.say(f"report: {root / 'report.html'}")


def _grid(repeat: Repeat, real: np.ndarray) -> report.Figure:
    pictures = {"real": (list(repeat.rows(TRAIN)["label"]), real)}
    samples: set[str] = set()
    for name in SETS:
        parts = [repeat.set(name), synthesis.load_set(repeat.run.root / SAMPLES / name)]
        samples |= set(parts[1][0]["label"])
        images = np.concatenate([part for _, part in parts if len(part)])
        pictures[name] = ([label for rows, _ in parts for label in rows["label"]], images)
    return report.grid(pictures, repeat.classes, samples)


def _balance(repeat: Repeat) -> pd.DataFrame:
    real, made = repeat.rows(TRAIN)["label"], repeat.set_rows(SETS[0])["label"]
    rows = [(label, int((real == label).sum()), int((made == label).sum())) for label in repeat.classes]
    return pd.DataFrame(rows, columns=["label", "real", "synthetic"])


def _refined(repeat: Repeat) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Images of the first set spread evenly over it, and their refinement."""
    name, folder = SETS[0], repeat.run.root / SETS_FOLDER
    rows = repeat.set_rows(name)
    chosen = rows.iloc[np.unique(np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).astype(int))]
    before, after = (synthesis.load_images(folder / x, list(chosen["file_name"])) for x in (name, f"{name}+img2img"))
    return list(zip(chosen["label"], before, after, strict=True))


def _closest(repeat: Repeat, nearest: pd.DataFrame, real: np.ndarray) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """The synthetic images nearest to a training image: what it is, it, and that training image."""
    rows = nearest[nearest["set"].isin(SETS)].sort_values("correlation", ascending=False, kind="stable").head(SHOWN)
    place = {id: i for i, id in enumerate(repeat.rows(TRAIN)["id"])}
    pairs = []
    for name, file, id, correlation, copy in rows[["set", "file_name", "nearest", "correlation", "copy"]].to_numpy():
        image = synthesis.load_images(repeat.run.root / SETS_FOLDER / name, [file])[0]
        pairs.append((f"{name}\n{correlation:.2f}{', flagged' if copy else ''}", image, real[place[id]]))
    return pairs


def _provenance(repeat: Repeat) -> report.Provenance:
    root = repeat.run.root
    study = root / "study.yaml"
    hashes = {"base": repeat.base_digest, "cohort.csv (hashes of all images)": store.sha256(root / "cohort.csv")}
    hashes |= {f"adapters/{model}": store.digest(root / "adapters" / model) for model in MODELS}
    hashes |= {f"{SETS_FOLDER}/{name}": digest for name, digest in repeat.set_digests().items()}
    return report.Provenance(
        command=shlex.join(["sonosynth", "run", str(repeat.path), "--out", "RUN", "--config", str(study.resolve())]),
        settings=study.read_text(encoding="utf-8"),
        values=read_yaml(study),
        hashes=hashes,
        stages=repeat.run.finished_stages(),
    )


def _facts(repeat: Repeat) -> dict[str, str]:
    """What the scores were measured on, in words; printed beside them everywhere."""
    from sonosynth.evaluation import features

    s, train, validation = repeat.settings, repeat.rows(TRAIN), repeat.rows(VALIDATION)
    simulated = (repeat.cohort_root / "SIMULATED.txt").exists()
    base = "the embedded small model, pretrained on simulated images" if s.base == "embedded" else s.base
    twins, crossing = repeat.twins, len(repeat.crossing)
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
    made = {name: repeat.set_rows(name) for name in SETS}
    again = {name: int((rows["attempts"] > 1).sum()) for name, rows in made.items()}
    if any(again.values()):
        useless = {name: int((rows["flaw"] != "").sum()) for name, rows in made.items()}
        facts["useless images"] = "; ".join(
            f"{name}: {n} made again since they showed nothing new, {useless[name]} stay so and are not trained on"
            for name, n in again.items() if n
        )  # fmt: skip
    if repeat.leaks:
        facts["LEAK"] = "the generator was trained on the validation images, too (adapt.on=all): no score is evidence"
    return facts
