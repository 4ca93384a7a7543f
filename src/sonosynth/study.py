"""A study: the stages in order, over its repeats.

The rooms (cohort, diffusion, synthesis, evaluation, report) and the stages don't know of each other; what one needs of
another is handed over here.
"""

from collections.abc import Callable
from functools import cached_property, wraps
from pathlib import Path

import numpy as np

from sonosynth import progress, store
from sonosynth.config import Settings, read_yaml, validated
from sonosynth.errors import UserError
from sonosynth.stages import adapt, evaluate, prepare, report, synthesize
from sonosynth.stages.repeat import Repeat, draws


def alone(stage: Callable[["Study"], None]) -> Callable[["Study"], None]:
    """A stage that no other process may enter meanwhile."""

    @wraps(stage)
    def entered(study: "Study") -> None:
        with study.first.run.alone():
            stage(study)

    return entered


class Study:
    """One study in its run folder. The methods are the stages; each keeps what is finished.

    Args:
        path: the cohort. root: the run folder. settings: of the study.

    Raises:
        UserError: if the run folder holds something else.
    """

    def __init__(self, path: Path, root: Path, settings: Settings) -> None:
        if root.exists() and (not root.is_dir() or (not store.is_empty(root) and not (root / "study.yaml").exists())):
            raise UserError(f"--out {root}: exists and is no run", "a new or empty folder, or the folder of a run")
        for place in (path, root):
            if not str(place).isprintable():
                raise UserError(f"{str(place)!r}: has characters that can't be printed", "a path in UTF-8 text")
        self.path, self.root, self.settings = path.resolve(), root, settings

    @classmethod
    def reopen(cls, root: Path) -> "Study":
        """The study of an existing run folder."""
        file = root / "study.yaml"
        if not file.is_file():
            raise UserError(
                f"{root}: is no run (it has no study.yaml)", fix="start one: sonosynth run COHORT --out RUN"
            )
        values = read_yaml(file)
        path = values.pop("cohort", None)
        if not isinstance(path, str):
            raise UserError(f"{file}: does not name its cohort", fix="sonosynth run COHORT --out RUN")
        values.pop("resolved", None)
        return cls(Path(path), root, validated(values, str(file)))

    @cached_property
    def repeats(self) -> list[Repeat]:
        """The splits and generators of the study."""
        decoded: dict[str, np.ndarray] = {}
        return [Repeat(self.path, self.root, self.settings, draw, decoded) for draw in draws(self.settings)]

    @property
    def first(self) -> Repeat:
        """The repeat whose folder is the run's own."""
        return self.repeats[0]

    @alone
    def everything(self) -> None:
        """The whole study."""
        stages = (
            (self.prepare, "reading the cohort, and splitting it into training and validation images"),
            (self.adapt, "adapting the base to the training images: a learned token, and a LoRA with and without it"),
            (self.synthesize, "making synthetic images that balance the classes: from text, then refined"),
            (self.evaluate, "training classifiers with and without them, and measuring how real they look"),
            (self.report, "drawing the report"),
        )
        for number, (stage, what) in enumerate(stages, 1):
            progress.say(f"[{number}/{len(stages)}] {what}")
            stage()

    @alone
    def prepare(self) -> None:
        """Read and split the cohort: cohort.csv."""
        found = prepare.read(self.first)
        for repeat in self.repeats:
            self._announce(repeat)
            prepare.prepare(repeat, found)

    @alone
    def adapt(self) -> None:
        """Token and LoRA: adapters/<model>/."""
        for repeat in self.repeats:
            self._announce(repeat)
            adapt.adapt(repeat)

    @alone
    def synthesize(self) -> None:
        """The synthetic sets: synthetic/<set>/."""
        for repeat in self.repeats:
            self._announce(repeat)
            synthesize.synthesize(repeat)

    @alone
    def evaluate(self) -> None:
        """Predictions of every arm and seed, their scores, copies, and the fidelity of the sets: evaluation/."""
        files = []
        for repeat in self.repeats:
            self._announce(repeat)
            evaluate.memorise(repeat)
            files += evaluate.classify(repeat)
        evaluate.gather(self.first, files)
        evaluate.fidelity(self.first)
        evaluate.tables(self.first, self.repeats)

    @alone
    def report(self) -> None:
        """The figures, the page, and the table in the terminal; the tables are rebuilt from the predictions."""
        evaluate.tables(self.first, self.repeats)
        report.draw(self.first)

    def _announce(self, repeat: Repeat) -> None:
        if len(self.repeats) > 1:
            progress.say(f"repeat {repeat.draw.number + 1} of {len(self.repeats)}")
