"""What every group of settings is made of."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

NO_EFFECT = "does not change the result"
"""Marks a field, as in `batch: Annotated[int, NO_EFFECT]`, that enters no job's key."""

IF_GIVEN = "changes the result only where it is given"
"""Marks a field that enters no job's key where it is None: one that came later than the results that runs hold."""

AUTO = "auto"
"""A value that is chosen for the user."""

MAX_COUNT = 1_000_000

Positive = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Rate = Annotated[float, Field(gt=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Section(BaseModel):
    """A group of settings; unknown names are mistakes, values are validated on construction."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    def overridden(self, own: Mapping[str, Any] | None) -> Self:
        """These values, but for those in `own`."""
        return type(self).model_validate(self.model_dump() | dict(own or {}))

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_booleans(cls, value: Any, info: ValidationInfo) -> Any:
        kind = cls.model_fields[str(info.field_name)].annotation
        if kind is bool or (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return value
        inside = (
            value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else [value]
        )
        if bool in map(type, inside):
            raise ValueError("must not be true or false")
        return value
