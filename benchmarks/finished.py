"""A finished run, as benchmarks read it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sonosynth.cohort.settings import path_of
from sonosynth.finished import open_run
from sonosynth.machine import Machine, resolve
from sonosynth.settings import Settings


@dataclass(frozen=True)
class FinishedRun:
    """A finished run, with what its settings stand for on this machine.

    name: of the cohort. settings: of the study. machine: what they stand for here. rows: those of cohort.csv that are
    used. pixels: their images (N, H, W) uint8. adapters: name to folder.
    """

    name: str
    settings: Settings
    machine: Machine
    rows: pd.DataFrame
    pixels: np.ndarray
    adapters: dict[str, Path]

    @classmethod
    def read(cls, root: Path, base: Path | None = None) -> "FinishedRun":
        """The run in the folder `root`. base: the folder of another base to take instead of its own."""
        run = open_run(root)
        adapters = {name: root / "adapters" / name for name in run.settings.declared_adapters}
        cohort = Path(path_of(run.study["cohort"])).name
        settings = run.settings.model_copy(update={"base": str(base)}) if base else run.settings
        return cls(cohort, settings, resolve(settings), *run.real, adapters)

    @property
    def labels(self) -> list[str]:
        """The different labels, sorted."""
        return sorted(set(self.rows["label"]))

    def of_side(self, side: str) -> np.ndarray:
        """Which images (N,) bool are on that side of the split."""
        return (self.rows["split"] == side).to_numpy(bool)
