"""What every group of settings is made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

NO_EFFECT = "does not change the result"
"""Marks a field, as in `batch: Annotated[int, NO_EFFECT]`, that enters no job's key."""

Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, le=1)]


class Section(BaseModel):
    """A group of settings; unknown names are mistakes, values are validated on construction."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
