"""The fourth stage: copies, predictions of every arm and seed, the fidelity of the sets, and the tables of it all."""

import math
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sonosynth import cohort, progress, seeding, store
from sonosynth.cohort.splitting import TRAIN, VALIDATION, folds
from sonosynth.config import REFERENCE, SETS, Arm
from sonosynth.errors import UserError
from sonosynth.stages.repeat import Repeat

EVALUATION = "evaluation"
MEMORISATION = f"{EVALUATION}/memorisation.csv"
PREDICTIONS = f"{EVALUATION}/predictions.csv"
FIDELITY, ULTRASOUND = f"{EVALUATION}/fidelity.csv", f"{EVALUATION}/ultrasound.csv"
TABLES = [f"{EVALUATION}/{name}.csv" for name in ("table", "differences", "verdicts")]


def _looked_at(repeat: Repeat) -> dict[str, Any]:
    """What copies and fidelity depend on: the images on all sides, and how they are seen."""
    from sonosynth.evaluation import features

    return {
        "train": list(repeat.rows(TRAIN)["sha256"]),
        "validation": list(repeat.rows(VALIDATION)["sha256"]),
        "crossing": repeat.crossing,
        "sets": repeat.set_digests(),
        "resolution": repeat.settings.resolution,
        "features": features.identity(repeat.features),
    }


def _extractor(repeat: Repeat) -> Callable[[np.ndarray], np.ndarray]:
    """The feature network; what it told of an image is kept for all stages and repeats of the study."""
    from sonosynth.evaluation import features

    return features.remembering(repeat.features, repeat.root / ".parts" / "features")


def memorise(repeat: Repeat) -> None:
    """memorisation.csv: the nearest training image of every synthetic one, and whether that is a copy.

    The thresholds were set on the rows of the set "real validation" that have no near-duplicate in the training set.
    """
    from sonosynth.evaluation import memorisation

    train, held_out = repeat.rows(TRAIN), repeat.rows(VALIDATION)

    def make(work: Path) -> None:
        extract, real = _extractor(repeat), repeat.images(train)
        with progress.task("looking for copies", 1 + len(SETS)) as bar:
            known = memorisation.nearest(repeat.images(held_out), real, extract)
            # A twin of a training image is as near as a copy, and would raise the thresholds above all of them.
            twins = {id for pair in repeat.crossing for id in pair}
            limits = memorisation.thresholds(known, ~held_out["id"].isin(twins).to_numpy())
            bar.advance()
            tables = [_nearest_rows("real validation", list(held_out["id"]), known, limits, train)]
            for name in SETS:
                rows, images = repeat.set(name)
                if len(images):
                    found = memorisation.nearest(images, real, extract)
                    tables.append(_nearest_rows(name, list(rows["file_name"]), found, limits, train))
                bar.advance()
        store.write_text(work / MEMORISATION, pd.concat(tables).to_csv(index=False))

    repeat.run.stage("memorisation", _looked_at(repeat), [MEMORISATION], make)


def _nearest_rows(name: str, files: Sequence[str], found: Any, limits: Any, train: pd.DataFrame) -> pd.DataFrame:
    from sonosynth.evaluation import memorisation

    ids = train["id"].to_numpy()
    return pd.DataFrame(
        {
            "set": name,
            "file_name": files,
            "nearest": ids[found.by_correlation],
            "correlation": found.correlation.round(4),
            "nearest_by_features": ids[found.by_cosine],
            "cosine": found.cosine.round(4),
            "copy": memorisation.flagged(found, limits),
        }
    )


def copies(repeat: Repeat) -> pd.DataFrame:
    """The rows of memorisation.csv."""
    file = repeat.run.root / MEMORISATION
    repeat.needs(file, "evaluate")
    return pd.read_csv(file, dtype={"file_name": str, "nearest": str, "nearest_by_features": str})


