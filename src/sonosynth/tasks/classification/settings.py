"""Settings of the classifiers, and of the arms that they are trained for."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sonosynth.section import MAX_COUNT, NO_EFFECT, Positive, Rate, Section, Seed

RANDOM = "resnet-18"
"""The model that starts from random weights."""


class Arm(Section):
    """A row of the ablation: which images a classifier is trained on, and what is done about imbalance."""

    sets: Annotated[tuple[str, ...], NO_EFFECT] = Field((), description="synthetic sets that are added, all of them")
    real: bool = Field(True, description="whether the real training images are in; false: the sets alone")
    balance: Literal["none", "oversample", "weights"] = Field(
        "none", description="repeat images of small classes, or weight the loss by class"
    )
    augmentation: Literal["flip", "classical", "trivial"] = Field(
        "flip",
        description="horizontal flips alone (paper), or also rotations, shifts, zooms, speckle and gain (classical) or"
        " TrivialAugment (Müller and Hutter, ICCV 2021)",
    )
    mixup: float = Field(0.0, ge=0, le=10, description="alpha of MixUp (Zhang et al., ICLR 2018); 0 is none")

    seeds: Annotated[tuple[Seed, ...] | None, Field(min_length=1, max_length=1000), NO_EFFECT] = Field(
        None, description="one training per seed; absent: `classifier.seeds`. The one setting that `real` takes, too"
    )

    @model_validator(mode="after")
    def _has_images(self) -> "Arm":
        if len(set(self.sets)) < len(self.sets):
            raise ValueError("each set once")
        if len(set(self.seeds or ())) < len(self.seeds or ()):
            raise ValueError("seeds must differ, or the same training would count twice")
        if not self.real and not self.sets:
            raise ValueError("real is false: needs sets to be trained on")
        return self


class Classifier(Section):
    """The classifier of the ablation."""

    model: Annotated[str, NO_EFFECT] = Field(
        RANDOM,
        min_length=1,
        description="resnet-18 (random weights), or a transformers image classifier by hub id or folder"
        " (paper: microsoft/resnet-18, ImageNet weights)",
    )
    epochs: Positive = Field(
        30,
        description="passes over the training images after the balance plan; the same steps for every arm (paper: 30)",
    )
    batch: Annotated[int, Field(ge=2, le=MAX_COUNT)] = Field(16, description="images in a batch (paper: 16)")
    learning_rate: Rate = Field(1e-4, description="learning rate of Adam (paper: 1e-4)")
    resolution: Annotated[int, Field(ge=32, le=4096)] = Field(
        128, description="side of the square input, pixels (scripts: 224)"
    )
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, max_length=1000), NO_EFFECT] = Field(
        (0, 1, 2), description="one training per seed"
    )
    selection: Literal["last", "inner", "validation"] = Field(
        "last",
        description="epoch that is scored: the last, the best on a fifth of the training images, which nothing is then"
        " trained on, or the best on the validation images (scripts; optimistic, and labelled so)",
    )

    @model_validator(mode="after")
    def _distinct_seeds(self) -> "Classifier":
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds must differ, or the same training would count twice")
        return self
