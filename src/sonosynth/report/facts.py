"""What a study was made of, as values; they become words where they are shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Literal

from sonosynth.cohort.settings import AS_IT_IS, Table
from sonosynth.cohort.traits import Trait
from sonosynth.modality import ULTRASOUND, Modality
from sonosynth.reader.scoring import Reading
from sonosynth.section import NO_EFFECT


@dataclass(frozen=True)
class Comparison:
    """What an arm adds, and what it is compared with besides real images.

    sets: the synthetic sets that it adds. control: whether it is a baseline or a control, judged against real images
    alone. without: the same arm without its sets, None if none is declared. cheap: the simple baseline, likewise.
    generated: whether a generator that each repeat has anew made any of its sets.
    """

    sets: tuple[str, ...]
    control: bool
    without: str | None
    cheap: str | None
    generated: bool

    def against(self, reference: str) -> list[str]:
        """The arms that it has to beat besides `reference`."""
        others = () if self.control else (self.without, self.cheap)
        return [name for name in dict.fromkeys(others) if name not in (None, reference)]


Varied = Literal["share", "strength"]


@dataclass(frozen=True)
class Curve:
    """Arms that differ in one value alone: their share of synthetic images, or the strength of their variations.

    without: the arm without their sets that they are compared with, None if there is none. points: values, increasing,
    and names of arms.
    """

    variable: Varied
    without: str | None
    points: tuple[tuple[float, str], ...]


class Fault(StrEnum):
    """Why no verdict may rest on an arm's scores."""

    LEAK = "its generator has seen the scored images"
    UNKNOWN = "it is not known which images the generator of one of its sets has seen"
    CHOSEN = "its epoch was chosen on the scored images"
    COPIES = "too many of its images are copies of training images"
    VERBATIM = "some of its images are training images"
    LOST = "a set that it adds has lost all usable images of a class"


class Unfit(StrEnum):
    """Why an arm has no segmenters."""

    NO_MASKS = "no masks"
    OF_CLASSES = "trained by classes"
    CHOOSES = "chooses among arms"


@dataclass(frozen=True)
class Refusal:
    """A fault, and the share of an arm's images that have it, if it is one of images; lost: classes, by set."""

    fault: Fault
    share: float = 0.0
    lost: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Unsealed:
    """date: when the sealed part was opened, ISO. looks: at the validation images before that, as in `Facts`. spoiled:
    whether that was with other settings than the study's.
    """

    date: str
    looks: int
    spoiled: bool


@dataclass(frozen=True)
class Tested:
    """Another cohort, on which the kept classifiers are tested.

    name: the test's. path: the cohort's. contents: a digest of its images. labels: for each of its labels that means
    one of the study's, that one. date: when that was first done with these settings, ISO. looks: how often these images
    were scored in this folder, each time with other settings or labels. lacking: of each tested arm, those that it has
    to beat, but whose classifiers were not kept. table: how the cohort's table is read.
    """

    name: str
    path: Annotated[str, NO_EFFECT]
    contents: str
    labels: Mapping[str, str]
    date: str
    looks: int
    lacking: Mapping[str, tuple[str, ...]]
    table: Annotated[Table, NO_EFFECT] = AS_IT_IS


@dataclass(frozen=True)
class Facts:
    """What the settings say of a study.

    cohort, base: their names; embedded: whether the base is the small one that ships. networks: for fidelity. seeds:
    their number. leaks: whether the generator was allowed to see the validation images. repeated: the jobs of the first
    split and generator, which each further one repeats, and the share of the machine that each of them takes. looks:
    how often these validation images were scored in this folder, each time with other settings. unsealed: None if the
    sealed part, if any, was never opened. leave_out: the column each of whose values is held out in turn, "" for none.
    own_split: whether the cohort's own split is used.
    marks_filled: whether marks that were found are filled in. modality: of the images. positive: the class that
    matters most, None if none is named. reference: the arm that all others are compared with. cheap, primary: the
    simple baseline and the prespecified arm, if there are any.
    """

    cohort: str
    base: str
    embedded: bool
    resolution: int
    precision: str
    classifier: str
    classifier_resolution: int
    selection: str
    folds: int | None
    draws: int
    generators: int
    seeds: int
    networks: tuple[str, ...]
    leaks: bool
    repeated: Annotated[Mapping[str, float], NO_EFFECT]
    looks: int
    unsealed: Unsealed | None = None
    leave_out: str = ""
    own_split: bool = False
    marks_filled: bool = False
    modality: Modality = ULTRASOUND
    positive: str | None = None
    reference: str = "real"
    cheap: str | None = None
    primary: str | None = None


@dataclass(frozen=True)
class Excluded:
    """Images that are in no split: how many, of which label ("" if it is not known), and why, in words."""

    label: str
    reason: str
    images: int


@dataclass(frozen=True)
class Counts:
    """What a study found in its cohort and its sets.

    twins: pairs of near-duplicates; crossing: those across the split. left_out: validation images that are not scored
    since they have a near-duplicate in training. draws_left_out: draws of folds that an arm has not finished.
    made_again: of each set, how many images showed nothing new at first; unusable: how many still did in the end.
    selected: the sets whose images are selected, which counts in both. inner: images that choose the epoch, or among
    arms. sealed: images that are set aside. adjacent: labels of classes whose images with consecutive file numbers are
    suspiciously alike. excluded: from all sides. groups: how many of those that the cohort names are in training and in
    validation, 0 if it names none. traits: marks and colour.
    """

    simulated: bool
    train: int
    validation: int
    twins: int
    crossing: int
    left_out: int
    draws_left_out: int
    made_again: dict[str, int]
    unusable: dict[str, int]
    inner: int = 0
    sealed: int = 0
    adjacent: tuple[str, ...] = ()
    selected: tuple[str, ...] = ()
    excluded: tuple[Excluded, ...] = ()
    groups: tuple[int, int] = (0, 0)
    traits: tuple[Trait, ...] = ()


@dataclass(frozen=True)
class Remembered:
    """What a run remembers besides its jobs.

    looks, unsealed: as in `Facts`. tests: on other cohorts. readings: what human readers answered. real_images: whether
    the report may show any, and paths.
    """

    looks: int = 1
    unsealed: Unsealed | None = None
    tests: tuple[Tested, ...] = ()
    readings: tuple[Reading, ...] = ()
    real_images: bool = True


NOTHING = Remembered()