def _kept(repeat: Repeat, name: str) -> np.ndarray:
    """Which rows (N,) of a synthetic set are trained on: no flawed ones, nor copies where the settings ask for that."""
    rows = repeat.set_rows(name)
    kept = (rows["flaw"] == "").to_numpy()
    if repeat.settings.memorisation.drop:
        found = copies(repeat)
        kept = kept & ~rows["file_name"].isin(found[found["copy"] & (found["set"] == name)]["file_name"]).to_numpy()
    return kept


def classify(repeat: Repeat) -> list[Path]:
    """Predictions of every arm and seed of one repeat; returns their files."""
    from sonosynth.evaluation import classifier

    s = repeat.settings.classifier
    train, validation = repeat.rows(TRAIN), repeat.rows(VALIDATION)
    classes = repeat.classes
    ablation = repeat.settings.ablation
    added = {"none": (np.empty((0, s.resolution, s.resolution), np.uint8), np.empty(0, int))}
    for used in sorted({arm.synthetic for arm in ablation.values()} - {"none"}):
        (rows, made), kept = repeat.set(used), _kept(repeat, used)
        added[used] = cohort.resize(made[kept], s.resolution), rows["label"][kept].map(classes.index).to_numpy(int)
    inner = _inner(repeat) if s.selection == "inner" else np.zeros(len(train), bool)
    largest = (~inner).sum() + max(len(added[arm.synthetic][1]) for arm in ablation.values())
    epoch = math.ceil(largest / s.batch)
    recipe = classifier.Recipe(
        model=s.model, classes=len(classes), steps=s.epochs * epoch, batch=s.batch, learning_rate=s.learning_rate,
        # fp16 has no range for plain training; bf16 has
        precision="bf16" if repeat.precision == "bf16" else "fp32",
    )  # fmt: skip
    common = {
        "train": sorted(zip(train["sha256"], train["label"], strict=True)),
        "validation": sorted(zip(validation["sha256"], validation["label"], strict=True)),
        "classifier": s.model_dump(exclude={"seeds"}),
        "model": classifier.identity(s.model),
        "resolution": repeat.settings.resolution,
        "precision": recipe.precision,
        "steps": recipe.steps,
        "drop": repeat.settings.memorisation.drop,
        "number": repeat.draw.number,
    }
    digests = repeat.set_digests() | {"none": ""}
    # Real images take the same way as synthetic ones: to the study's resolution, then to the classifier's.
    real, scored = (cohort.resize(repeat.images(side), s.resolution) for side in (train, validation))
    labels, truth = (side["label"].map(classes.index).to_numpy() for side in (train, validation))
    select = None
    if s.selection != "last":
        looked_at, known = (scored, truth) if s.selection == "validation" else (real[inner], labels[inner])
        select = classifier.Selection(looked_at, known, every=epoch)
    jobs = [(name, arm, seed) for name, arm in ablation.items() for seed in s.seeds]
    parts = [f".parts/predictions/{name}/{seed}.csv" for name, _, seed in jobs]
    stages = [f"classify-{name}-{seed}" for name, _, seed in jobs]
    inputs = [
        {**common, "arm": arm.model_dump(), "set": digests[arm.synthetic], "seed": [repeat.seed, seed]}
        for _, arm, seed in jobs
    ]
    wanted = [i for i in range(len(jobs)) if not repeat.run.finished(stages[i], inputs[i], [parts[i]])]

    def training(arm: Arm, seed: int) -> Callable[[], np.ndarray]:
        images, codes = added[arm.synthetic]
        return partial(
            classifier.predict, np.concatenate([real[~inner], images]), np.append(labels[~inner], codes), scored,
            recipe=recipe, seed=seeding.derive(repeat.seed, "classifier", seed),
            remedy=classifier.Remedy(arm.balance, arm.augmentation, arm.mixup), select=select,
        )  # fmt: skip

    def write(chances: np.ndarray, name: str, seed: int, part: str, work: Path) -> None:
        told = pd.DataFrame(
            {
                "arm": name, "repeat": repeat.draw.number, "seed": seed, "id": validation["id"],
                "label": validation["label"],
            }
        )  # fmt: skip
        for k, label in enumerate(classes):
            told[f"p_{label}"] = chances[:, k]
        store.write_text(work / part, told.to_csv(index=False))

    trainings = classifier.predict_all(training(*jobs[i][1:]) for i in wanted)
    with progress.task("training classifiers", len(jobs), len(jobs) - len(wanted)) as bar, closing(trainings) as found:
        for i, (chances, seconds) in zip(wanted, found, strict=True):
            name, _, seed = jobs[i]
            make = partial(write, chances, name, seed, parts[i])
            repeat.run.stage(stages[i], inputs[i], [parts[i]], make, before=seconds)
            bar.advance()
    return [repeat.run.root / part for part in parts]


