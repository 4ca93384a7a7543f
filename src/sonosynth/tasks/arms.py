"""Settings of arms: which images a model is trained on, and what is done about there being few of some classes."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sonosynth.section import NO_EFFECT, Section, Seed

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

    @property
    def longer(self) -> float:
        """How many times as many steps as other arms it takes: more than 1 at equal exposures."""
        return 1 / (1 - self.drawn) if self.exposures == "real" else 1.0

    def steps(self, others: int) -> int:
        """The steps that it takes, if other arms take as many as `others`."""
        return round(others * self.longer)
