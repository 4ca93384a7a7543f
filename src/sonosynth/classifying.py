"""The jobs by which a study's classifiers are trained: critics, the search for a number of steps, arms, and choices."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from sonosynth import seeding
from sonosynth.comparisons import candidates, kept
from sonosynth.jobs import Job
from sonosynth.machine import Machine
from sonosynth.repeats import Repeat
from sonosynth.report.facts import Comparison
from sonosynth.section import AUTO
from sonosynth.settings import CLASSIFICATION, Settings
from sonosynth.tasks.arms import Arm
from sonosynth.tasks.classification import choice, critics, search
from sonosynth.tasks.classification import jobs as classification

TRAINED_CRITICS = "training/critics"  # of a repeat: the job that trains them

Needs = dict[str, str | tuple[str, ...]]


@dataclass(frozen=True)
class Classifying:
    """What the classifiers of a study share.

    arms: what each adds, and is compared with. small_job: makes a job that trains a classifier. cohort: a job. parts:
    the folder for what is kept for later jobs.
    """

    settings: Settings
    machine: Machine
    arms: Mapping[str, Comparison]
    small_job: Callable[..., Job]
    cohort: str
    parts: str

    def of_repeat(self, repeat: Repeat) -> Iterator[Job]:
        """Critics and what they say of sets; the search for a number of steps; one training per arm and seed.

        Of a study that classifies nothing, only what selects images.
        """
        classified = CLASSIFICATION in self.settings.tasks
        yield from self._critics(repeat)
        searched = classified or bool(selected_sets(self.settings))
        if searched and self.settings.classifier.steps == AUTO and repeat.number == repeat.block:
            yield self._search(repeat)
        if not classified:
            return
        for name, arm in self.settings.declared_arms.items():
            if self.arms[name].generated or repeat.number == repeat.block:  # without a generator, once for each split
                yield from self._choice(repeat, name) if arm.best_of else self._trainings(repeat, name)

    def _critics(self, repeat: Repeat) -> Iterator[Job]:
        """Classifiers of real images, if sets are selected or weighted by them, and what they say of the latter."""
        s, m, at = self.settings, self.machine, repeat.place
        needs, weighted, trained = {"split": f"{at}split"}, weighted_sets(s), f"{at}{TRAINED_CRITICS}"
        if weighted or selected_sets(s):
            training = critics.Training(s.classifier, s.balance, m.classifier, m.precision, repeat.seed)
            yield self.small_job(
                trained, critics.train_critics, training, {"cohort": self.cohort, **needs, **self._steps(repeat)},
                {"weights": f"{at}{self.parts}/critics.safetensors", "about": f"{at}{self.parts}/critics.json"},
            )  # fmt: skip
        for name in weighted:
            judging = critics.Judging(name, m.classifier, s.classifier.resolution, repeat.draw, repeat.split)
            yield self.small_job(
                f"{at}critics/{name}", critics.judge_set, judging,
                {**needs, "images": f"{at}synthetic/{name}", "critics": trained},
                {"table": f"{at}{self.parts}/critics/{name}.csv"},
            )  # fmt: skip

    def _search(self, repeat: Repeat) -> Job:
        """The search for the number of steps of all arms of a split."""
        s, m, at = self.settings, self.machine, repeat.place
        searching = search.Searching(s.classifier, m.classifier, m.precision, repeat.seed, repeat.draw, repeat.split)
        return self.small_job(
            f"{at}steps", search.find_steps, searching, {"cohort": self.cohort, "split": f"{at}split"},
            {"table": f"{at}{self.parts}/steps.csv", "about": f"{at}{self.parts}/steps.json"},
        )  # fmt: skip

    def _steps(self, repeat: Repeat) -> Needs:
        return {"search": f"{repeat.first}steps"} if self.settings.classifier.steps == AUTO else {}

    def _trainings(self, repeat: Repeat, name: str) -> Iterator[Job]:
        """The trainings of an arm, one for each seed."""
        arm, candidate = self.settings.declared_arms[name], name in candidates(self.settings)
        for number in self.settings.seeds_of(name):
            training = self._training(repeat, name, name, number, candidate=candidate)
            part = f"{repeat.place}{self.parts}/predictions/{name}/{number}"
            inner = {"inner": f"{part}.inner.csv"} if candidate else {}
            yield self.small_job(
                f"{repeat.place}classifiers/{name}/{number}", classification.train, training,
                self._needs(repeat, arm.sets, _weighted(arm)),
                {"table": f"{part}.csv", "about": f"{part}.json"} | inner | self._weights(repeat, name, number),
            )  # fmt: skip

    def _choice(self, repeat: Repeat, name: str) -> Iterator[Job]:
        """The choice of an arm among others, and the trainings of the one that is chosen."""
        s, at, among = self.settings, repeat.place, self.settings.declared_arms[name].best_of
        numbers = s.seeds_of(among[0])
        choosing = choice.Choosing(name, repeat.draw, repeat.split, self._generator(repeat, name))
        trained = tuple(f"{at}classifiers/{other}/{number}" for other in among for number in numbers)
        yield Job(
            f"{at}choices/{name}", choice.choose, choosing,
            {"cohort": self.cohort, "split": f"{at}split", "candidates": trained},
            {"table": f"{at}{self.parts}/choices/{name}.csv"},
        )  # fmt: skip
        arms = {other: s.declared_arms[other] for other in among}
        sets = tuple(dict.fromkeys(made for arm in arms.values() for made in arm.sets))
        weighted = tuple(dict.fromkeys(made for arm in arms.values() for made in _weighted(arm)))
        for number in numbers:
            anew = choice.Anew(
                trainings={other: self._training(repeat, name, other, number, anew=True) for other in among},
                sets={other: tuple(map(sets.index, arm.sets)) for other, arm in arms.items()},
                critics={other: tuple(map(weighted.index, _weighted(arm))) for other, arm in arms.items()},
            )
            part = f"{at}{self.parts}/predictions/{name}/{number}"
            yield self.small_job(
                f"{at}classifiers/{name}/{number}", choice.train_chosen, anew,
                {**self._needs(repeat, sets, weighted), "choice": f"{at}choices/{name}"},
                {"table": f"{part}.csv", "about": f"{part}.json"} | self._weights(repeat, name, number),
            )  # fmt: skip

    def _weights(self, repeat: Repeat, name: str, number: int) -> dict[str, str]:
        """Where a trained classifier of an arm is kept, if it is."""
        place = f"{repeat.place}classifiers/{name}/{number}.safetensors"
        return {classification.WEIGHTS: place} if name in kept(self.settings) else {}

    def _training(
        self, repeat: Repeat, name: str, kind: str, number: int, *, candidate: bool = False, anew: bool = False
    ) -> classification.Training:
        """A training for the arm `name` as the arm `kind` is trained; `anew`: with chance of its own."""
        s, m, arm = self.settings, self.machine, self.settings.declared_arms[kind]
        return classification.Training(
            name=name, arm=arm, classifier=s.classifier, balance=s.balance, start=m.classifier,
            precision=m.precision, seed=seeding.derive(repeat.seed, "anew") if anew else repeat.seed, number=number,
            draw=repeat.draw, split=repeat.split, generator=self._generator(repeat, name),
            leaks=s.adapt.on == "all" and bool(arm.sets), candidate=candidate, kept=name in kept(s),
        )  # fmt: skip

    def _generator(self, repeat: Repeat, name: str) -> str:
        """As in predictions.csv."""
        return str(repeat.number) if self.arms[name].generated else ""

    def _needs(self, repeat: Repeat, sets: tuple[str, ...], weighted: tuple[str, ...]) -> Needs:
        """What a training with these sets needs, of which critics weight some."""
        at, found = repeat.place, Needs({"cohort": self.cohort, "split": f"{repeat.place}split"})
        if sets:
            found["sets"] = tuple(f"{at}synthetic/{name}" for name in sets)
        if sets and self.settings.memorisation.drop:
            found["copies"] = tuple(f"{at}copies/{name}" for name in sets)
        if weighted:
            found["critics"] = tuple(f"{at}critics/{name}" for name in weighted)
        return found | self._steps(repeat)


def weighted_sets(settings: Settings) -> tuple[str, ...]:
    """The sets whose images some arm of classifiers weights."""
    if CLASSIFICATION not in settings.tasks:
        return ()
    return tuple(sorted({name for arm in settings.declared_arms.values() for name in _weighted(arm)}))


def _weighted(arm: Arm) -> tuple[str, ...]:
    return arm.sets if arm.weight != "none" else ()


def selected_sets(settings: Settings) -> tuple[str, ...]:
    """The sets whose images are selected while they are made."""
    return tuple(name for name, made in settings.declared_sets.items() if made.select)