def _inner(repeat: Repeat) -> np.ndarray:
    """Which training images (N,) are held back to choose the epoch: a fifth of each class, groups whole."""
    train = repeat.rows(TRAIN)
    labels, hashes, groups = (list(train[name]) for name in ("label", "sha256", "group"))
    try:
        numbers = folds(labels, hashes, groups, 5, seeding.derive(repeat.draw.split_seed, "inner"))
    except ValueError as error:
        raise UserError(
            f"classifier.selection=inner: a fifth of the training images can't be held back, {error}",
            "five training images or groups of every class",
            "classifier.selection=last",
        ) from None
    return np.array(numbers) == 0


def gather(first: Repeat, files: Sequence[Path]) -> None:
    """predictions.csv of the study: those of all arms, repeats and seeds."""

    def make(work: Path) -> None:
        # As text, so that no digit of a probability changes on the way.
        tables = [pd.read_csv(file, dtype=str, keep_default_na=False) for file in files]
        store.write_text(work / PREDICTIONS, pd.concat(tables).to_csv(index=False))

    names = [file.relative_to(first.run.root).as_posix() for file in files]
    first.run.stage("predictions", {"parts": [store.digest(f) for f in files], "order": names}, [PREDICTIONS], make)


def fidelity(repeat: Repeat) -> None:
    """fidelity.csv: every set, in all and class by class, by features and by what ultrasound looks like.

    ultrasound.csv has the latter of every image, real ones first.
    """
    from sonosynth.evaluation import comparison, frechet_distance, ultrasound

    def make(work: Path) -> None:
        extract = _extractor(repeat)
        sets = {name: repeat.set(name) for name in SETS}
        everything = ("", *repeat.classes)
        rows: list[dict[str, Any]] = []

        def described(images: np.ndarray) -> dict[str, np.ndarray]:
            return ultrasound.measures(images) | {"features": extract(images)} if len(images) else {}

        real_rows, held_out_rows = (repeat.rows(x) for x in (TRAIN, VALIDATION))
        real, held_out = (described(repeat.images(x)) for x in (real_rows, held_out_rows))
        both = np.concatenate([real["features"], held_out["features"]])
        real_labels, held_out_labels = (table["label"].to_numpy() for table in (real_rows, held_out_rows))
        single = [_single("real training", real_rows["id"], real_labels, real)]
        single.append(_single("real validation", held_out_rows["id"], held_out_labels, held_out))
        with progress.task("measuring fidelity", len(SETS) * len(everything)) as bar:
            for name, (table, images) in sets.items():
                made = described(images) or {key: values[:0] for key, values in real.items()}
                labels = table["label"].to_numpy(str)
                single.append(_single(name, table["file_name"], labels, made))
                for label in everything:
                    a, b, c = (
                        {key: values[(of == label) | (label == "")] for key, values in known.items()}
                        for known, of in ((real, real_labels), (made, labels), (held_out, held_out_labels))
                    )
                    for space, measure in (
                        (repeat.features, comparison.by_features),
                        ("ultrasound", comparison.by_ultrasound),
                    ):
                        rng = seeding.numpy_generator(0, "fidelity", name, label, space)
                        about = {"set": name, "class": label or "all", "features": space, "protocol": "training images"}
                        rows += [about | row for row in comparison.compare(measure, a, b, c, rng)]
                    bar.advance()
                # The original scripts compare all real images with a mix of the same and the synthetic ones.
                mix = np.concatenate([both, made["features"]])
                rows.append(
                    {
                        "set": name, "class": "all", "features": repeat.features, "protocol": "scripts' mix",
                        "metric": "frechet", "value": frechet_distance(both, mix),
                        "n_real": len(both), "n_synthetic": len(mix),
                    }
                )  # fmt: skip
        store.write_text(work / FIDELITY, pd.DataFrame(rows).to_csv(index=False))
        store.write_text(work / ULTRASOUND, pd.concat(single).to_csv(index=False))

    repeat.run.stage("fidelity", _looked_at(repeat), [FIDELITY, ULTRASOUND], make)


