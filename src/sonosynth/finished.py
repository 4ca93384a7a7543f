"""A finished run, read from its own files: neither its cohort nor its models have to be there."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sonosynth import changes, disk, records, store, study_file
from sonosynth.artefacts import Artefact, CohortImages, Split, SyntheticSet
from sonosynth.cohort.split import independent
from sonosynth.errors import UserError
from sonosynth.jobs import Made
from sonosynth.report.jobs import TEXT
from sonosynth.report.tables import unseen
from sonosynth.settings import Settings
from sonosynth.store import Run

EVALUATION = "evaluation"  # the folder of tables


class Images(NamedTuple):
    """Images and what is known of them.

    rows: one per image, with `label` and further columns. pixels: (N, H, W) uint8 grey, in the same order.
    """

    rows: pd.DataFrame
    pixels: np.ndarray


@dataclass(frozen=True)
class FinishedRun:
    """A finished run in the folder `root`. study: the values of its study.yaml.

    Tables are the CSV files of the run, checked against what the run wrote. Names of arms, sets and classes are
    text; an empty cell of text is "", of numbers NaN. What isn't there, or was altered, raises `UserError`.
    """

    root: Path
    study: dict[str, Any]

    @cached_property
    def settings(self) -> Settings:
        """The settings of the study."""
        return study_file.settings_of(self.study, str(self.root / store.STUDY))

    @cached_property
    def cohort(self) -> pd.DataFrame:
        """cohort.csv: one row per image of the cohort, with its side of the first split; every column is text."""
        return Split(self.made("split")).rows

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """predictions.csv: one row per arm, training and image, with a column `p_<class>` for each class."""
        return self.read("predictions")

    @cached_property
    def table(self) -> pd.DataFrame:
        """table.csv: one row per arm, with each score, its standard deviation over runs and its 95% interval."""
        return self.read("table")

    @cached_property
    def classes(self) -> pd.DataFrame:
        """classes.csv: one row per arm, class and metric."""
        return self.read("classes")

    @cached_property
    def verdicts(self) -> pd.DataFrame:
        """verdicts.csv: one row per arm and contrast, with difference, interval, p and finding."""
        return self.read("verdicts")

    @cached_property
    def fidelity(self) -> pd.DataFrame:
        """fidelity.csv: one row per set, class, features and metric, with interval and floor."""
        return self.read("fidelity")

    @cached_property
    def memorisation(self) -> pd.DataFrame:
        """memorisation.csv: the training image nearest to each synthetic one, and whether that is a copy."""
        return self.read("memorisation")

    def read(self, name: str) -> pd.DataFrame:
        """A table of the folder evaluation/, by the name of its file without .csv."""
        tables = {}
        for job, record in Run(self.root).recorded().items():
            for role, place in record.inputs["makes"].items():
                if (path := Path(place)).parent == Path(EVALUATION) and path.suffix == ".csv":
                    tables[path.stem] = (job, role)
        if name not in tables:
            raise UserError(
                f"{self.root}: has no table {name}",
                f"one of {', '.join(sorted(tables))}",
                "docs/report.md says which settings make which tables",
            )
        job, role = tables[name]
        return Artefact(self.made(job)).table(role, *TEXT)

    @cached_property
    def real(self) -> Images:
        """The images of the cohort that were used, at the study's resolution; rows as in cohort.csv.

        Images that are excluded or set aside (`split.sealed`) are not among them.
        """
        rows = Split(self.made("split")).used.reset_index(drop=True)
        return Images(rows, np.asarray(self._images.pixels[self._images.rows(rows["id"])]))

    def synthetic(self, name: str) -> Images:
        """The images of a set, of the first split and generator; rows as in its metadata.csv.

        Rows with a `flaw` show nothing new: no classifier was trained on them.
        """
        jobs = Run(self.root).recorded()
        if f"synthetic/{name}" not in jobs:
            names = [job.removeprefix("synthetic/") for job in sorted(jobs) if job.startswith("synthetic/")]
            raise UserError(f"{self.root}: has no set {name}", f"one of {', '.join(names) or '(none)'}")
        made = SyntheticSet(self.made(f"synthetic/{name}"))
        return Images(made.rows, np.asarray(made.pixels))

    @cached_property
    def judged(self) -> pd.DataFrame:
        """The predictions that verdicts rest on: without near-duplicates of training images."""
        record = records.read(Run(self.root).record_path("tables"))
        try:
            assert record is not None
            blocks = [(int(draw), int(split)) for draw, split in record.inputs["settings"]["blocks"]]
        except (KeyError, TypeError, ValueError):
            raise UserError(f"{self.root}: was made by another version of sonosynth", "runs of this version") from None
        splits = [Split(self.made(f"repeats/{n}/split" if n else "split")) for n in range(len(blocks))]
        return unseen(self.predictions, splits, blocks, self._images.twins)

    @cached_property
    def groups(self) -> dict[str, str]:
        """The group (patient, near-duplicates) of each image that does not stand alone, by id."""
        return independent(self._images.images, self._images.twins)

    @cached_property
    def _images(self) -> CohortImages:
        """The images of the cohort as they were read."""
        return CohortImages(self.made("cohort"))

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


def open_run(path: str | Path) -> FinishedRun:
    """The finished run in a folder, to read its tables, images and settings; nothing is written.

    Raises:
        UserError: if it is no run, or isn't finished, or is being changed.
    """
    root = Path(path)
    run = Run(root)
    study = changes.former(run) if root.is_dir() else None
    if study is None:
        raise UserError(f"{root}: is not a run folder", fix="start one: sonosynth run COHORT --out RUN")
    if run.agreed or records.read(run.record_path("tables")) is None:
        state = "is being changed to other settings" if run.agreed else "is not finished"
        raise UserError(f"{root}: {state}", "finished runs", f"finish it: sonosynth report {root}")
    return FinishedRun(root, study)
