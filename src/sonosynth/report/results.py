"""What a run found, for the page and the terminal alike."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from sonosynth.artefacts import Adapter, CohortImages, Split, SyntheticSet
from sonosynth.fidelity.across import Caricature, caricatures
from sonosynth.fidelity.jobs import ACROSS, ALL, TRAINING
from sonosynth.report import words
from sonosynth.report.facts import Counts, Facts

COLUMNS = {
    "arm": "arm",
    "n_train": "images",
    "accuracy": "accuracy",
    "f1": "F1",
    "auc": "AUC",
    "ppv": "PPV",
    "recall": "recall",
    "distance": "Fréchet",
    "finding": "against real",
}
TOO_SMALL = 0.05  # share of the validation images
SCORES = ("accuracy", "f1", "auc", "ppv", "recall")


@dataclass(frozen=True)
class Results:
    """The tables of a run (see `report.tables` and `fidelity.jobs`), and what they were measured on.

    arms: the synthetic sets that each adds. smallest: the fewest images by which an arm's accuracy can differ
    significantly.
    """

    table: pd.DataFrame
    classes: pd.DataFrame
    differences: pd.DataFrame
    verdicts: pd.DataFrame
    fidelity: pd.DataFrame
    memorisation: pd.DataFrame
    predictions: pd.DataFrame
    facts: Facts
    counts: Counts
    arms: Mapping[str, tuple[str, ...]]
    smallest: int

    @property
    def measured_on(self) -> dict[str, str]:
        """What the scores were measured on, in words."""
        return words.measured_on(self.facts, self.counts)

    @property
    def frechet(self) -> pd.DataFrame:
        """The rows with each set's Fréchet distance to training images, all classes together, on the first features.

        Their `matched` and `floor` have the same number of images of each class on all sides.
        """
        rows = self.fidelity
        whole = (rows["metric"] == "frechet") & (rows["class"] == ALL) & (rows["protocol"] == TRAINING)
        return rows[whole & (rows["features"] == self.facts.networks[0])].dropna(subset=["matched"])

    def rows(self) -> list[dict[str, str]]:
        """The ablation as text: one row per arm, by the names of `COLUMNS`; an arm that did not run says so.

        A score with an interval has it under its name and "_interval".
        """
        findings = dict(zip(self.verdicts["arm"], self.verdicts["finding"], strict=True))
        known = {name: f"{v:.3g}" for name, v in zip(self.frechet["set"], self.frechet["matched"], strict=True)}
        rows = []
        for row in self.table.to_dict("records"):
            arm = str(row["arm"])
            distances = [known[name] for name in self.arms.get(arm, ()) if name in known]
            shown = {"arm": arm, "distance": ", ".join(distances) or "–", "finding": findings.get(arm, "–")}
            if row["status"] != "run":
                rows.append(shown | dict.fromkeys(("n_train", *SCORES), "not run"))
                continue
            shown["n_train"] = str(round(row["n_train"]))
            for name in SCORES:
                shown[name] = words.number(row[name])
                if pd.notna(low := row[f"{name}_low"]):
                    shown[f"{name}_interval"] = f"{low:.3f} to {row[f'{name}_high']:.3f}"
            rows.append(shown)
        return rows

    def floor(self) -> str:
        """The real-against-real distance beside the sets' own, in words."""
        classes = sorted(set(self.fidelity["class"]) - {ALL})
        return words.distances(self.frechet, classes, self.facts.networks[0])

    def caricatures(self) -> list[str]:
        """The classes of sets that are further from other classes than real images are, a sentence for each set."""
        found = caricatures(self.fidelity[self.fidelity["protocol"] == ACROSS])
        by_set: dict[tuple[str, str], list[Caricature]] = {}
        for one in found:
            by_set.setdefault((one.set, one.features), []).append(one)
        return [words.caricature(name, features, own) for (name, features), own in by_set.items()]

    @property
    def n_validation(self) -> int:
        """How many validation images were scored."""
        return int(self.table["n_validation"].max())

    def copies(self) -> list[dict[str, str]]:
        """How many images of each set are nearer to a training image than real ones are, as text."""
        found = self.memorisation.groupby("set", sort=False)["copy"].agg(["sum", "size"])
        return [
            {"set": str(name), "images": str(n), "flagged": str(int(flagged)), "share": f"{flagged / n:.0%}"}
            for name, (flagged, n) in zip(found.index, found.to_numpy(), strict=True)
        ]

    def warnings(self) -> list[str]:
        """What a reader must know before the scores."""
        return words.warnings(self.facts, self.counts, self.smallest, TOO_SMALL)

    def sentences(self) -> list[str]:
        """One sentence per arm, then what the validation set could not have shown at all."""
        n = self.n_validation
        return [
            *self.verdicts["sentence"],
            f"With {n} validation images and {len(self.verdicts)} comparisons, no difference in accuracy below"
            f" {self.smallest} images ({self.smallest / n:.1%}) could have been significant.",
        ]

    def headline(self) -> str:
        """The one sentence to remember."""
        adding = [arm for arm, sets in self.arms.items() if sets]
        synthetic = self.verdicts[self.verdicts["arm"].isin(adding)]
        count = {finding: int((synthetic["finding"] == finding).sum()) for finding in set(synthetic["finding"])}
        if count.get("improves"):
            arms = ", ".join(synthetic[synthetic["finding"] == "improves"]["arm"])
            return f"Synthetic images improve macro F1 over real images alone in {arms}, after correction for all arms."
        if not adding:
            return "No arm adds synthetic images."
        tally = ", ".join(f"{n} {finding}" for finding, n in sorted(count.items()))
        return f"No arm with synthetic images improves on real images alone ({len(synthetic)} tried: {tally})."


@dataclass(frozen=True)
class Shown:
    """What the sections of the page draw from.

    refined: for each set that starts from another one, that one. ultrasound: rows of ultrasound.csv, or None.
    """

    results: Results
    cohort: CohortImages
    split: Split
    adapters: tuple[Adapter, ...]
    sets: tuple[SyntheticSet, ...]
    refined: Mapping[str, str]
    ultrasound: pd.DataFrame | None
