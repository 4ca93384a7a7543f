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
    def read(cls, root: Path) -> "FinishedRun":
        """The run in the folder `root`."""
        run = open_run(root)
        adapters = {name: root / "adapters" / name for name in run.settings.declared_adapters}
        cohort = Path(path_of(run.study["cohort"])).name
        return cls(cohort, run.settings, resolve(run.settings), *run.real, adapters)

    @property
    def labels(self) -> list[str]:
        """The different labels, sorted."""
        return sorted(set(self.rows["label"]))

    def of_side(self, side: str) -> np.ndarray:
        """Which images (N,) bool are on that side of the split."""
        return (self.rows["split"] == side).to_numpy(bool)
