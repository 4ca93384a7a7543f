"""Settings of the classifiers."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sonosynth.section import MAX_COUNT, NO_EFFECT, Positive, Rate, Section, Seed

RANDOM = "resnet-18"
"""The model that starts from random weights."""


class Testing(Section):
    """Which trained classifiers `sonosynth test` has for another cohort."""

    arms: Annotated[tuple[str, ...] | None, NO_EFFECT] = Field(
        None,
        description="arms whose trained classifiers are kept, in half precision, for `sonosynth test`; absent: `real`,"
        " `compare.cheap` and `compare.primary`. `real` is always among them; []: none are kept",
    )


class Classifier(Section):
    """The classifier of the ablation."""

    model: Annotated[str, NO_EFFECT] = Field(
        "embedded",
        min_length=1,
        description="resnet-18 (random weights), embedded (the feature network, pretrained on simulated images), a"
        " transformers image classifier by hub id or folder (paper: microsoft/resnet-18, ImageNet weights), or a"
        " function of an installed package as module:name",
    )
    epochs: Positive = Field(
        30,
        description="passes over the training images after the balance plan; the same steps for every arm (paper: 30)",
    )
    steps: Positive | Literal["auto"] | None = Field(
        None,
        description="optimiser steps of every arm; absent: from `epochs`; auto: found in every block on a fifth of its"
        " real training images",
    )
    batch: Annotated[int, Field(ge=2, le=MAX_COUNT)] = Field(16, description="images in a batch (paper: 16)")
    learning_rate: Rate = Field(1e-3, description="peak learning rate of Adam (paper: 1e-4)")
    schedule: Literal["constant", "cosine"] = Field(
        "cosine", description="of the learning rate: constant (paper), or falling to 0 along a cosine"
    )
    average: float = Field(
        0.0,
        ge=0,
        le=1,
        description="the last share of the steps, over which weights are averaged (Izmailov et al., UAI 2018), with"
        " batch statistics of the real training images; 0: those of the last step (paper)",
    )
    resolution: Annotated[int, Field(ge=32, le=4096)] = Field(
        128, description="side of the square input, pixels (scripts: 224)"
    )
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, max_length=1000), NO_EFFECT] = Field(
        (0, 1, 2), description="one training per seed"
    )
    mirror: bool = Field(
        True,
        description="every second image is flipped sideways, in all arms (paper); false where left and right matter",
    )
    speckle: bool = Field(
        True, description="the classical augmentation has speckle-like noise; by default for ultrasound only"
    )
    selection: Literal["last", "inner", "validation"] = Field(
        "last",
        description="epoch that is scored: the last, the best on a fifth of the training images, which nothing is then"
        " trained on, or the best on the validation images (scripts; optimistic, and labelled so)",
    )

    @model_validator(mode="after")
    def _one_choice_of_weights(self) -> "Classifier":
        if self.average and self.selection != "last":
            raise ValueError("average: weights are either averaged or those of one epoch (selection: last)")
        return self

    @model_validator(mode="after")
    def _distinct_seeds(self) -> "Classifier":
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds must differ, or the same training would count twice")
        return self
