"""Finished runs side by side, from their files alone: neither their cohorts nor their models have to be there."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from sonosynth import changes, disk, records
from sonosynth.artefacts import Artefact, CohortImages, Split
from sonosynth.cohort.split import independent
from sonosynth.errors import UserError
from sonosynth.evidence import between
from sonosynth.evidence.between import Contrast
from sonosynth.evidence.judging import Finding
from sonosynth.evidence.scores import PRIMARY, class_names
from sonosynth.fidelity.jobs import ALL, TRAINING
from sonosynth.jobs import Made
from sonosynth.report.jobs import TEXT
from sonosynth.report.side_by_side import Against, SideBySide, Untestable
from sonosynth.report.tables import unseen
from sonosynth.store import Run

SCORES = [f"{name}{end}" for name in ("f1", "auc") for end in ("", "_low", "_high")]
DISTANCE = ["set", "features", "matched", "floor", "n_matched"]


@dataclass(frozen=True)
class Finished:
    """A run in the folder `root`, as its records tell. study: the values of study.yaml."""

    root: Path
    study: dict[str, Any]

    @classmethod
    def at(cls, root: Path) -> "Finished":
        """The run at a place.

        Raises:
            UserError: if it is none, or isn't finished, or is being changed.
        """
        run = Run(root)
        study = changes.former(run) if root.is_dir() else None
        if study is None:
            raise UserError(f"{root}: is not a run folder", fix="start one: sonosynth run COHORT --out RUN")
        if run.agreed or records.read(run.record_path("tables")) is None:
            state = "is being changed to other settings" if run.agreed else "is not finished"
            raise UserError(f"{root}: {state}", "finished runs", f"finish it: sonosynth report {root}")
        return cls(root, study)

    def made(self, job: str) -> Made:
        """What a job made: whether today's code would make the same is not asked.

        Raises:
            UserError: if it has no record, or a file is missing or altered.
        """
        record = records.read(Run(self.root).record_path(job))
        if record is None:
            raise UserError(f"{self.root}: has no record of the job {job}", fix=f"sonosynth report {self.root}")
        for name, place in record.places.items():
            path = self.root / place
            disk.check_regular(self.root, path)
            if not path.is_file() or disk.sha256(path) != record.files[name]:
                raise UserError(
                    f"{path}: is missing, or not what the job {job} wrote",
                    "files of a run as they were written",
                    "restore it",
                )
        places = {role: self.root / place for role, place in record.inputs["makes"].items()}
        return Made(job, places, record.files, disk.combined(record.files), record.seconds, record.peak_mb)

    @cached_property
    def tables(self) -> Artefact:
        """The tables of the evaluation."""
        return Artefact(self.made("tables"))

    @cached_property
    def _cohort(self) -> CohortImages:
        return CohortImages(self.made("cohort"))

    @cached_property
    def _names(self) -> dict[str, str]:
        """A name of each image, by its id, that it has in every run: SHA-256, label, and a number for exact copies."""
        rows = self._cohort.images
        copies = rows.groupby(["sha256", "label"]).cumcount().astype(str)
        return dict(zip(rows["id"], rows["sha256"] + " " + rows["label"] + " " + copies, strict=True))

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """Those that were judged (near-duplicates of training images left out); `id` is an image's name in every run.

        Raises:
            UserError: if the run's record of its blocks can't be read.
        """
        record = records.read(Run(self.root).record_path("tables"))
        try:
            assert record is not None
            blocks = [(int(draw), int(split)) for draw, split in record.inputs["settings"]["blocks"]]
        except (KeyError, TypeError, ValueError):
            raise UserError(f"{self.root}: was made by another version of sonosynth", "runs of this version") from None
        splits = [Split(self.made(f"repeats/{n}/split" if n else "split")) for n in range(len(blocks))]
        every = Artefact(self.made("predictions")).table("table", *TEXT)
        found = unseen(every, splits, blocks, self._cohort.twins)
        return found.assign(id=found["id"].map(self._names))

    @cached_property
    def groups(self) -> dict[str, str]:
        """The group of each image that does not stand alone, by its name in every run."""
        units = independent(self._cohort.images, self._cohort.twins)
        return {self._names[image]: self._names[unit] for image, unit in units.items()}

    @cached_property
    def findings(self) -> dict[str, str]:
        """What the run's own verdict says of each arm."""
        rows = self.tables.table("verdicts", *TEXT)
        decisive = rows[(rows["metric"] == PRIMARY.name) & (rows["class"] == PRIMARY.of)]
        return dict(zip(decisive["arm"], decisive["finding"], strict=True))

    def arms(self) -> list[dict[Any, Any]]:
        """The scores of each arm, with intervals, and its finding."""
        rows = self.tables.table("table", *TEXT)
        rows = rows.assign(finding=[self.findings.get(arm, "") for arm in rows["arm"]])
        return rows.reindex(columns=["arm", "n_train", *SCORES, "finding"]).to_dict("records")

    def distances(self) -> list[dict[Any, Any]]:
        """The Fréchet distance of each set on the first features, beside that of real images, at equal counts."""
        if records.read(Run(self.root).record_path("fidelity")) is None:
            return []
        rows = Artefact(self.made("fidelity")).table("table", *TEXT)
        rows = rows[(rows["metric"] == "frechet") & (rows["class"] == ALL) & (rows["protocol"] == TRAINING)]
        return rows[rows["features"] == rows["features"].iloc[:1].squeeze()][DISTANCE].to_dict("records")


