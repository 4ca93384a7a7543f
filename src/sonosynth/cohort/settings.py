"""Settings of the cohort: how it is split, the prompts for its labels, and what becomes of marks."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sonosynth.cohort.captions import COLUMN
from sonosynth.errors import is_plain
from sonosynth.section import NO_EFFECT, Section


class Split(Section):
    """Training and validation. Groups named in the cohort, and exact copies, always stay on one side."""

    holdout: float = Field(0.2, gt=0, lt=1, description="share of each class held out for validation (paper: 0.2)")
    groups: Literal["twins", "none"] = Field(
        "twins", description="keep near-duplicates on one side, or split as if there were none (paper)"
    )
    conflicts: Literal["exclude", "majority", "keep"] = Field(
        "exclude",
        description="near-duplicates with conflicting labels: leave them out, keep those with the commonest label if"
        " there is one, or keep all (paper)",
    )
    leave_out: str = Field(
        "",
        description="a column of the cohort, for example hospital: each of its values is held out in turn, in place of"
        " repeats.folds and repeats.draws; empty: none",
    )
    keep: float = Field(
        1.0, gt=0, le=1,
        description="share of the training images of each class that is kept, in whole groups; the validation images"
        " stay the same",
    )  # fmt: skip
    # No effect by itself: the job that seals has it among its settings, and splits need what that makes.
    sealed: Annotated[float, NO_EFFECT] = Field(
        0.0, ge=0, le=0.5,
        description="share of each class that is set aside first, and scored once, by sonosynth unseal; 0: none",
    )  # fmt: skip


class Prompts(Section):
    """The prompt for images of each label."""

    template: str = Field(
        "ultrasound image of {label}",
        description="prompt for labels without one of their own; {label}, {modality} and columns of the cohort are"
        " filled in",
    )
    labels: dict[str, str] = Field({}, description="prompts for single labels, filled in likewise")

    @model_validator(mode="after")
    def _are_prompts(self) -> "Prompts":
        if "{label}" not in self.template:
            raise ValueError("template must contain {label}, or all classes would share one prompt")
        if not all(text.strip() and is_plain(text) for text in (self.template, *self.labels.values())):
            raise ValueError("a prompt is one line of text, and not empty")
        if bare := [text for text in self.labels.values() if not COLUMN.sub("", text.replace("{label}", "x")).strip()]:
            raise ValueError(f"{bare[0]} would be empty where a value is missing: add a word")
        return self

    def of(self, label: str) -> str:
        """The prompt of `label`, without a learned token; columns of the cohort stand in it in braces."""
        return (self.labels.get(label) or self.template).replace("{label}", label.replace("_", " "))

    def saying(self, words: Mapping[str, str]) -> "Prompts":
        """The same prompts, with these words where their names stand in braces."""

        def said(text: str) -> str:
            return COLUMN.sub(lambda found: words.get(found[1], found[0]), text)

        labels = {label: said(text) for label, text in self.labels.items()}
        return self.model_copy(update={"template": said(self.template), "labels": labels})


class Marks(Section):
    """Burnt-in text, calipers and borders."""

    remove: Literal["none", "all"] = Field(
        "none",
        description="all: in every image in which marks are found, fill them in from what surrounds them, before"
        " anything else sees the pixels; none: only count them",
    )
