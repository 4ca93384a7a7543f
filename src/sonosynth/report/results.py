"""What a run found, for the page and the terminal alike."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pandas as pd

from sonosynth.artefacts import Adapter, Artefact, CohortImages, Split, SyntheticSet
from sonosynth.evidence.scores import EXCESS, PRIMARY, class_names
from sonosynth.fidelity.across import Caricature, caricatures
from sonosynth.fidelity.jobs import ACROSS, ALL, TRAINING
from sonosynth.report import sentences, words
from sonosynth.report.declared import Declared
from sonosynth.report.elsewhere import Elsewhere
from sonosynth.report.facts import Counts, Curve, Facts
from sonosynth.report.judged import Judged
from sonosynth.report.obedience import Obedience
from sonosynth.report.readers import Readers
from sonosynth.report.segmented import Outlines, Segmented
from sonosynth.report.selection import Selection

POSITIVE = "positive"
SCORES = ("accuracy", "f1", "auc", "ppv", "recall")
COLUMNS = {"arm": "arm", "n_train": "images", "accuracy": "accuracy", "f1": "F1", "auc": "AUC", "ppv": "PPV"} | {
    "recall": "recall", "distance": "Fréchet", "finding": "finding"
}  # fmt: skip


@dataclass(frozen=True)
class Results:
    """The tables of a run (see `report.tables` and `fidelity.jobs`), and what they were measured on.

    arms: the synthetic sets that each adds. seconds: how long each job took, by name. sealed: verdicts
    on the sealed part, None while that is closed. curves: arms that differ in one value. choices: rows of choices.csv,
    None if no arm chooses among others. selection: of images, None if no set's are selected. critics: rows of
    critics.csv, None if no arm weights images. subgroups: rows of subgroups.csv, None if no column is named. tests: on
    other cohorts. readers: of each kit. segmented: None if nothing is. obedience: None if no set is made under masks.
    If nothing is classified, table, classes, verdicts and predictions are empty.
    """

    table: pd.DataFrame
    classes: pd.DataFrame
    verdicts: pd.DataFrame
    fidelity: pd.DataFrame
    memorisation: pd.DataFrame
    predictions: pd.DataFrame
    facts: Facts
    counts: Counts
    arms: Mapping[str, tuple[str, ...]]
    seconds: Mapping[str, float]
    sealed: pd.DataFrame | None = None
    curves: tuple[Curve, ...] = ()
    choices: pd.DataFrame | None = None
    selection: Selection | None = None
    critics: pd.DataFrame | None = None
    subgroups: pd.DataFrame | None = None
    tests: tuple[Elsewhere, ...] = ()
    readers: tuple[Readers, ...] = ()
    declared: Declared = field(default_factory=Declared)
    segmented: Segmented | None = None
    obedience: Obedience | None = None

    @property
    def scores(self) -> tuple[str, ...]:
        """The scores of the ablation: the recall of the class that matters most is among them, if one is named."""
        return (*SCORES, POSITIVE) if self.facts.positive else SCORES

    @property
    def columns(self) -> dict[str, str]:
        """The columns of the ablation, and their titles."""
        titles = COLUMNS | {POSITIVE: f"recall of {self.facts.positive}"}
        return {name: titles[name] for name in ("arm", "n_train", *self.scores, "distance", "finding")}

    @property
    def measured_on(self) -> dict[str, str]:
        """What the scores were measured on, in words."""
        found = words.measured_on(self.facts, self.counts)
        return {name: value for name, value in found.items() if name != "classifier" or self.classified}

    @property
    def frechet(self) -> pd.DataFrame:
        """The rows with each set's Fréchet distance to training images, all classes together, on the first features.

        Their `matched` and `floor` have the same number of images of each class on all sides.
        """
        rows = self.fidelity
        whole = (rows["metric"] == "frechet") & (rows["class"] == ALL) & (rows["protocol"] == TRAINING)
        return rows[whole & (rows["features"] == self.facts.networks[0])].dropna(subset=["matched"])

    def rows(self) -> list[dict[str, str]]:
        """The ablation as text: one row per arm, by the names of `columns`; an arm that did not run says so.

        A score with an interval has it under its name and "_interval".
        """
        findings = self.findings
        known = {name: f"{v:.3g}" for name, v in zip(self.frechet["set"], self.frechet["matched"], strict=True)}
        rows = []
        for row in self.table.to_dict("records"):
            arm = str(row["arm"])
            distances = [known[name] for name in self.arms.get(arm, ()) if name in known]
            shown = {"arm": arm, "distance": ", ".join(distances) or "–", "finding": findings.get(arm, "–")}
            if row["status"] != "run":
                rows.append(shown | dict.fromkeys(("n_train", *self.scores), "not run"))
                continue
            shown["n_train"] = str(round(row["n_train"]))
            scored = row | self._of_positive(arm)
            for name in self.scores:
                shown[name] = words.number(scored[name])
                if pd.notna(low := scored[f"{name}_low"]):
                    shown[f"{name}_interval"] = f"{low:.3f} to {scored[f'{name}_high']:.3f}"
            rows.append(shown)
        return rows

    def _of_positive(self, arm: str) -> dict[str, float]:
        """The recall of the class that matters most, with its interval, if one is named."""
        if not self.facts.positive:
            return {}
        rows = self.classes
        own = rows[(rows["arm"] == arm) & (rows["class"] == self.facts.positive) & (rows["metric"] == "recall")]
        (found,) = own.to_dict("records")
        return {POSITIVE: found["value"], f"{POSITIVE}_low": found["low"], f"{POSITIVE}_high": found["high"]}

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

    def prior_shift(self) -> str:
        """Where an arm moved the mean probability of a class most, in words; "" if no arm is compared."""
        rows = self.verdicts[self.verdicts["metric"] == EXCESS].dropna(subset=["difference"])
        if rows.empty:
            return ""
        row = rows.to_dict("records")[int(rows["difference"].abs().argmax())]
        return words.prior_shift(row["arm"], row["against"], row["class"], row["difference"])

    @property
    def labels(self) -> list[str]:
        """The classes of the scored images."""
        if self.segmented and not self.classified:
            return sorted(set(self.segmented.predictions["label"]))
        return class_names(self.predictions)

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

    def weighted(self) -> list[dict[str, str]]:
        """What critics said of the images of each weighted set and class, in all repeats together, as text."""
        if self.critics is None:
            return []
        return [
            {
                "set": str(name), "label": str(label), "images": str(len(said)),
                "recognised": f"{said['recognised'].mean():.0%}", "confidence": f"{said['confidence'].mean():.2f}",
            }
            for (name, label), said in self.critics.groupby(["set", "label"], sort=False)
        ]  # fmt: skip

    def of_subgroups(self) -> list[dict[str, str]]:
        """The scores of each arm within each subgroup, and its difference from real images alone, as text."""
        if self.subgroups is None:
            return []
        rows = []
        for (column, value, arm), own in self.subgroups.groupby(["column", "subgroup", "arm"], sort=False):
            of = {row["class"]: row for row in own.to_dict("records")}
            auc = of.pop(ALL)
            recalls = [f"{label} {words.number(row['score'], '%.2f')} ({row['images']})" for label, row in of.items()]
            reach = (auc["difference_high"] - auc["difference_low"]) / 2
            rows.append(
                {
                    "subgroup": f"{column}: {value}", "images": str(auc["images"]), "arm": str(arm),
                    "auc": words.with_interval(auc["score"], auc["low"], auc["high"]), "recall": ", ".join(recalls),
                    "difference": words.number(auc["difference"], "%+.3f"), "smallest": words.number(reach),
                }
            )  # fmt: skip
        return rows

    def warnings(self) -> list[str]:
        """What a reader must know before the scores."""
        wrong = self.obedience.warnings(self.segmented.sets) if self.obedience and self.segmented else []
        return [
            *words.warnings(self.facts, self.counts),
            *wrong,
            *(said for test in self.tests for said in test.warnings()),
        ]

    @property
    def classified(self) -> bool:
        """Whether the study classifies."""
        return len(self.table) > 0

    @property
    def classification(self) -> Judged:
        """What may be said of the arms by macro F1."""
        return Judged(self.verdicts, PRIMARY.name, self.arms)

    @property
    def judged(self) -> tuple[Judged, ...]:
        """What may be said of the arms, by the score of each task."""
        found = [self.classification] if self.classified else []
        every = (*found, *([self.segmented.judged] if self.segmented else []))
        return tuple(replace(one, controls=self.declared.controls) for one in every)

    @property
    def findings(self) -> dict[str, str]:
        """What may be said of each arm by its classifiers."""
        return self.classification.findings

    def sentences(self) -> list[str]:
        """One sentence per arm and task, then what the study could not have shown at all, or what it needs."""
        said = [sentence for one in self.judged for sentence in one.sentences(self.facts, self.seconds)]
        return list(dict.fromkeys(said))

    def sealed_sentences(self) -> list[str]:
        """How the sealed part was scored, and one sentence per arm; none while it is closed."""
        if self.sealed is None:
            return []
        how = f"Sealed part: {words.sealed(words.number_of(self.counts.sealed, 'image'), self.facts.unsealed)}."
        return [how, *self.sealed["sentence"][self.sealed["sentence"] != ""]]

    def choice_sentences(self) -> list[str]:
        """What each arm that chooses among others has chosen; none if there is no such arm."""
        if self.choices is None:
            return []
        return [sentences.choice(str(arm), own) for arm, own in self.choices.groupby("arm", sort=False)]


@dataclass(frozen=True)
class Shown:
    """What the sections of the page draw from.

    refined: for each set that starts from another one, that one. ultrasound, texture, learning_curve, probes: rows of
    these tables, or None. real_images: whether any may be shown. outlines: predicted beside real ones, if any.
    observed: of each set with a condition, what `obedience.observe_set` made.
    """

    results: Results
    cohort: CohortImages
    split: Split
    adapters: tuple[Adapter, ...]
    sets: tuple[SyntheticSet, ...]
    refined: Mapping[str, str]
    ultrasound: pd.DataFrame | None
    texture: pd.DataFrame | None
    learning_curve: pd.DataFrame | None
    probes: pd.DataFrame | None
    real_images: bool = True
    outlines: Outlines | None = None
    observed: Mapping[str, Artefact] = field(default_factory=dict)
