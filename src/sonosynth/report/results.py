"""What a run found, for the page and the terminal alike."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from sonosynth.artefacts import Adapter, CohortImages, Split, SyntheticSet
from sonosynth.fidelity.jobs import ALL, TRAINING
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
        """The Fréchet distance of each set, all classes together, to the training images."""
        rows = self.fidelity
        whole = (rows["metric"] == "frechet") & (rows["class"] == ALL) & (rows["protocol"] == TRAINING)
        return rows[whole].dropna(subset=["value"])

    def rows(self) -> list[dict[str, str]]:
        """The ablation as text: one row per arm, by the names of `COLUMNS`; an arm that did not run says so.

        A score with an interval has it under its name and "_interval".
        """
        findings = dict(zip(self.verdicts["arm"], self.verdicts["finding"], strict=True))
        known = {name: f"{v:.3g}" for name, v in zip(self.frechet["set"], self.frechet["value"], strict=True)}
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
        known = self.frechet.dropna(subset=["floor"])
        parts = [f"{r['set']} {r['matched']:.3g} against {r['floor']:.3g}" for r in known.to_dict("records")]
        count = f"{int(known['n_matched'].min())}" if len(known) else "0"
        text = f"Fréchet distance at equal counts ({count} images), each set against real images: " + "; ".join(parts)
        return text + " (a set with other class proportions is further away for that reason alone)"

    @property
    def n_validation(self) -> int:
        """How many validation images were scored."""
        return int(self.table["n_validation"].max())

    def copies(self) -> list[dict[str, str]]:
        """How many images of each set copy a training image, and how many stay near their own source, as text."""
        return [
            {
                "set": str(name), "images": str(len(rows)), "flagged": str(int(rows["copy"].sum())),
                "share": f"{rows['copy'].mean():.0%}", "verbatim": str(int(rows["verbatim"].sum())),
                "near_source": words.near_source(rows["source_correlation"].notna(), rows["near_source"]),
            }
            for name, rows in self.memorisation.groupby("set", sort=False)
        ]  # fmt: skip

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
