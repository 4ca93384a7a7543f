"""Settings of what is measured of synthetic images."""

from typing import Annotated

from pydantic import Field, field_validator

from sonosynth import extensions
from sonosynth.section import Section

TABLES = {"predictions", "table", "differences", "verdicts", "fidelity", "memorisation", "classes"}
"""What stands in evaluation/ beside the tables of measures."""


class Fidelity(Section):
    """How real the synthetic images look."""

    features: str = Field(
        "auto",
        min_length=1,
        description="feature network: inception (needs the extra `inception`), embedded, a vision model of transformers"
        " by hub id or folder, or auto, the first there is of the first two",
    )
    measures: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        ("features", "ultrasound"), description="the measures by which sets are compared with real images"
    )

    @field_validator("measures")
    @classmethod
    def _known(cls, measures: tuple[str, ...]) -> tuple[str, ...]:
        for name in measures:
            extensions.check("measures", name)
        if len(set(measures)) < len(measures):
            raise ValueError("each measure once")
        if taken := set(measures) & TABLES:
            raise ValueError(f"a measure can't be called {', '.join(taken)}: evaluation/ has a table of that name")
        return measures


class Memorisation(Section):
    """Synthetic images that copy a training image."""

    drop: bool = Field(False, description="leave flagged images out of the classifiers' training sets")
