"""What became of the images that were drawn for sets whose images are selected."""

from dataclasses import dataclass, field

import pandas as pd

from sonosynth.report.declared import Declared
from sonosynth.synthesis.making import CONSTANT, REPEATS
from sonosynth.synthesis.selector import DISOBEYS, KEPT, OTHER_CLASS, TOO_NEAR


@dataclass(frozen=True)
class Selection:
    """table: every image that was drawn (`synthesis.selector`), in all repeats together."""

    table: pd.DataFrame
    declared: Declared = field(default_factory=Declared)

    @property
    def by_critics(self) -> list[str]:
        """The sets that critics select."""
        return [name for name, made in self.declared.sets.items() if made.select]

    @property
    def by_masks(self) -> dict[str, float]:
        """The sets whose images have to show their masks, and the least Dice."""
        return {name: made.obey for name, made in self.declared.sets.items() if made.obey}

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why images of any of these may be dropped."""
        of_critics = (OTHER_CLASS, TOO_NEAR) if self.by_critics else ()
        return (CONSTANT, REPEATS, *of_critics, *((DISOBEYS,) if self.by_masks else ()))

    def rows(self) -> list[dict[str, str]]:
        """Of each set and class, how many images were wanted, made again and drawn, why any were dropped, how many are
        unusable, and of how many of these that is since they still miss their masks ("" for none); as text.
        """
        found = []
        for (name, label), drawn in self.table.groupby(["set", "label"], sort=False):
            last = drawn.groupby(["draw", "split", "generator", "file_name"])["reason"].last()
            missing = int((last == DISOBEYS).sum())
            found.append(
                {
                    "set": str(name), "label": str(label), "images": str(len(last)), "drawn": str(len(drawn)),
                    "again": str(int((drawn["attempt"] == 2).sum())),
                    **{reason: str(int((drawn["reason"] == reason).sum())) for reason in self.reasons},
                    "unusable": str(int((last != KEPT).sum())), "missing": str(missing) if missing else "",
                }
            )  # fmt: skip
        return found
