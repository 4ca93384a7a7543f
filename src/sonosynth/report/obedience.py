"""How far images show the masks that they were made under, as the page says it."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import pandas as pd

from sonosynth.report import words
from sonosynth.report.declared import Declared
from sonosynth.synthesis.settings import REAL


@dataclass(frozen=True)
class Obedience:
    """table: rows of obedience.csv."""

    table: pd.DataFrame
    declared: Declared = field(default_factory=Declared)

    @property
    def chosen(self) -> list[str]:
        """The sets of which images that miss their masks were made again."""
        return [name for name, made in self.declared.sets.items() if made.obey]

    def lesions(self) -> list[dict[str, str]]:
        """Of each set and class, what is seen where a lesion was asked for, beside real images; as text."""
        return [
            {
                "set": name, "label": label, "images": str(len(own)), "dice": words.number(own["dice"].mean()),
                "quartiles": " to ".join(f"{own['dice'].quantile(q):.2f}" for q in (0.25, 0.75)),
                "real": words.number(real["dice"].mean()), "exchanged": words.number(own["exchanged"].mean()),
                "nothing": f"{own['nothing'].mean():.0%}", "unasked": f"{own['unasked'].mean():.2f}",
            }
            for name, label, own, real in self._of_classes(lesions=True)
        ]  # fmt: skip

    def without_lesions(self) -> list[dict[str, str]]:
        """Of each set and class, how often nothing is seen where nothing was asked for, beside real images; as text."""
        return [
            {
                "set": name, "label": label, "images": str(len(own)), "nothing": f"{own['nothing'].mean():.0%}",
                "real": f"{real['nothing'].mean():.0%}" if len(real) else "–",
            }
            for name, label, own, real in self._of_classes(lesions=False)
        ]  # fmt: skip

    def trained_on(self, sets: Collection[str]) -> list[str]:
        """For each of the `sets` that segmenters learn from, how well its images show its masks: a sentence."""
        return [
            f"The masks of {name} are those that were asked for. Segmenters of real images see them in its images with"
            f" a Dice of {of['dice']:.2f} (real validation images: {words.number(of['real'], '%.2f')}), and"
            f" {of['unasked']:.2f} lesions per image that were not asked for."
            for name, of in self._of_sets().items() if name in sets
        ]  # fmt: skip

    def warnings(self, sets: Collection[str]) -> list[str]:
        """Which of the `sets` that segmenters learn from hardly show their masks.

        Their Dice is nearer to that of exchanged masks than to that of real images.
        """
        return [
            f"Wrong masks: images of {name} hardly show the masks that they were made under (Dice {of['dice']:.2f};"
            f" exchanged masks {of['exchanged']:.2f}, real images {of['real']:.2f}), and segmenters learn from these."
            for name, of in self._of_sets().items()
            if name in sets and of["dice"] - of["exchanged"] < of["real"] - of["dice"]
        ]

    def _of_classes(self, *, lesions: bool) -> Iterator[tuple[str, str, pd.DataFrame, pd.DataFrame]]:
        """Each set and class, with its rows and those of real images: usable images, with lesions asked for or not."""
        rows = self.table[self.table["usable"]]
        rows = rows[(rows["asked"] > 0) == lesions]
        real = rows[rows["set"] == REAL]
        for (name, label), own in rows[rows["set"] != REAL].groupby(["set", "label"], sort=False):
            yield str(name), str(label), own, real[real["label"] == label]

    def _of_sets(self) -> dict[str, pd.Series]:
        """For each set, the means of dice, exchanged and unasked, and of real images' Dice (real), over its classes."""
        found: dict[str, list[pd.Series]] = {}
        for name, _, own, real in self._of_classes(lesions=True):
            means = {of: own[of].mean() for of in ("dice", "exchanged", "unasked")}
            found.setdefault(name, []).append(pd.Series({**means, "real": real["dice"].mean()}))
        return {name: pd.DataFrame(rows).mean() for name, rows in found.items()}
