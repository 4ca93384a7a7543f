"""Which jobs a study consists of."""

from collections.abc import Iterator, Mapping, Sequence

from sonosynth import adapting, cost, feasibility, folders, jobs
from sonosynth.adapters import jobs as adaptation
from sonosynth.adapters import token as inversion
from sonosynth.adapters.learning import with_token
from sonosynth.bases import sd1
from sonosynth.classifying import selected_sets, weighted_sets
from sonosynth.cohort.reading import Files
from sonosynth.comparisons import check_choices, controlling, refusals
from sonosynth.curves import curves
from sonosynth.errors import UserError, first_line
from sonosynth.fidelity import jobs as fidelity
from sonosynth.graph import COHORT, PARTS, Graph, refine_steps
from sonosynth.jobs import Job
from sonosynth.machine import Machine
from sonosynth.repeats import Repeat, repeats
from sonosynth.report import jobs as report
from sonosynth.report import sealed, tables
from sonosynth.report.facts import Facts, Unsealed
from sonosynth.section import AUTO
from sonosynth.settings import REFERENCE, Settings, shipped_words
from sonosynth.synthesis import jobs as synthesis
from sonosynth.synthesis import times
from sonosynth.synthesis.given import Given
from sonosynth.synthesis.settings import NOISE, REAL
from sonosynth.tasks.classification import choice, selecting
from sonosynth.tasks.classification import jobs as classification

PREDICTIONS, TABLES, UNSEALED, PROBES = "predictions", "tables", "unsealed", "probes"  # jobs
CHOICES, SELECTION, CRITICS = "choices", "selection", "critics"  # likewise
OPTIONAL = (
    "fidelity",
    "images/ultrasound",
    "images/texture",
    "learning_curve",
    CHOICES,
    CRITICS,
    PROBES,
    SELECTION,
    UNSEALED,
)  # tables that the report shows if they exist


def plan(
    settings: Settings, cohort: Files, machine: Machine, study: str = "", looks: int = 1,
    unsealed: Unsealed | None = None,
) -> list[Job]:  # fmt: skip
    """The jobs of a study, each after those it needs.

    Args:
        study: study.yaml as text, which the report prints. looks, unsealed: as in `report.facts.Facts`.

    Raises:
        UserError: if the settings don't fit the cohort, an installed extension doesn't fit the settings, or the images
            of another generator can't be used.
    """
    given = folders.find(settings, cohort)
    _check(settings, cohort, machine, given)
    graph = Graph(settings, cohort, machine, given)
    check_choices(settings, graph.arms)
    every = repeats(settings)
    first, *others = ([*graph.of_repeat(repeat)] for repeat in every)
    found = [*graph.of_the_cohort(), *first, *(job for repeat in others for job in repeat), *graph.of_the_first()]
    opened = settings.split.sealed > 0 and unsealed is not None and not unsealed.spoiled
    found += _tables(graph, every, found, opened=opened)
    found.append(_report(graph, found, study, first, looks, unsealed))
    return jobs.ordered(found)


COMMANDS: dict[str, set[object]] = {
    "adapt": {adaptation.learn, adaptation.learn_unet},
    "synthesize": {synthesis.make, selecting.make_selected},
    "evaluate": {fidelity.join, fidelity.single_images, tables.tabulate, sealed.unseal},
    "report": {report.draw},
}
"""What each command of the command line is for; it runs these jobs, and what they need."""


def _check(settings: Settings, cohort: Files, machine: Machine, taken: Mapping[str, Sequence[Given]]) -> None:
    """Raise UserError for what is bound to fail, before anything is decoded."""
    if len(cohort.labels) < 2:
        raise UserError(
            f"cohort {cohort.path}: has one class, {', '.join(cohort.labels)}",
            "at least two classes",
            "give the folder that holds the class folders, not one of them",
        )
    shipped = {label: words[label] for words in shipped_words().values() for label in words}
    given = settings.prompts.labels.items()
    unknown = sorted(k for k, words in given if k not in cohort.labels and shipped.get(k) != words)
    if unknown:
        raise UserError(
            f"prompts.labels: the cohort has no label {first_line(', '.join(unknown))}",
            f"prompts for {', '.join(cohort.labels)}",
        )
    feasibility.check(settings, cohort.labels, {name: [x.counts for x in images] for name, images in taken.items()})
    words = {label: settings.prompts.of(label) for label in cohort.labels}
    prompts: dict[str, dict[str, str | None]] = {"": dict.fromkeys(words.values())}
    for name, adapter in settings.declared_adapters.items():
        if isinstance(adapter.token, dict) and adapter.token.keys() != words.keys():
            raise UserError(
                f"adapters.{name}.token: has tokens for {first_line(', '.join(adapter.token))}",
                f"one text for all classes, or one for each of {', '.join(words)}",
            )
        own = {label: adapter.token_of(label) for label in words}
        prompts[name] = {with_token(prompt, own[label]): own[label] for label, prompt in words.items()}
    inversion.check(machine.base.folder, prompts, settings.token.init)
    exact = [name for name in settings.declared_sets if refine_steps(settings, name)]
    for solver in sorted({settings.synthesis_of(name).solver for name in exact}):
        times.check(machine.base.folder, solver)