def _single(name: str, images: pd.Series, labels: np.ndarray, found: dict[str, np.ndarray]) -> pd.DataFrame:
    """Rows of ultrasound.csv: the measures that are one number an image."""
    numbers = {key: values.round(4) for key, values in found.items() if values.ndim == 1}
    return pd.DataFrame({"set": name, "image": images.to_numpy(), "label": labels, **numbers})


def tables(first: Repeat, repeats: Sequence[Repeat]) -> None:
    """table.csv, differences.csv and verdicts.csv, from predictions.csv alone."""
    from sonosynth.evaluation import contrasts, scores

    file = first.run.root / PREDICTIONS
    first.needs(file, "evaluate")
    ablation = first.settings.ablation
    used = {name: [int(_kept(r, name).sum()) for r in repeats] for name in SETS} | {"none": [0]}
    n_real = float(np.mean([len(r.rows(TRAIN)) for r in repeats]))
    n_train = {name: round(n_real + float(np.mean(used[arm.synthetic]))) for name, arm in ablation.items()}
    refused = {name: reason for name, arm in ablation.items() if (reason := _refusal(repeats, arm.synthetic))}
    groups = {str(i): str(g) for r in repeats for i, g in zip(r.table["id"], r.table["group"], strict=True) if g}
    folded = first.settings.repeats.folds is not None
    share = len(first.rows(VALIDATION)) / len(first.rows(TRAIN)) if folded else None

    def make(work: Path) -> None:
        predictions = pd.read_csv(file, dtype={"id": str, "label": str, "arm": str}, keep_default_na=False)
        present = set(predictions["arm"])
        scored = {
            arm: scores.score_arm(predictions[predictions["arm"] == arm], groups) if arm in present else None
            for arm in ablation
        }
        table = scores.table(scored, n_train, predictions["id"].nunique())
        differences = contrasts.differences(predictions, scored, REFERENCE, share)
        verdicts = contrasts.verdicts(differences, scored, REFERENCE, refused)
        for name, rows in zip(TABLES, (table, differences, pd.DataFrame(verdicts)), strict=True):
            store.write_text(work / name, rows.to_csv(index=False))

    inputs = {
        "predictions": store.digest(file),
        "n_train": n_train,
        "refused": refused,
        "groups": groups,
        "share": share,
    }
    first.run.stage("table", inputs, TABLES, make, quiet=True)


def _refusal(repeats: Sequence[Repeat], name: str) -> str:
    """Why a set's scores must not be believed, or ""."""
    from sonosynth.evaluation.memorisation import CHANCE
    from sonosynth.evaluation.significance import wilson

    if name == "none":
        return ""
    if repeats[0].leaks:
        return "its generator has seen the validation images (adapt.on=all)"
    found = pd.concat([copies(r) for r in repeats])
    flags = found[found["set"] == name]["copy"]
    if len(flags) and wilson(int(flags.sum()), len(flags))[0] > 2 * CHANCE:
        return f"{flags.mean():.0%} of its images copy a training image ({CHANCE:.0%} of other real images would)"
    return ""
