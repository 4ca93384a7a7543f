"""Settings of how synthetic images are measured."""

from typing import Annotated

from pydantic import Field, field_validator

from sonosynth import extensions
from sonosynth.section import Section

TABLES = {"predictions", "table", "verdicts", "fidelity", "memorisation", "classes"}
"""The tables in evaluation/ besides those of measures."""


class Fidelity(Section):
    """How real the synthetic images look."""

    features: str = Field(
        "auto",
        min_length=1,
        description="feature network: inception (needs the extra `inception`), embedded, a transformers vision model by"
        " hub id or folder, or auto: inception if it is installed, else embedded",
    )
    measures: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        ("features", "ultrasound"), description="the measures by which sets are compared with real images"
    )

    @field_validator("measures")
    @classmethod
    def _known(cls, measures: tuple[str, ...]) -> tuple[str, ...]:
        if taken := set(measures) & TABLES:
            raise ValueError(f"a measure can't be called {', '.join(taken)}: evaluation/ has a table of that name")
        for name in measures:
            extensions.check("measures", name)
        if len(set(measures)) < len(measures):
            raise ValueError("each measure once")
        return measures


class Memorisation(Section):
    """Synthetic images that copy a training image."""

    drop: bool = Field(False, description="leave flagged images out of the classifiers' training sets")
