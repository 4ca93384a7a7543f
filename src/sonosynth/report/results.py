"""The tables of a run, and what is said of them in the page and in the terminal alike."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

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
    """What a run found: its tables (see `stages.evaluate`), and in `facts` what they were measured on.

    sets: arm to the synthetic set that it adds, for arms that add one. smallest: fewest images by which an arm's
    accuracy can differ significantly.
    """

    table: pd.DataFrame
    differences: pd.DataFrame
    verdicts: pd.DataFrame
    fidelity: pd.DataFrame
    memorisation: pd.DataFrame
    predictions: pd.DataFrame
    facts: Mapping[str, str]
    sets: Mapping[str, str]
    smallest: int

    def rows(self) -> list[dict[str, str]]:
        """The ablation as text: one row an arm, by the names of `COLUMNS`; an arm that did not run says so."""
        findings = dict(zip(self.verdicts["arm"], self.verdicts["finding"], strict=True))
        overall = self.fidelity[
            (self.fidelity["metric"] == "frechet")
            & (self.fidelity["class"] == "all")
            & (self.fidelity["protocol"] == "training images")
        ].dropna(subset=["value"])
        distances = {name: f"{v:.3g}" for name, v in zip(overall["set"], overall["value"], strict=True)}
        rows = []
        for row in self.table.to_dict("records"):
            arm = str(row["arm"])
            shown = {
                "arm": arm,
                "distance": distances.get(self.sets.get(arm, ""), "–"),
                "finding": findings.get(arm, "–"),
            }
            if row["status"] != "run":
                rows.append(shown | dict.fromkeys(("n_train", *SCORES), "not run"))
                continue
            shown["n_train"] = str(round(row["n_train"]))
            for name in SCORES:
                shown[name] = f"{row[name]:.3f}"
                shown[f"{name}_interval"] = f"{row[f'{name}_low']:.3f} to {row[f'{name}_high']:.3f}"
            rows.append(shown)
        return rows

    def floor(self) -> str:
        """The real-against-real distance beside the sets' own, in words."""
        known = self.fidelity[(self.fidelity["metric"] == "frechet") & (self.fidelity["class"] == "all")]
        known = known.dropna(subset=["floor"])
        parts = [f"{r['set']} {r['matched']:.3g} against {r['floor']:.3g}" for r in known.to_dict("records")]
        count = f"{int(known['n_matched'].min())}" if len(known) else "0"
        told = f"Fréchet distance at equal counts ({count} images), the set against real ones: " + "; ".join(parts)
        return told + " (a set that holds other shares of the classes is further away for that alone)"

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
        found = []
        if "LEAK" in self.facts:
            found.append(f"Leak: {self.facts['LEAK']}.")
        if "not independent" in self.facts["near-duplicates"]:
            found.append(f"Near-duplicates: {self.facts['near-duplicates']}.")
        if "ON THE VALIDATION" in self.facts["classifier"]:
            found.append("The epoch was chosen on the validation images: all scores are optimistic.")
        if "simulated" in self.facts["cohort"]:
            found.append("The cohort is simulated: its scores say nothing about patients.")
        if "embedded" in self.facts["base"]:
            found.append("The base is the embedded small model: these are not Stable Diffusion's images.")
        if self.smallest / self.n_validation() > TOO_SMALL:
            found.append(
                f"The validation set is small: a difference in accuracy below {self.smallest} of {self.n_validation()}"
                " images can't be significant here."
            )
        return found

    def sentences(self) -> list[str]:
        """One sentence an arm, then what the validation set could not have shown at all."""
        n = self.n_validation()
        return [
            *self.verdicts["sentence"],
            f"With {n} validation images and {len(self.verdicts)} comparisons, no difference in accuracy below"
            f" {self.smallest} images ({self.smallest / n:.1%}) could have been significant.",
        ]

    def headline(self) -> str:
        """The one sentence to remember."""
        synthetic = self.verdicts[self.verdicts["arm"].isin(list(self.sets))]
        count = {finding: int((synthetic["finding"] == finding).sum()) for finding in set(synthetic["finding"])}
        if count.get("improves"):
            arms = ", ".join(synthetic[synthetic["finding"] == "improves"]["arm"])
            return f"Synthetic images improve macro F1 on real images alone in {arms}, after correction for all arms."
        said = ", ".join(f"{n} {finding}" for finding, n in sorted(count.items()))
        return f"No arm with synthetic images improves on real images alone ({len(synthetic)} tried: {said})."
