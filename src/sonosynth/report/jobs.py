"""The job that draws the figures and writes the page."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from sonosynth import disk, plain_yaml
from sonosynth.artefacts import Adapter, Artefact, CohortImages, Split, SyntheticSet
from sonosynth.cohort.mask_jobs import CohortMasks
from sonosynth.cohort.split import crossing
from sonosynth.cohort.traits import Trait
from sonosynth.fidelity.jobs import COLUMNS
from sonosynth.jobs import Made
from sonosynth.reader.scoring import Reading
from sonosynth.report import withheld
from sonosynth.report.declared import Declared
from sonosynth.report.elsewhere import Elsewhere
from sonosynth.report.facts import Counts, Curve, Excluded, Facts, Tested, Unfit
from sonosynth.report.figures import save
from sonosynth.report.obedience import Obedience
from sonosynth.report.page import Provenance, page
from sonosynth.report.readers import Readers
from sonosynth.report.results import Results, Shown
from sonosynth.report.sections import SECTIONS, listing
from sonosynth.report.segmented import Outlines, Segmented
from sonosynth.report.selection import Selection
from sonosynth.report.tables import COLUMNS as VERDICTS
from sonosynth.report.terminal import summary
from sonosynth.report.tested import images_of

VERSION = 10
TEXT = (
    "adapter", "arm", "against", "candidate", "status", "generator", "set", "class", "id", "label", "image",
    "file_name", "nearest", "nearest_by_features", "features", "protocol", "metric", "classes", "test", "finding",
    "sentence", "reason", "column", "subgroup",
)  # fmt: skip
"""The columns that are text in any of the tables, whatever their cells look like."""
EMPTY = {
    "table": pd.DataFrame(columns=["arm", "status"]), "classes": pd.DataFrame(columns=["arm", "class"]),
    "verdicts": pd.DataFrame(columns=VERDICTS), "predictions": pd.DataFrame(columns=["arm", "id", "label"]),
}  # fmt: skip
"""The tables of a study that classifies nothing."""
ABOUT = "about"  # the role of a table's JSON


@dataclass(frozen=True)
class Drawing:
    """arms: the sets that each adds. refined: for each set that starts from another one, that one. study:
    study.yaml as text. curves: arms that differ in one value. tests: on other cohorts. readings: what human
    readers answered. real_images: whether the report may show them, and paths. segmented: the sets that
    each arm with segmenters adds; unfit: the arms without, and why; both empty if nothing is segmented.
    """

    facts: Facts
    arms: Mapping[str, tuple[str, ...]]
    refined: Mapping[str, str]
    study: str
    curves: tuple[Curve, ...]
    tests: tuple[Tested, ...] = ()
    readings: tuple[Reading, ...] = ()
    declared: Declared = field(default_factory=Declared)
    real_images: bool = True
    segmented: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unfit: Mapping[str, Unfit] = field(default_factory=dict)


def draw(  # noqa: PLR0913 (a handle for each need of the job)
    settings: Drawing, *, cohort: CohortImages, split: Split, adapters: tuple[Adapter, ...],
    sets: tuple[SyntheticSet, ...], tables: tuple[Artefact, ...], finished: tuple[Made, ...],
    tested: tuple[Artefact, ...] = (), judged: tuple[Artefact, ...] = (), masks: CohortMasks | None = None,
    segmenters: tuple[Artefact, ...] = (), observed: tuple[Artefact, ...] = (), work: Path,
) -> None:  # fmt: skip
    """Makes figures (a folder), page (report.html), and summary, the text printed in the terminal.

    figures/pictures.csv names the pictures that are shown. Without real images, they and all paths are in none of
    these.

    Args:
        tables: those of the evaluation; each is identified by the name of its file. tested, judged: what
            `other_cohort.predict` and `tested.judge` made for each test. masks: if lesions are segmented. segmenters:
            what `segmentation.jobs.train` made for the first seed of each arm in the first split. observed: what
            `obedience.observe_set` made for each set with a condition.
    """
    roles = [(made, role) for made in tables for role in made.made.places]
    found = {made.place(role).stem: made.table(role, *TEXT) for made, role in roles if role != ABOUT}
    abouts = [made.json(ABOUT) for made, role in roles if role == ABOUT]  # of classification, and of segmentation
    about, counted = abouts[0], abouts[-1]
    values = plain_yaml.parse(settings.study)
    hidden = {} if settings.real_images else withheld.paths(values)
    values = withheld.without(values, hidden)
    fidelity = found.get("fidelity", pd.DataFrame(columns=COLUMNS)).replace({"features": hidden})
    counts = Counts(
        simulated=cohort.about["simulated"], train=len(split.train),
        validation=len(split.validation), twins=len(cohort.twins), crossing=len(crossing(split.rows, cohort.twins)),
        left_out=about["left_out"], draws_left_out=len(about["draws_left_out"]),
        made_again={made.name: int((made.rows["attempts"] > 1).sum()) for made in sets},
        unusable={made.name: int(made.flawed.sum()) for made in sets}, inner=len(split.inner),
        sealed=len(split.sealed), selected=tuple(found["selection"]["set"].unique()) if "selection" in found else (),
        adjacent=tuple(found["label"] for found in cohort.about["adjacent"] if found["suspicious"]),
        excluded=tuple(Excluded(x["label"], x["reason"], x["images"]) for x in split.excluded.to_dict("records")),
        groups=(cohort.groups(split.train["id"]), cohort.groups(split.validation["id"])),
        traits=tuple(map(Trait.of, cohort.about["traits"])),
    )  # fmt: skip
    files = {digest for made in sets for digest in made.made.files.values()}
    results = Results(
        **{name: found.get(name, empty) for name, empty in EMPTY.items()},
        memorisation=found["memorisation"],
        fidelity=fidelity,
        facts=withheld.of_facts(settings.facts, hidden),
        counts=counts,
        arms=settings.arms,
        seconds={job.job: job.seconds for job in finished},
        sealed=found.get("sealed_verdicts"),
        curves=settings.curves,
        choices=found.get("choices"),
        selection=Selection(found["selection"], settings.declared) if "selection" in found else None,
        critics=found.get("critics"),
        subgroups=found.get("subgroups"),
        tests=tuple(
            Elsewhere(
                one, images_of(there), there.table("predictions", *TEXT), said.table("table", *TEXT),
                said.table("verdicts", *TEXT), found["table"], there.json(ABOUT)["simulated"],
                there.json(ABOUT)["groups"],
            )
            for one, there, said in zip(settings.tests, tested, judged, strict=True)
        ),
        readers=tuple(Readers(one, files) for one in settings.readings),
        declared=settings.declared,
        segmented=Segmented(
            found["segmentation_table"], found["segmentation_verdicts"], found["segmentation"], settings.segmented,
            settings.unfit, segmenters[0].array("masks").shape[1], counted["without_mask"], counted["left_out"],
        ) if masks else None,
        obedience=Obedience(found["obedience"], settings.declared) if "obedience" in found else None,
    )  # fmt: skip
    ultrasound, texture, learning_curve, probes = (
        found.get(name) for name in ("ultrasound", "texture", "learning_curve", "probes")
    )
    shown = Shown(
        results, cohort, split, adapters, sets, settings.refined, ultrasound, texture, learning_curve, probes,
        settings.real_images,
        Outlines.of(cohort, masks, segmenters) if masks and settings.real_images else None,
        dict(zip((name for name, made in settings.declared.sets.items() if made.condition), observed, strict=True)),
    )  # fmt: skip
    save({name: figure for section in SECTIONS for name, figure in section.figures(shown).items()}, work / "figures")
    pictured = listing(shown)
    disk.write_text(work / "figures" / "pictures.csv", pictured.to_csv(index=False))
    hashes = {"base": values["resolved"]["base"]["digest"], "cohort.csv (hashes of all images)": split.made.digest}
    hashes |= {f"adapters/{made.folder.name}": made.made.digest for made in adapters}
    hashes |= {f"synthetic/{made.name}": made.made.digest for made in sets}
    study = plain_yaml.dump(values) if hidden else settings.study
    provenance = Provenance(study, values, hashes, finished, settings.real_images)
    disk.write_text(work / "page", page(results, provenance, work / "figures", pictured))
    disk.write_text(work / "summary", summary(results))
