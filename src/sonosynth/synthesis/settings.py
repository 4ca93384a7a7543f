"""Settings of the synthetic sets."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator

from sonosynth.section import MAX_COUNT, NO_EFFECT, Positive, Section
from sonosynth.synthesis import ways

Number = Annotated[int, Field(ge=0, le=MAX_COUNT)]
NOISE, REAL = "noise", "real"
"""What a set may start from, besides another set."""
TRAINING, SHAPES = "training", "shapes"
"""Where masks come from, besides a folder."""
LESION, SURROUNDINGS = "lesion", "surroundings"
"""What may be kept of an image."""
IMAGES, FILES = "images", "files"
"""What a way of making images may start from besides those two: images of a set or of the cohort, those of a folder."""


class Balance(Section):
    """How many synthetic images each class gets."""

    target: Positive | Literal["largest"] = Field(
        "largest", description="training images per class, real and synthetic (paper: 350), or the largest class's size"
    )
    by: tuple[str, ...] = Field(
        (),
        description="columns of the cohort, for example device, that must not give the class away: in every stratum"
        " (value of each column), each class is filled up to the size of the largest there",
    )


class Synthesis(Section):
    """Sampling, from noise or from a noisy image.

    A guided step costs twice an unguided one (Ho and Salimans, 2022; the interval is from Kynkäänniemi et al.,
    NeurIPS 2024; its noise level is the standard deviation of the noise where the signal is scaled to 1).
    """

    steps: Positive = Field(20, description="sampling steps (scripts: 50)")
    guidance: Annotated[float, Field(ge=1, le=50)] | Literal["auto"] = Field(
        1.0,
        description="classifier-free guidance scale (scripts: 7.5); auto, with adapt.stop=probe: 1, 1.5 or 2.5, chosen"
        " for each adapter together with its steps",
    )
    guidance_interval: tuple[float, float] | None = Field(
        None, description="lowest and highest noise level with guidance, for example [0.3, 5]; null: all (scripts)"
    )
    solver: Literal["dpm++", "base"] = Field(
        "dpm++", description="DPM-Solver++(2M), good from about 12 steps on, or the base's own scheduler (scripts)"
    )
    batch: Annotated[Positive, NO_EFFECT] = Field(
        16, description="images sampled at a time; does not affect them (scripts: 1)"
    )

    shards: Annotated[int, Field(ge=1, le=100), NO_EFFECT] = Field(
        1,
        description="jobs among which the drawing of a set's images is divided, so that as many machines can take part;"
        " does not affect them",
    )

    @field_validator("guidance_interval")
    @classmethod
    def _ordered(cls, interval: tuple[float, float] | None) -> tuple[float, float] | None:
        if interval and not 0 <= interval[0] < interval[1]:
            raise ValueError("two noise levels, the lower one first, not below 0")
        return interval

    @property
    def scale(self) -> float:
        """The guidance.

        Raises:
            ValueError: if it is still to be chosen.
        """
        if isinstance(self.guidance, str):
            raise ValueError("synthesis.guidance: auto is no scale yet")
        return self.guidance

    @property
    def columns(self) -> dict[str, Any]:
        """Those that affect an image, as columns of metadata.csv."""
        return self.model_dump(exclude={"batch", "shards"})


class Refine(Section):
    """Image-to-image (SDEdit, Meng et al., ICLR 2022)."""

    strength: float = Field(
        0.3,
        gt=0,
        le=1,
        description="denoising strength: noise is added up to this share of the base's time steps (paper: 0.3)",
    )
    steps: Positive | None = Field(
        10,
        description="denoising steps, evenly spaced from the time step set by the strength; null: diffusers' rule, the"
        " last `strength` share of `synthesis.steps`, rounded down (scripts)",
    )


APART = 0.05  # strengths of a range


def _strengths(given: Any) -> Any:
    """One strength, or several: those of a range stand for themselves from then on."""
    values = given
    if isinstance(given, Mapping) and set(given) == {"from", "to"}:
        low, high = given["from"], given["to"]
        count = int((high - low) / APART + 1e-9) + 1 if all(isinstance(x, (int, float)) for x in (low, high)) else 0
        values = tuple(round(low + n * APART, 6) for n in range(count))
    several = isinstance(values, (list, tuple))
    every = values if several else [values]
    if not all(isinstance(x, (int, float)) and 0 <= x <= 1 and (x or not several) for x in every) or (
        several and not 2 <= len(values) <= 100
    ):
        raise ValueError("a number from 0 to 1; several above 0, as [0.3, 0.5]; or a range, as {from: 0.2, to: 0.6}")
    return tuple(map(float, values)) if several else float(values)


class Set(Section):
    """One synthetic set."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, populate_by_name=True)

    kind: str | None = Field(
        None, description="how its images are made; absent: text if they start from noise, else image"
    )
    start: str = Field(
        NOISE, alias="from", description="what its images start from: noise, real (training images) or another set"
    )
    folder: str | None = Field(
        None,
        description="of kind folder: the images of another generator, one folder for each class; those of further"
        " repeats in its folders `repeats/1`, `repeats/2` and so on",
    )
    trained_on: str | None = Field(
        None,
        description="of kind folder: a CSV in that folder with the `sha256` of each image that the generator has seen,"
        " or the split's cohort.csv for its training images; absent: unknown, and arms with the set get no verdict",
    )
    adapter: str | None = Field(None, description="adapter to use; absent: the unadapted base")
    strength: Annotated[float | tuple[float, ...], BeforeValidator(_strengths)] | None = Field(
        None,
        description="denoising strength; 0: through the VAE and back, without noise; several, [0.3, 0.5] or {from: 0.2,"
        " to: 0.6} in steps of 0.05: each for as many images; absent: `refine.strength`",
    )
    condition: Literal["mask"] | None = Field(
        None,
        description="mask: each image is made under a lesion mask, which is written beside it; needs an adapter with"
        " `control: mask`",
    )
    masks: str | None = Field(
        None,
        min_length=1,
        description="with a condition: training (masks of training images, moved, scaled and bent), shapes (drawn from"
        " a model of the class's training masks) or a folder of masks with one folder for each class; absent: training"
        " from noise, else the mask of the image that each starts from",
    )
    keep: Literal["lesion", "surroundings"] | None = Field(
        None, description="with a condition and images to start from: what stays of them, while the rest is redrawn"
    )
    mirror: bool = Field(False, description="half of the images start from a mirror image")
    each: Number = Field(
        0, description="images made from every training image, instead of a total `count`; only with from: real"
    )
    count: Number | dict[str, Number] | None = Field(
        None,
        description="images of each class, for example 100 or {benign: 50}; absent: what balances the classes, or as"
        " many as there are in the set or folder that it starts from",
    )
    select: bool = Field(
        False,
        description="keep an image only if critics (classifiers of real training images) classify it as its label and"
        " it is no nearer to an earlier one of its class than real ones are to each other; others are made again, with"
        " up to seven further seeds",
    )
    obey: float | None = Field(
        None,
        gt=0,
        le=1,
        description="with a condition: the least Dice of its mask and of what segmenters of real training images see in"
        " an image (if the mask is empty, 1 or 0: whether none of them sees a lesion); others are made again, with up"
        " to seven further seeds; absent: none are",
    )
    synthesis: dict[str, Any] | None = Field(None, description="values of `synthesis` for this set alone")
    refine: dict[str, Any] | None = Field(None, description="values of `refine` for this set alone")
    negative_control: bool = Field(
        False, description="a control: may copy training images, and is not meant to help; kind copy always is one"
    )

    @model_validator(mode="after")
    def _strength_0_samples_nothing(self) -> "Set":
        if self.strength == 0 and (self.adapter or self.synthesis or self.refine):
            raise ValueError(
                "at strength 0 nothing is sampled: leave out adapter, synthesis and refine, or give a strength"
            )
        return self

    @model_validator(mode="after")
    def _starts_from_images(self) -> "Set":
        if self.mirror and self.start == NOISE:
            raise ValueError("mirror: needs images to start from (from: real, or another set)")
        if self.each and self.start != REAL:
            raise ValueError("each: only for sets with from: real")
        if self.each and self.count is not None:
            raise ValueError("each: replaces count; where a preset gives count, add count: null")
        return self

    @model_validator(mode="after")
    def _masks_need_a_condition(self) -> "Set":
        if (self.masks or self.keep or self.obey is not None) and not self.condition:
            raise ValueError("masks, keep and obey: only with condition: mask")
        if self.keep and self.start == NOISE:
            raise ValueError("keep: needs images to start from (from: real, or another set)")
        if self.masks and self.start != NOISE and self.keep != SURROUNDINGS:
            raise ValueError("masks: an image shows its own lesion; another needs from: noise, or keep: surroundings")
        return self

    @property
    def mask_source(self) -> str | None:
        """Where masks come from: training, shapes or a folder; None if from the images that the set starts from."""
        return self.masks or (TRAINING if self.condition and self.start == NOISE else None)

    @property
    def selected(self) -> bool:
        """Whether images are made again that critics, or segmenters, don't approve."""
        return self.select or self.obey is not None

    @property
    def way(self) -> str:
        """The kind, with its default."""
        return self.kind or ("text" if self.start == NOISE else "image")

    @property
    def control(self) -> bool:
        """Whether it is a negative control: declared as one, or one by its kind.

        Raises:
            UserError: if there is no such kind.
        """
        return self.negative_control or ways.find(self.way).control
