"""A finished run, as benchmarks read it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sonosynth.machine import Machine, resolve
from sonosynth.run import reopen
from sonosynth.settings import Settings


@dataclass(frozen=True)
class FinishedRun:
    """A finished run, as it stands in its folder: nothing is made, nothing is checked.

    name: of the cohort. settings: of the study. machine: what they stand for here. rows: those of cohort.csv that are
    not excluded. pixels: their images (N, H, W) uint8. adapters: name to folder.
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
        study = reopen(root)
        rows = pd.read_csv(root / "cohort.csv", dtype=str, keep_default_na=False)
        rows = rows[rows["excluded"] == ""].reset_index(drop=True)
        ids = pd.read_csv(root / ".parts" / "images.csv", dtype=str, keep_default_na=False)["id"]
        place = pd.Series(ids.index, index=ids)[rows["id"]].to_numpy()
        pixels = np.load(root / ".parts" / "pixels" / "real.npy", mmap_mode="r", allow_pickle=False)[place]
        adapters = {name: root / "adapters" / name for name in study.settings.declared_adapters}
        return cls(study.path.name, study.settings, resolve(study.settings), rows, pixels, adapters)

    @property
    def labels(self) -> list[str]:
        """The different labels, sorted."""
        return sorted(set(self.rows["label"]))

    def of_side(self, side: str) -> np.ndarray:
        """Which images (N,) bool are on that side of the split."""
        return (self.rows["split"] == side).to_numpy(bool)
