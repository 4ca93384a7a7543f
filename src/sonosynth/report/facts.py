"""What a study was made of, as values; they become words where they are shown."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Facts:
    """What the settings say of a study.

    cohort, base: their names; embedded: whether the base is the small one that ships. network: for fidelity. seeds:
    their number. leaks: whether the generator was allowed to see the validation images.
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
    times: int
    generators: int
    seeds: int
    network: str
    leaks: bool


@dataclass(frozen=True)
class Counts:
    """What a study found in its cohort and its sets.

    twins: pairs of near-duplicates; crossing: those across the split. made_again: of each set, how many images showed
    nothing new at first; unusable: how many still showed nothing new in the end. adjacent: labels of classes whose
    images with consecutive file numbers are suspiciously alike.
    """

    simulated: bool
    train: int
    validation: int
    twins: int
    crossing: int
    made_again: dict[str, int]
    unusable: dict[str, int]
    adjacent: tuple[str, ...] = ()
