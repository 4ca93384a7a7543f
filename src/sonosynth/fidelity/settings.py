"""Settings of how synthetic images are measured."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from sonosynth import extensions
from sonosynth.section import Section

TABLES = {"predictions", "table", "verdicts", "fidelity", "memorisation", "classes", "obedience"}
"""The tables in evaluation/ besides those of measures."""
Extent = Literal["all", "first"]
ALL: Extent = "all"
FIRST: Extent = "first"
"""In which repeats something is measured."""


class Fidelity(Section):
    """How real the synthetic images look."""

    features: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)] = Field(
        ("auto",),
        description="feature network, or a list of several; the first gives the headline distance and finds copies:"
        " inception (needs the extra `inception`), embedded, a transformers vision model by hub id or folder, a"
        " function of an installed package as module:name, or auto: inception if it is installed, else embedded",
    )
    measures: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        ("features", "ultrasound"), description="the measures by which sets are compared with real images"
    )

    obedience: Extent = Field(
        ALL,
        description="of sets with a condition: whether their images show their masks is measured for all splits and"
        " generators, or for the first alone, which saves the time of three segmenters for each further split",
    )

    @field_validator("features", mode="before")
    @classmethod
    def _one_or_several(cls, features: Any) -> Any:
        return (features,) if isinstance(features, str) else features

    @field_validator("features")
    @classmethod
    def _each_once(cls, features: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(features)) < len(features):
            raise ValueError("each feature network once")
        return features

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
