"""The jobs by which a study's segmenters are trained, and which arms have some."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sonosynth.comparisons import seen
from sonosynth.errors import UserError
from sonosynth.jobs import Job
from sonosynth.machine import Machine
from sonosynth.repeats import Repeat
from sonosynth.report import segmentation as report
from sonosynth.report.facts import Comparison, Unfit
from sonosynth.report.tables import Tabulating
from sonosynth.settings import CLASSIFICATION, Settings
from sonosynth.synthesis import ways
from sonosynth.synthesis.settings import Set
from sonosynth.tasks.arms import Arm
from sonosynth.tasks.segmentation import jobs as segmentation

PREDICTIONS, TABLES = "segmentation", "segmentation/tables"  # jobs
MAIN_TABLES = "tables"  # the job that judges a study by its first task


@dataclass(frozen=True)
class Segmenting:
    """What the segmenters of a study share.

    arms: what each adds, and is compared with. small_job: makes a job that trains a segmenter. cohort, masks: jobs.
    parts: the folder for what is kept for later jobs.
    """

    settings: Settings
    machine: Machine
    arms: Mapping[str, Comparison]
    small_job: Callable[..., Job]
    cohort: str
    masks: str
    parts: str

    def of_repeat(self, repeat: Repeat) -> Iterator[Job]:
        """One training per arm that can be segmented, and seed."""
        for name, comparison in compared(self.settings, self.arms).items():
            if comparison.generated or repeat.number == repeat.block:  # without a generator, once for each split
                yield from self._trainings(repeat, name)

    def _trainings(self, repeat: Repeat, name: str) -> Iterator[Job]:
        s, m, arm, at = self.settings, self.machine, self.settings.declared_arms[name], repeat.place
        needs: dict[str, str | tuple[str, ...]] = {
            "cohort": self.cohort, "masks": self.masks, "split": f"{at}split"
        }  # fmt: skip
        if arm.sets:
            needs["sets"] = tuple(f"{at}synthetic/{other}" for other in arm.sets)
        if arm.sets and s.memorisation.drop:
            needs["copies"] = tuple(f"{at}copies/{other}" for other in arm.sets)
        for number in s.seeds_of(name):
            training = segmentation.Training(
                name=name, arm=arm, segmenter=s.segmenter, mirror=s.classifier.mirror, speckle=s.classifier.speckle,
                precision=m.precision, seed=repeat.seed, number=number, draw=repeat.draw, split=repeat.split,
                generator=str(repeat.number) if self.arms[name].generated else "",
                leaks=s.adapt.on == "all" and bool(arm.sets),
            )  # fmt: skip
            part = f"{at}{self.parts}/segmentation/{name}/{number}"
            yield self.small_job(
                f"{at}segmenters/{name}/{number}", segmentation.train, training, needs,
                {"table": f"{part}.csv", "masks": f"{part}.npy", "about": f"{part}.json"},
            )  # fmt: skip

    def tables(
        self, every: Sequence[Repeat], before: Sequence[Job], tabulating: Tabulating, join: Callable[..., Job]
    ) -> Iterator[Job]:
        """segmentation.csv, and what is computed from it.

        Args:
            every, before: all repeats, and their jobs. tabulating: of classification. join: makes a job that
                joins tables.
        """
        s, arms = self.settings, compared(self.settings, self.arms)
        trained = tuple(job.name for job in before if job.run is segmentation.train)
        yield join(PREDICTIONS, trained, "evaluation/segmentation.csv")
        yield Job(
            TABLES if CLASSIFICATION in s.tasks else MAIN_TABLES, report.tabulate,
            replace(tabulating, arms=arms, refused=seen(s, arms)),
            {"cohort": self.cohort, "masks": self.masks, "predictions": PREDICTIONS, "parts": trained,
             "splits": tuple(f"{r.place}split" for r in every),
             "copies": tuple(f"{r.place}memorisation" for r in every)},
            {"about": f"{self.parts}/segmentation.json", "table": "evaluation/segmentation_table.csv",
             "verdicts": "evaluation/segmentation_verdicts.csv"},
        )  # fmt: skip


def unfit(settings: Settings) -> dict[str, Unfit]:
    """The arms without segmenters, and why."""
    found = {}
    for name, arm in settings.declared_arms.items():
        if arm.best_of:
            found[name] = Unfit.CHOOSES
        elif _of_classes(arm):
            found[name] = Unfit.OF_CLASSES
        elif not all(_masked(settings.declared_sets[other]) for other in arm.sets):
            found[name] = Unfit.NO_MASKS
    return found


def _masked(made: Set) -> bool:
    """Whether the images of a set have masks."""
    return ways.find(made.way).masked or bool(made.condition)


def _of_classes(arm: Arm) -> bool:
    """Whether an arm is trained in a way that makes no sense without classes."""
    weighted = arm.balance == "weights" or arm.weight != "none"
    return weighted or bool(arm.mixup) or arm.augmentation == "trivial"


def compared(settings: Settings, arms: Mapping[str, Comparison]) -> dict[str, Comparison]:
    """What the arms with segmenters add, and which of them they are compared with."""
    left = {name: one for name, one in arms.items() if name not in unfit(settings)}

    def there(name: str | None) -> str | None:
        return name if name in left else None

    return {name: replace(one, without=there(one.without), cheap=there(one.cheap)) for name, one in left.items()}


def check(settings: Settings) -> None:
    """Raise UserError if there is a sealed part that nothing would score."""
    if settings.split.sealed and CLASSIFICATION not in settings.tasks:
        raise UserError(
            "split.sealed: segmenters don't score the sealed part",
            "no sealed part, or a study that classifies, too",
            "give split.sealed=0, or tasks=[classification, segmentation]",
        )
