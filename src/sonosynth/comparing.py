"""Finished runs side by side, from their files alone: neither their cohorts nor their models have to be there."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from sonosynth import changes, records
from sonosynth.errors import UserError
from sonosynth.evidence import between
from sonosynth.evidence.between import Contrast
from sonosynth.evidence.judging import Finding
from sonosynth.evidence.scores import PRIMARY, class_names
from sonosynth.fidelity.jobs import ALL, TRAINING
from sonosynth.finished import FinishedRun, open_run
from sonosynth.report.side_by_side import Against, SideBySide, Untestable
from sonosynth.store import Run

SCORES = [f"{name}{end}" for name in ("f1", "auc") for end in ("", "_low", "_high")]
DISTANCE = ["set", "features", "matched", "floor", "n_matched"]


class Comparable(FinishedRun):
    """A finished run whose images have names that are theirs in every run."""

    @classmethod
    def at(cls, root: Path) -> "Comparable":
        """The run at a place.

        Raises:
            UserError: see `open_run`.
        """
        return cls(root, open_run(root).study)

    @cached_property
    def _names(self) -> dict[str, str]:
        """A name of each image, by its id, that it has in every run: SHA-256, label, and a number for exact copies."""
        rows = self._images.images
        copies = rows.groupby(["sha256", "label"]).cumcount().astype(str)
        return dict(zip(rows["id"], rows["sha256"] + " " + rows["label"] + " " + copies, strict=True))

    @cached_property
    def renamed(self) -> pd.DataFrame:
        """The predictions that verdicts rest on; `id` is an image's name."""
        return self.judged.assign(id=self.judged["id"].map(self._names))

    @cached_property
    def units(self) -> dict[str, str]:
        """The group of each image that does not stand alone, by its name."""
        return {self._names[image]: self._names[unit] for image, unit in self.groups.items()}

    @cached_property
    def findings(self) -> dict[str, str]:
        """What the run's own verdict says of each arm."""
        rows = self.verdicts
        decisive = rows[(rows["metric"] == PRIMARY.name) & (rows["class"] == PRIMARY.of)]
        return dict(zip(decisive["arm"], decisive["finding"], strict=True))

    def arms(self) -> list[dict[Any, Any]]:
        """The scores of each arm, with intervals, and its finding."""
        rows = self.table.assign(finding=[self.findings.get(arm, "") for arm in self.table["arm"]])
        return rows.reindex(columns=["arm", "n_train", *SCORES, "finding"]).to_dict("records")

    def distances(self) -> list[dict[Any, Any]]:
        """The Fréchet distance of each set on the first features, beside that of real images, at equal counts."""
        if records.read(Run(self.root).record_path("fidelity")) is None:
            return []
        rows = self.fidelity
        rows = rows[(rows["metric"] == "frechet") & (rows["class"] == ALL) & (rows["protocol"] == TRAINING)]
        return rows[rows["features"] == rows["features"].iloc[:1].squeeze()][DISTANCE].to_dict("records")


def side_by_side(roots: Sequence[Path]) -> SideBySide:
    """Several runs: the settings that differ, arms, distances, and tests of all others against the first.

    Raises:
        UserError: unless there are two or more, all finished, each another one.
    """
    if len({root.resolve() for root in roots}) < max(2, len(roots)):
        raise UserError("compare: needs two or more different runs", fix="sonosynth compare RUN RUN")
    runs = [Comparable.at(root) for root in roots]
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


def _prepared(first: Comparable, second: Comparable) -> tuple[Untestable | None, tuple[int, int], list[Contrast]]:
    """Why no test of two runs is possible, or None; how many images and blocks they have in common; the contrasts."""
    one, other = first.renamed, second.renamed
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
        return None, in_common, between.contrasts(one, other, arms, first.units, transfer)
    except ValueError:
        return Untestable.UNFINISHED, in_common, []


def _units(run: Comparable, rows: pd.DataFrame) -> set[frozenset[str]]:
    """The images of `rows` that are of one group in a run."""
    found: dict[str, set[str]] = {}
    for name in rows["id"].unique():
        found.setdefault(run.units.get(name, name), set()).add(name)
    return set(map(frozenset, found.values()))