def _tables(
    graph: Graph, every: Sequence[Repeat], before: Sequence[Job], *, opened: bool
) -> Iterator[Job]:  # fmt: skip
    """predictions.csv, and what is computed from it.

    Args:
        before: the jobs of all repeats. opened: whether the sealed part is judged, too.
    """
    s = graph.settings
    trained = tuple(job.name for job in before if job.run in (classification.train, choice.train_chosen))
    yield graph.join(PREDICTIONS, trained, "evaluation/predictions.csv")
    if chosen := tuple(job.name for job in before if job.run is choice.choose):
        yield graph.join(CHOICES, chosen, "evaluation/choices.csv")
    tabulating = tables.Tabulating(
        reference=REFERENCE, arms=graph.arms, compare=s.compare, refused=refusals(s, graph.arms),
        controls=tuple(sorted(controlling(s))), blocks=tuple((r.draw, r.split) for r in every),
    )  # fmt: skip
    if s.classifier.steps == AUTO:
        yield graph.join(
            "learning_curve", tuple(dict.fromkeys(f"{r.first}steps" for r in every)), "evaluation/learning_curve.csv"
        )
    if s.probed_adapters:
        choices = tuple(adapting.choice(r, name) for r in every if r.number == r.block for name in s.probed_adapters)
        yield graph.join(PROBES, choices, "evaluation/probes.csv")
    if weighted := weighted_sets(s):
        judged = tuple(f"{r.place}critics/{name}" for r in every for name in weighted)
        yield graph.join(CRITICS, judged, "evaluation/critics.csv")
    if selected := selected_sets(s):
        made = tuple(f"{r.place}synthetic/{name}" for r in every for name in selected)
        yield graph.join(SELECTION, made, "evaluation/selection.csv")
    copies = tuple(f"{r.place}memorisation" for r in every)
    yield Job(
        TABLES, tables.tabulate, tabulating,
        {"cohort": COHORT, "predictions": PREDICTIONS, "parts": trained,
         "splits": tuple(f"{r.place}split" for r in every), "copies": copies},
        {"about": f"{PARTS}/evaluation.json"}
        | {name: f"evaluation/{name}.csv" for name in ("table", "classes", "verdicts")},
    )  # fmt: skip

    if opened:
        yield Job(
            UNSEALED, sealed.unseal, tabulating, {"cohort": COHORT, "parts": trained, "copies": copies},
            {"predictions": "evaluation/sealed.csv", "verdicts": "evaluation/sealed_verdicts.csv"},
        )  # fmt: skip


def _report(
    graph: Graph, others: Sequence[Job], study: str, repeated: Sequence[Job], looks: int, unsealed: Unsealed | None
) -> Job:
    """The figures and the page."""
    s, m = graph.settings, graph.machine
    facts = Facts(
        cohort=graph.files.path.name, base=s.base, embedded=s.base == sd1.EMBEDDED,
        resolution=s.resolution, precision=m.precision,
        classifier=s.classifier.model, classifier_resolution=s.classifier.resolution,
        selection=s.classifier.selection, folds=s.repeats.folds, draws=s.repeats.draws,
        generators=s.repeats.generators, seeds=len(s.classifier.seeds), leaks=graph.leaks,
        networks=tuple(network.name for network in m.networks),
        repeated={job.name: cost.share(job, m.cores) for job in repeated}, looks=looks,
        unsealed=unsealed, marks_filled=s.marks.remove == "all", modality=s.modality,
    )  # fmt: skip
    drawing = report.Drawing(
        facts, {name: arm.sets for name, arm in graph.arms.items()},
        {name: made.start for name, made in s.declared_sets.items() if made.start not in (NOISE, REAL)}, study,
        curves(s, graph.arms),
    )  # fmt: skip
    gathered = [TABLES, PREDICTIONS, "memorisation", *(job.name for job in others if job.name in OPTIONAL)]
    needs: dict[str, str | tuple[str, ...]] = {
        "cohort": COHORT, "split": "split", "tables": tuple(gathered),
        "adapters": tuple(f"adapters/{name}" for name in s.declared_adapters),
        "sets": tuple(f"synthetic/{name}" for name in s.declared_sets),
        "finished": tuple(job.name for job in others),
    }  # fmt: skip
    places = {"figures": "figures", "page": "report.html", "summary": f"{PARTS}/summary.txt"}
    return Job("report", report.draw, drawing, needs, places)