def side_by_side(roots: Sequence[Path]) -> SideBySide:
    """Several runs: the settings that differ, arms, distances, and tests of all others against the first.

    Raises:
        UserError: unless there are two or more, all finished, each another one.
    """
    if len({root.resolve() for root in roots}) < max(2, len(roots)):
        raise UserError("compare: needs two or more different runs", fix="sonosynth compare RUN RUN")
    runs = [Finished.at(root) for root in roots]
    resolved = [run.study.get("resolved", {}) for run in runs]
    machines = [{**one, "base": one.get("base", {}).get("digest")} for one in resolved]
    differences = [*changes.differing(*(run.study for run in runs)), *changes.differing(*machines, name="resolved")]
    names = [str(root) for root in roots]
    settings = {
        one.name: {name: x for name, x in zip(names, one.values, strict=True) if x is not changes.ABSENT}
        for one in differences
    }
    prepared = [_prepared(runs[0], run) for run in runs[1:]]
    every = between.outcomes([contrast for _, _, contrasts in prepared for contrast in contrasts])
    tests, start = [], 0
    for run, (why, about, contrasts) in zip(names[1:], prepared, strict=True):
        rows = every.iloc[start : start + len(contrasts)]
        tests.append(Against(run, names[0], why, *about, rows.to_dict("records")))
        start += len(contrasts)
    return SideBySide(
        tuple(names), settings, {name: run.arms() for name, run in zip(names, runs, strict=True)},
        {name: run.distances() for name, run in zip(names, runs, strict=True)}, tuple(tests),
    )  # fmt: skip


def _prepared(first: Finished, second: Finished) -> tuple[Untestable | None, tuple[int, int], list[Contrast]]:
    """Why no test of two runs is possible, or None; how many images and blocks they have in common; the contrasts."""
    one, other = first.predictions, second.predictions
    shared, draws = {*one["id"]} & {*other["id"]}, between.common_draws(one, other)
    common = one[one["draw"].isin(draws)]
    refused = {arm for run in (first, second) for arm, x in run.findings.items() if x == Finding.REFUSED}
    arms = [arm for arm in dict.fromkeys(other["arm"]) if arm in {*one["arm"]} - refused]
    obstacles = {
        Untestable.NO_IMAGES: not shared,
        Untestable.OTHER_CLASSES: class_names(one) != class_names(other),
        Untestable.OTHER_BLOCKS: not draws,
        Untestable.OTHER_GROUPS: _units(first, common) != _units(second, common),
        Untestable.CHOSEN: any(run.study["classifier"]["selection"] == "validation" for run in (first, second)),
        Untestable.NO_ARM: not arms,
    }
    if why := next((reason for reason, holds in obstacles.items() if holds), None):
        return why, (len(shared), 0), []
    in_common = common["id"].nunique(), len(common[["draw", "split"]].drop_duplicates())
    transfer = max(float(run.study["compare"]["transfer"]) for run in (first, second))
    try:
        return None, in_common, between.contrasts(one, other, arms, first.groups, transfer)
    except ValueError:
        return Untestable.UNFINISHED, in_common, []


def _units(run: Finished, rows: pd.DataFrame) -> set[frozenset[str]]:
    """The images of `rows` that are of one group in a run."""
    found: dict[str, set[str]] = {}
    for name in rows["id"].unique():
        found.setdefault(run.groups.get(name, name), set()).add(name)
    return set(map(frozenset, found.values()))
