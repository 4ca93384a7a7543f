"""Settings of what is repeated, of what arms are compared with, and of what counts as a difference."""

from typing import Annotated

from pydantic import Field, model_validator

from sonosynth.section import NO_EFFECT, Section


class Repeats(Section):
    """The whole study again, so that differences stand out from chance. Each repeat trains its generator anew."""

    generators: Annotated[int, Field(ge=1, le=100)] = Field(
        1, description="generators per split, each with its own seed"
    )
    folds: Annotated[int, Field(ge=2, le=100)] | None = Field(
        None, description="validate every image once, in this many grouped folds, instead of split.holdout"
    )
    draws: Annotated[int, Field(ge=1, le=100)] = Field(
        1, description="how many times the images are divided into folds, differently each time"
    )

    @model_validator(mode="after")
    def _draws_need_folds(self) -> "Repeats":
        if self.draws > 1 and self.folds is None:
            raise ValueError("draws divides the images into folds again: give folds, too")
        return self


class Compare(Section):
    """What an arm with synthetic images has to beat besides real images, and by how much."""

    cheap: str | None = Field(
        "real+classical+oversampling",
        description="simple baseline: an arm without synthetic images that arms with them must beat, too; null: none",
    )
    primary: str | None = Field(
        None, description="the one arm that the study is about, prespecified: tested first, and on its own"
    )
    # No effect on any table: the report shows what classes.csv has of this class.
    positive: Annotated[str | None, NO_EFFECT] = Field(
        None, description="the class that matters most, for example malignant: its recall is in the main table"
    )
    exposures: bool = Field(
        False,
        description="train each arm with a share once more, until it has seen as many real images as arms without"
        " synthetic ones",
    )
    subgroups: tuple[str, ...] = Field(
        (), description="columns of the cohort, for example device: scores for the images of each of their values, too"
    )
    margin: float = Field(
        0.02, gt=0, le=1, description="differences in macro F1 (segmentation: Dice) below this are not relevant"
    )
    transfer: float = Field(
        0.0,
        ge=0,
        le=1,
        description="assumed standard deviation of an effect (in macro F1, or Dice) between data sets, which one data"
        " set can't show; its square is added to the variance",
    )
