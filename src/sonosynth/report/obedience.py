"""How far images show the masks that they were made under, as the page says it."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import pandas as pd

from sonosynth.report import words
from sonosynth.report.declared import Declared
from sonosynth.synthesis.settings import REAL

MUCH = 0.25  # difference of two shares of images, in some of which segmenters err


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
                "nothing": f"{own['nothing'].mean():.0%}", "unmatched": f"{own['unmatched'].mean():.2f}",
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
            f"The images of {name} were made under their masks. Segmenters trained on real images find them with a Dice"
            f" of {of['dice']:.2f} (real validation images: {words.number(of['real'], '%.2f')}), and find"
            f" {of['unmatched']:.2f} lesions per image that match none of these."
            for name, of in self._of_sets().items() if name in sets
        ]  # fmt: skip

    def warnings(self, sets: Collection[str]) -> list[str]:
        """Which of the `sets` that segmenters learn from hardly show their masks, or may not, for all one can tell.

        A set hardly does if its Dice is nearer to that of exchanged masks than to that of real images, or if a lesion
        is seen much more often where none was asked for than in real images without one. Nobody can tell if the
        segmenters find the lesions of real images no better than by their usual place.
        """
        said, learn = [], "and segmenters were trained on them."
        for name, of in self._of_sets().items():
            if name not in sets:
                continue
            if not of["real"] > of["usual"] or pd.isna(of["exchanged"]):
                said.append(
                    f"Unchecked masks: whether images of {name} show their masks can't be told, since the lesions of"
                    f" real validation images are not found by more than their usual place, {learn}"
                )
            elif of["dice"] - of["exchanged"] < of["real"] - of["dice"]:
                said.append(
                    f"Wrong masks: images of {name} hardly show the masks that they were made under (Dice"
                    f" {of['dice']:.2f}; exchanged masks {of['exchanged']:.2f}, real images {of['real']:.2f}), {learn}"
                )
        for name, label, own, real in self._of_classes(lesions=False):
            if name in sets and len(real) and own["nothing"].mean() < real["nothing"].mean() - MUCH:
                said.append(
                    f"Wrong masks: in images of {name} of the class {label}, which should show no lesion, nothing is"
                    f" seen in {own['nothing'].mean():.0%} (real images: {real['nothing'].mean():.0%}), {learn}"
                )
        return said

    @property
    def known(self) -> tuple[int, int]:
        """How many of the sets' usable images were judged by segmenters that know the mask, and how many there are."""
        rows = self.table[self.table["usable"] & (self.table["set"] != REAL)]
        return int(rows["known"].sum()), len(rows)

    def _of_classes(self, *, lesions: bool) -> Iterator[tuple[str, str, pd.DataFrame, pd.DataFrame]]:
        """Each set and class, with its rows and those of real images: usable images, with lesions asked for or not."""
        rows = self.table[self.table["usable"]]
        rows = rows[(rows["asked"] > 0) == lesions]
        real = rows[rows["set"] == REAL]
        for (name, label), own in rows[rows["set"] != REAL].groupby(["set", "label"], sort=False):
            yield str(name), str(label), own, real[real["label"] == label]

    def _of_sets(self) -> dict[str, pd.Series]:
        """For each set, means over its classes.

        dice and exchanged, of masks with a lesion; real and usual, the same of real images; unmatched, of all usable
        images.
        """
        found: dict[str, list[pd.Series]] = {}
        unmatched = self.table[self.table["usable"]].groupby("set")["unmatched"].mean()
        for name, _, own, real in self._of_classes(lesions=True):
            means = {of: own[of].mean() for of in ("dice", "exchanged")}
            means |= {"real": real["dice"].mean(), "usual": real["exchanged"].mean(), "unmatched": unmatched[name]}
            found.setdefault(name, []).append(pd.Series(means))
        return {name: pd.DataFrame(rows).mean() for name, rows in found.items()}
