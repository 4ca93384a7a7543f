"""Settings of the synthetic sets."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from sonosynth.section import MAX_COUNT, NO_EFFECT, Positive, Section
from sonosynth.synthesis import ways

Number = Annotated[int, Field(ge=0, le=MAX_COUNT)]
NOISE, REAL = "noise", "real"
"""What a set may start from, besides another set."""
IMAGES, FILES = "images", "files"
"""What a way of making images may start from besides those two: images of a set or of the cohort, those of a folder."""


class Balance(Section):
    """How many synthetic images each class gets."""

    target: Positive | Literal["largest"] = Field(
        "largest", description="training images per class, real and synthetic (paper: 350), or the largest class's size"
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
        16, description="images made at a time; does not change them (scripts: 1)"
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
        description="denoising steps, evenly spaced from the time that the strength names; null: diffusers' rule, the"
        " last `strength` share of `synthesis.steps`, rounded down (scripts)",
    )


class Set(Section):
    """One synthetic set."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, populate_by_name=True)

    kind: str | None = Field(
        None, description="the way its images are made; absent: text for images from noise, image for others"
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
    adapter: str | None = Field(None, description="adapter of the base; absent: the base as it is")
    strength: float | None = Field(
        None,
        ge=0,
        le=1,
        description="denoising strength; 0: through the VAE and back, without noise; absent: `refine.strength`",
    )
    count: Number | dict[str, Number] | None = Field(
        None,
        description="images of each class, for example 100 or {benign: 50}; absent: what balances the classes, or as"
        " many as the set or folder has that it starts from",
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
