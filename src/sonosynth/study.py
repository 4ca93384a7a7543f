"""Which jobs a study consists of."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sonosynth import adapting, cost, feasibility, folders, jobs, segmenting, shipped
from sonosynth.adapters import jobs as adaptation
from sonosynth.adapters import token as inversion
from sonosynth.adapters.learning import with_token
from sonosynth.bases import sd1
from sonosynth.classifying import weighted_sets
from sonosynth.cohort import captions, mask_jobs, own_split
from sonosynth.cohort.reading import Files
from sonosynth.cohort.sources import one_class
from sonosynth.comparisons import check_choices, controlling, kept, refusals
from sonosynth.curves import curves
from sonosynth.errors import UserError, first_line
from sonosynth.fidelity import jobs as fidelity
from sonosynth.graph import COHORT, MASKS, PARTS, Graph, refine_steps
from sonosynth.jobs import Job
from sonosynth.machine import Machine
from sonosynth.obeying import OBEDIENCE, conditioned_sets
from sonosynth.repeats import Repeat, of_cohort, repeats
from sonosynth.report import jobs as report
from sonosynth.report import sealed, segmentation, subgroups, tables, tested
from sonosynth.report.declared import Declared
from sonosynth.report.facts import NOTHING, Facts, Remembered, Tested
from sonosynth.section import AUTO
from sonosynth.settings import CLASSIFICATION, REFERENCE, SEGMENTATION, Settings
from sonosynth.synthesis import jobs as synthesis
from sonosynth.synthesis import times
from sonosynth.synthesis.given import Given
from sonosynth.synthesis.settings import NOISE, REAL
from sonosynth.tasks import selecting
from sonosynth.tasks.classification import choice, other_cohort
from sonosynth.tasks.classification import jobs as classification
from sonosynth.tasks.segmentation import segmenter

PREDICTIONS, UNSEALED, PROBES = "predictions", "unsealed", "probes"  # jobs
TABLES = segmenting.MAIN_TABLES
CHOICES, SELECTION, CRITICS, SUBGROUPS = "choices", "selection", "critics", "subgroups"  # likewise
TESTS = "tests"  # the folder of tests on other cohorts
TRAINING = (classification.train, choice.train_chosen)
OPTIONAL = (
    PREDICTIONS, segmenting.PREDICTIONS, segmenting.TABLES, "fidelity", "images/ultrasound", "images/texture",
    "learning_curve", CHOICES, CRITICS, OBEDIENCE, PROBES, SELECTION, SUBGROUPS, UNSEALED,
)  # fmt: skip
"""Tables that the report shows if they exist."""


def plan(
    settings: Settings, cohort: Files, machine: Machine, study: str = "", known: Remembered = NOTHING
) -> list[Job]:
    """The jobs of a study, each after those it needs.

    Args:
        study: study.yaml as text, which the report prints. known: what the run remembers besides its jobs.

    Raises:
        UserError: if the settings don't fit the cohort, an installed extension doesn't fit the settings, or the images
            of another generator can't be used.
    """
    settings = of_cohort(settings, cohort)
    given = folders.find(settings, cohort)
    _check(settings, cohort, machine, given)
    graph = Graph(settings, cohort, machine, given, folders.find_masks(settings, cohort))
    if SEGMENTATION in settings.tasks or conditioned_sets(settings):
        segmenter.check_installed()
    if SEGMENTATION in settings.tasks:
        segmenting.check(settings)
    check_choices(settings, graph.arms)
    every = repeats(settings)
    first, *others = ([*graph.of_repeat(repeat)] for repeat in every)
    found = [*graph.of_the_cohort(), *first, *(job for repeat in others for job in repeat), *graph.of_the_first()]
    opened = settings.split.sealed > 0 and known.unsealed is not None and not known.unsealed.spoiled
    tabulating = tables.Tabulating(
        reference=REFERENCE, arms=graph.arms, compare=settings.compare, refused=refusals(settings, graph.arms),
        controls=tuple(sorted(controlling(settings))), blocks=tuple((r.draw, r.split) for r in every),
    )  # fmt: skip
    found += _tables(graph, every, found, tabulating, opened=opened)
    found += [job for test in known.tests for job in _test(graph, every, found, tabulating, test)]
    found.append(_report(graph, found, study, _facts(graph, first, known), known))
    return jobs.ordered(found)


COMMANDS: dict[str, set[object]] = {
    "adapt": {adaptation.learn, adaptation.learn_unet, adaptation.learn_control},
    "synthesize": {synthesis.make, selecting.make_selected},
    "evaluate": {
        fidelity.join, fidelity.single_images, tables.tabulate, subgroups.tabulate, sealed.unseal, segmentation.tabulate
    },
    "report": {report.draw},
}  # fmt: skip
"""What each command of the command line is for; it runs these jobs, and what they need."""


def _check(settings: Settings, cohort: Files, machine: Machine, taken: Mapping[str, Sequence[Given]]) -> None:
    """Raise UserError for what is bound to fail, before anything is decoded."""
    if len(cohort.labels) < 2:
        raise one_class(cohort.path, cohort.labels[0], [source.id for source in cohort.sources], cohort.taken)
    there = f"further columns of its table: {first_line(', '.join(cohort.columns) or '(none)')}"
    for setting, named in (("compare.subgroups", settings.compare.subgroups), ("balance.by", settings.balance.by)):
        if unknown := [name for name in named if name not in cohort.columns]:
            raise UserError(f"{setting}: the cohort has no column {first_line(', '.join(unknown))}", there)
    positive = settings.compare.positive
    if positive not in (None, *cohort.labels, *shipped.positives()):
        raise UserError(
            f"compare.positive: the cohort has no label {first_line(positive)}",
            f"one of {', '.join(cohort.labels)}, or null",
        )
    known = {label: words[label] for words in shipped.words().values() for label in words}
    given = settings.prompts.labels.items()
    unknown = sorted(k for k, words in given if k not in cohort.labels and known.get(k) != words)
    if unknown:
        raise UserError(
            f"prompts.labels: the cohort has no label {first_line(', '.join(unknown))}",
            f"prompts for {', '.join(cohort.labels)}",
        )
    if SEGMENTATION in settings.tasks or settings.controlled:
        mask_jobs.check(cohort, settings.masks.empty)
    if settings.controlled:
        mask_jobs.check_every_class(cohort, settings.masks.empty)
    feasibility.check(settings, cohort.labels, {name: [x.counts for x in images] for name, images in taken.items()})
    words = {label: settings.prompts.of(label) for label in cohort.labels}
    if unknown := [name for name in captions.columns(words.values()) if name not in cohort.columns]:
        raise UserError(
            f"prompts: the cohort has no column {first_line(', '.join(unknown))}",
            f"{{label}}, {{modality}}, or {there}",
        )
    from_noise = [name for name, made in settings.declared_sets.items() if made.start == NOISE and name not in taken]
    unsaid = [name for name in settings.balance.by if any(name not in captions.columns([x]) for x in words.values())]
    if unsaid and from_noise:
        raise UserError(
            f"balance.by: not every prompt names {first_line(', '.join(unsaid))}, and an image from noise has no other"
            f" value than that in its prompt (sets.{from_noise[0]})",
            "prompts that name every column of balance.by",
            f"prompts.template={{modality}} image of {{label}}, {', '.join(f'{{{name}}}' for name in unsaid)}",
        )
    rows = {source.more for source in cohort.sources}
    said = sorted({(label, captions.filled(text, dict(row))) for label, text in words.items() for row in rows})
    prompts: dict[str, dict[str, str | None]] = {"": dict.fromkeys(prompt for _, prompt in said)}
    for name, adapter in settings.declared_adapters.items():
        if isinstance(adapter.token, dict) and adapter.token.keys() != words.keys():
            raise UserError(
                f"adapters.{name}.token: has tokens for {first_line(', '.join(adapter.token))}",
                f"one text for all classes, or one for each of {', '.join(words)}",
            )
        own = {label: adapter.token_of(label) for label in words}
        prompts[name] = {with_token(prompt, own[label]): own[label] for label, prompt in said}
    inversion.check(machine.base.folder, prompts, settings.token.init)
    exact = [name for name in settings.declared_sets if refine_steps(settings, name)]
    for solver in sorted({settings.synthesis_of(name).solver for name in exact}):
        times.check(machine.base.folder, solver)


def _tables(
    graph: Graph, every: Sequence[Repeat], before: Sequence[Job], tabulating: tables.Tabulating, *, opened: bool
) -> Iterator[Job]:  # fmt: skip
    """predictions.csv, and what is computed from it.

    Args:
        before: the jobs of all repeats. opened: whether the sealed part is judged, too.
    """
    s, shared = graph.settings, replace(tabulating, families=len(graph.settings.tasks))
    if selected := [name for name, made in s.declared_sets.items() if made.selected]:
        made = tuple(f"{r.place}synthetic/{name}" for r in every for name in selected)
        yield graph.join(SELECTION, made, "evaluation/selection.csv")
    if observed := tuple(name for repeat in every for name in graph.obeying.parts_of(repeat)):
        yield graph.join(OBEDIENCE, observed, "evaluation/obedience.csv")
    if s.probed_adapters:
        choices = tuple(adapting.choice(r, name) for r in every if r.number == r.block for name in s.probed_adapters)
        yield graph.join(PROBES, choices, "evaluation/probes.csv")
    if SEGMENTATION in s.tasks:
        yield from graph.segmenting.tables(every, before, shared, graph.join)
    if CLASSIFICATION not in s.tasks:
        return
    trained = tuple(job.name for job in before if job.run in TRAINING)
    yield graph.join(PREDICTIONS, trained, "evaluation/predictions.csv")
    if chosen := tuple(job.name for job in before if job.run is choice.choose):
        yield graph.join(CHOICES, chosen, "evaluation/choices.csv")
    if s.classifier.steps == AUTO:
        yield graph.join(
            "learning_curve", tuple(dict.fromkeys(f"{r.first}steps" for r in every)), "evaluation/learning_curve.csv"
        )
    if weighted := weighted_sets(s):
        judged = tuple(f"{r.place}critics/{name}" for r in every for name in weighted)
        yield graph.join(CRITICS, judged, "evaluation/critics.csv")
    copies = tuple(f"{r.place}memorisation" for r in every)
    yield Job(
        TABLES, tables.tabulate, shared,
        {"cohort": COHORT, "predictions": PREDICTIONS, "parts": trained,
         "splits": tuple(f"{r.place}split" for r in every), "copies": copies},
        {"about": f"{PARTS}/evaluation.json"}
        | {name: f"evaluation/{name}.csv" for name in ("table", "classes", "verdicts")},
    )  # fmt: skip

    if s.compare.subgroups:
        yield Job(
            SUBGROUPS, subgroups.tabulate, subgroups.Tabulating(tabulating.blocks, s.compare.subgroups, REFERENCE),
            {"cohort": COHORT, "predictions": PREDICTIONS, "splits": tuple(f"{r.place}split" for r in every)},
            {"table": "evaluation/subgroups.csv"},
        )  # fmt: skip
    if opened:
        yield Job(
            UNSEALED, sealed.unseal, tabulating, {"cohort": COHORT, "parts": trained, "copies": copies},
            {"predictions": "evaluation/sealed.csv", "verdicts": "evaluation/sealed_verdicts.csv"},
        )  # fmt: skip


def _test(
    graph: Graph, every: Sequence[Repeat], before: Sequence[Job], tabulating: tables.Tabulating, test: Tested
) -> Iterator[Job]:  # fmt: skip
    """The test of the kept classifiers on another cohort.

    Args:
        before: the jobs of all repeats.
    """
    s, m, name = graph.settings, graph.machine, f"{TESTS}/{test.name}"
    trained = [job for job in before if job.run in TRAINING and classification.WEIGHTS in job.makes]
    sets = dict.fromkeys(made for job in trained for made in job.needs.get("sets", ()))
    needs: dict[str, str | tuple[str, ...]] = {
        "cohort": COHORT, "parts": tuple(job.name for job in trained), "sets": tuple(sets)
    }  # fmt: skip
    testing = other_cohort.Testing(
        name=test.name, path=Path(test.path), contents=test.contents, labels=test.labels, split=s.split,
        start=m.classifier, side=s.resolution, resolution=s.classifier.resolution,
        fill=s.marks.remove == "all", how=s.reading, table=test.table,
    )  # fmt: skip
    places = {"images": f"{name}/cohort.csv", "predictions": f"{name}/predictions.csv"}
    yield graph.model_job(
        f"{name}/{PREDICTIONS}", other_cohort.predict, testing, {**needs, "split": "split"},
        {**places, "about": f"{PARTS}/{name}.json"},
    )  # fmt: skip
    yield Job(
        name, tested.judge, tested.Judging(test.name, tested.of_kept(tabulating, kept(s))),
        {**needs, "tested": f"{name}/{PREDICTIONS}", "copies": tuple(f"{r.place}memorisation" for r in every)},
        {role: f"{name}/{role}.csv" for role in ("table", "classes", "verdicts")},
    )  # fmt: skip


def declared(settings: Settings) -> Declared:
    """The adapters, sets and arms of a study."""
    sets = settings.declared_sets
    strengths = {name: settings.strength_of(name) for name, made in sets.items() if made.start != NOISE}
    return Declared(settings.declared_adapters, sets, settings.declared_arms, strengths)


def _facts(graph: Graph, repeated: Sequence[Job], known: Remembered) -> Facts:
    """What the report says of the study. repeated: the jobs of the first repeat."""
    s, m = graph.settings, graph.machine
    fold = (s.repeats.folds, 0) if s.repeats.folds else None
    return Facts(
        cohort=graph.files.path.name, base=s.base, embedded=s.base == sd1.EMBEDDED,
        resolution=s.resolution, precision=m.precision,
        classifier=s.classifier.model, classifier_resolution=s.classifier.resolution,
        selection=s.classifier.selection, folds=s.repeats.folds, draws=s.repeats.draws,
        generators=s.repeats.generators, seeds=len(s.classifier.seeds), leaks=graph.leaks,
        networks=tuple(network.name for network in m.networks),
        repeated={job.name: cost.share(job, m.cores) for job in repeated}, looks=known.looks,
        unsealed=known.unsealed, leave_out=s.split.leave_out,
        own_split=own_split.used(s.split, [source.given for source in graph.files.sources], fold),
        marks_filled=s.marks.remove == "all", modality=s.modality,
        positive=s.compare.positive if s.compare.positive in graph.files.labels else None, reference=REFERENCE,
        cheap=s.compare.cheap, primary=s.compare.primary,
    )  # fmt: skip


def _report(graph: Graph, others: Sequence[Job], study: str, facts: Facts, known: Remembered) -> Job:
    """The figures and the page."""
    s = graph.settings
    arms = segmenting.compared(s, graph.arms) if SEGMENTATION in s.tasks else {}
    drawing = report.Drawing(
        facts, {name: arm.sets for name, arm in graph.arms.items()},
        {name: made.start for name, made in s.declared_sets.items() if made.start not in (NOISE, REAL)}, study,
        curves(s, graph.arms) if CLASSIFICATION in s.tasks else (), known.tests, known.readings, declared(s),
        known.real_images, {name: arm.sets for name, arm in arms.items()},
        segmenting.unfit(s) if arms else {},
    )  # fmt: skip
    gathered = [TABLES, "memorisation", *(job.name for job in others if job.name in OPTIONAL)]
    needs: dict[str, str | tuple[str, ...]] = {
        "cohort": COHORT, "split": "split", "tables": tuple(gathered),
        "adapters": tuple(f"adapters/{name}" for name in s.declared_adapters),
        "sets": tuple(f"synthetic/{name}" for name in s.declared_sets),
        "finished": tuple(job.name for job in others),
        "tested": tuple(f"{TESTS}/{test.name}/{PREDICTIONS}" for test in known.tests),
        "judged": tuple(f"{TESTS}/{test.name}" for test in known.tests),
    }  # fmt: skip
    if arms:
        needs |= {"masks": MASKS, "segmenters": tuple(f"segmenters/{name}/{s.seeds_of(name)[0]}" for name in arms)}
    needs["observed"] = tuple(f"{OBEDIENCE}/{name}" for name in conditioned_sets(s))
    places = {"figures": "figures", "page": "report.html", "summary": f"{PARTS}/summary.txt"}
    return Job("report", report.draw, drawing, needs, places)
