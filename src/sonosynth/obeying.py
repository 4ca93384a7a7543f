"""The jobs by which a study finds out whether images show the masks that they are made under."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sonosynth import seeding
from sonosynth.fidelity.settings import FIRST
from sonosynth.jobs import Job
from sonosynth.machine import Machine
from sonosynth.repeats import Repeat
from sonosynth.settings import Settings
from sonosynth.synthesis.settings import REAL
from sonosynth.tasks.segmentation import obedience, observers

OBSERVERS, CHOOSERS = "training/observers", "training/choosers"  # of a repeat: the jobs that train them
OBEDIENCE = "obedience"  # of a set: the prefix of the job that observes it; alone, that of all


@dataclass(frozen=True)
class Obeying:
    """What is common to all repeats.

    small_job: makes a job that trains a segmenter. cohort, masks: jobs. parts: the folder for what is kept for later
    jobs.
    """

    settings: Settings
    machine: Machine
    small_job: Callable[..., Job]
    cohort: str
    masks: str
    parts: str

    def of_repeat(self, repeat: Repeat) -> Iterator[Job]:
        """Those that choose images; those that observe the images of a split; and what they see.

        The two are trained apart, in other folds and from other weights: seen by those that chose them, images would
        obey better than they do.
        """
        if chosen_by_mask(self.settings):
            yield self._training(repeat, CHOOSERS)
        if not self.observed(repeat):
            return
        at, s = repeat.place, self.settings
        needs: dict[str, str | tuple[str, ...]] = {"split": f"{at}split"}
        if repeat.number == repeat.block:
            yield self._training(repeat, OBSERVERS)
            yield self._observing(
                repeat, REAL, "", obedience.observe_real, {**needs, "cohort": self.cohort, "masks": self.masks}
            )  # fmt: skip
        for name in conditioned_sets(s):
            needed = {**needs, "images": f"{at}synthetic/{name}"}
            yield self._observing(repeat, name, str(repeat.number), obedience.observe_set, needed)

    def observed(self, repeat: Repeat) -> bool:
        """Whether a repeat has images whose obedience is measured."""
        return bool(conditioned_sets(self.settings)) and (
            repeat.number == 0 or self.settings.fidelity.obedience != FIRST
        )

    def parts_of(self, repeat: Repeat) -> tuple[str, ...]:
        """The jobs that observe the images of a repeat."""
        real = (f"{repeat.place}{OBEDIENCE}/{REAL}",) if repeat.number == repeat.block else ()
        sets = tuple(f"{repeat.place}{OBEDIENCE}/{name}" for name in conditioned_sets(self.settings))
        return (*real, *sets) if self.observed(repeat) else ()

    def _training(self, repeat: Repeat, name: str) -> Job:
        s, place = self.settings, f"{repeat.place}{self.parts}/{name.rpartition('/')[2]}"
        seed = seeding.derive(repeat.seed, name)
        training = observers.Training(
            s.segmenter, s.classifier.mirror, s.classifier.speckle, self.machine.precision, seed
        )
        return self.small_job(
            f"{repeat.place}{name}", observers.train_observers, training,
            {"cohort": self.cohort, "masks": self.masks, "split": f"{repeat.place}split"},
            {"weights": f"{place}.safetensors", "about": f"{place}.json"},
        )  # fmt: skip

    def _observing(
        self, repeat: Repeat, name: str, generator: str, run: Callable[..., None],
        needs: dict[str, str | tuple[str, ...]],
    ) -> Job:  # fmt: skip
        place = f"{repeat.place}{self.parts}/{OBEDIENCE}/{name}"
        return self.small_job(
            f"{repeat.place}{OBEDIENCE}/{name}", run,
            obedience.Observing(name, repeat.draw, repeat.split, generator),
            {**needs, "observers": f"{repeat.first}{OBSERVERS}"}, {"table": f"{place}.csv", "seen": f"{place}.npy"},
        )  # fmt: skip


def conditioned_sets(settings: Settings) -> tuple[str, ...]:
    """The sets whose images are made under masks."""
    return tuple(name for name, made in settings.declared_sets.items() if made.condition)


def chosen_by_mask(settings: Settings) -> bool:
    """Whether images of some set are made again if they miss their masks."""
    return any(made.obey is not None for made in settings.declared_sets.values())
