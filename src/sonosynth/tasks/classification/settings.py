"""Settings of the classifiers, and of the arms that they are trained for."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sonosynth.section import MAX_COUNT, NO_EFFECT, Positive, Rate, Section, Seed

RANDOM = "resnet-18"
"""The model that starts from random weights."""

Balance = Literal["none", "oversample", "weights"]
OF_REAL_IMAGES = ("real", "balance", "augmentation", "mixup", "settle")
"""What an arm does with or without synthetic sets."""


class Arm(Section):
    """A row of the ablation: which images a classifier is trained on, and what is done about imbalance."""

    sets: Annotated[tuple[str, ...], NO_EFFECT] = Field((), description="synthetic sets that are added, all of them")
    real: bool = Field(True, description="whether the real training images are in; false: the sets alone")
    balance: Balance = Field("none", description="repeat images of small classes, or weight the loss by class")
    augmentation: Literal["flip", "classical", "trivial"] = Field(
        "flip",
        description="horizontal flips only (paper), or also rotations, shifts, zooms, speckle and gain (classical) or"
        " TrivialAugment (Müller and Hutter, ICCV 2021)",
    )
    mixup: float = Field(0.0, ge=0, le=10, description="alpha of MixUp (Zhang et al., ICLR 2018); 0 is none")
    share: float | None = Field(
        None,
        gt=0,
        le=1,
        description="probability that a drawn image is synthetic, the same for every class; absent: in proportion to"
        " their number. Every set needs images of every class. 1: with `until`, synthetic images first, then real ones",
    )
    until: float = Field(
        1.0,
        gt=0,
        le=1,
        description="the share of the steps, from the first on, in which synthetic images are drawn; only real ones"
        " after that",
    )
    replace: float = Field(
        0.0,
        ge=0,
        le=1,
        description="probability that a drawn real image is replaced by one made from it (DA-Fusion: 0.5), the same for"
        " every class. Every set needs `from: real` and `each`",
    )
    weight: Literal["none", "threshold", "confidence"] = Field(
        "none",
        description="of synthetic images in the loss, by critics (classifiers of real training images): threshold, 0"
        " for those not classified as their label; confidence, 0 to 1: how much more probable it is than for others",
    )
    settle: bool = Field(
        False,
        description="whether to recompute batch-norm statistics from the real training images after training,"
        " as `classifier.average` always does",
    )
    exposures: Literal["all", "real"] = Field(
        "all",
        description="all: as many steps as every arm; real, with a share: more, until as many real images are seen as"
        " without synthetic ones",
    )
    seeds: Annotated[tuple[Seed, ...] | None, Field(min_length=1, max_length=1000), NO_EFFECT] = Field(
        None, description="one training per seed; absent: `classifier.seeds`. The only setting that `real` takes"
    )
    best_of: Annotated[tuple[str, ...], NO_EFFECT] = Field(
        (),
        description="instead of all else, other arms: in every split, and for every generator, this arm is whichever of"
        " them has the best macro F1 on inner images, a fifth of the training images that nothing is then trained on;"
        " it is retrained, so that it does not inherit the luck of the best training run",
    )

    @model_validator(mode="after")
    def _chooses_or_is_trained(self) -> "Arm":
        if not self.best_of:
            return self
        if len(set(self.best_of)) < max(2, len(self.best_of)):
            raise ValueError("best_of: needs two arms or more, each once")
        if self.model_copy(update={"best_of": ()}) != Arm():
            raise ValueError("best_of: chooses among other arms as they are, and takes no further setting")
        return self

    @model_validator(mode="after")
    def _has_images(self) -> "Arm":
        if len(set(self.sets)) < len(self.sets):
            raise ValueError("each set once")
        if len(set(self.seeds or ())) < len(self.seeds or ()):
            raise ValueError("seeds must differ, or the same training would count twice")
        if not self.real and not self.sets:
            raise ValueError("real is false: needs sets to be trained on")
        if (self.share is not None or self.replace) and not (self.real and self.sets):
            raise ValueError("share, replace: need sets and real images")
        if self.share is not None and self.replace:
            raise ValueError(
                "synthetic images are drawn (share), or they replace real ones (replace): give one of them"
            )
        if self.weight != "none" and not self.sets:
            raise ValueError("weight: needs sets")
        if self.until < 1 and self.share is None:
            raise ValueError("until: needs a share")
        if self.share == 1 and self.until == 1:
            raise ValueError("share: with 1 no real image is drawn, unless until is less than 1; or give real: false")
        if self.exposures == "real" and self.share is None:
            raise ValueError("exposures: real needs a share")
        return self

    @property
    def alone(self) -> "Arm":
        """The same arm without its sets, what concerns these, and seeds of its own."""
        left = {name: field.default for name, field in Arm.model_fields.items() if name not in OF_REAL_IMAGES}
        return self.model_copy(update=left)

    @property
    def drawn(self) -> float:
        """The part of all draws that are of synthetic images, if there is a share; else 0."""
        return (self.share or 0.0) * self.until


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
