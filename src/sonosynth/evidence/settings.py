"""Settings of what arms are compared with, and of what counts as a difference."""

from pydantic import Field

from sonosynth.section import Section


class Compare(Section):
    """What an arm with synthetic images has to beat besides real images, and by how much."""

    cheap: str | None = Field(
        "real+classical+oversampling",
        description="simple baseline: an arm without synthetic images that arms with them must beat, too; null: none",
    )
    primary: str | None = Field(
        None, description="the one arm that the study is about, prespecified: tested first, and on its own"
    )
    exposures: bool = Field(
        False,
        description="train each arm with a share once more, until it has seen as many real images as arms without"
        " synthetic ones",
    )
    subgroups: tuple[str, ...] = Field(
        (), description="columns of the cohort, for example device: scores for the images of each of their values, too"
    )
    margin: float = Field(0.02, gt=0, le=1, description="differences in macro F1 below this are not relevant")
    transfer: float = Field(
        0.0,
        ge=0,
        le=1,
        description="assumed standard deviation of an effect in macro F1 between data sets, which one data set can't"
        " show; its square is added to the variance",
    )
