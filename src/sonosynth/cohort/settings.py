"""Settings of the cohort: how it is split, the prompts for its labels, and what becomes of marks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from sonosynth.cohort.captions import COLUMN
from sonosynth.errors import UserError, first_line, is_plain
from sonosynth.section import NO_EFFECT, Section

Role = Literal["file", "label", "mask", "group", "split"]
ROLES: tuple[Role, ...] = get_args(Role)
"""What the columns of a table may be."""


class Table(Section):
    """How the cohort's table is read."""

    columns: dict[Role, str] = Field(
        {},
        description="the table's columns for file, label, mask, group and split; by default recognised by their names;"
        " an empty one: there is none",
    )
    images: str = Field("", description="the folder that the table's paths start from; empty: its own")

    @property
    def named(self) -> dict[str, str]:
        """The columns that are given, by role."""
        return dict(self.columns.items())


AS_IT_IS = Table()
"""For a cohort that needs no words, or is no table."""


def table_of(columns: str, images: Path | None) -> Table:
    """How a table is read, by the options of the command line: `file=image_path,label=class`, and a folder.

    Raises:
        UserError: if the text names something else.
    """
    given: dict[Role, str] = {}
    for part in columns.split(",") if columns else []:
        role, equals, name = (x.strip() for x in part.partition("="))
        if role not in ROLES or not equals or role in given:
            expected = f"ROLE=COLUMN,…, each once, where ROLE is {', '.join(ROLES)}"
            raise UserError(
                f"--columns {first_line(columns)}", expected, "for example --columns file=image_path,label=dx"
            )
        given[role] = name
    return Table(columns=given, images=str(images.resolve()) if images else "")


def path_of(cohort: Any) -> str:
    """Where the cohort of a study.yaml is, by its key cohort: a path, or a mapping that has one; "" if it has none."""
    found = cohort.get("path") if isinstance(cohort, dict) else cohort
    return found if isinstance(found, str) else ""


class Reading(Section):
    """How values of files without a fixed scale become grey, and which picture of several is read: DICOM and NIfTI."""

    window: tuple[float, float] | None = Field(
        None,
        description="centre and width of the values that are shown, for example [40, 400] (HU); null: the file's own"
        " window, or the full range",
    )
    percentiles: tuple[float, float] | None = Field(
        None, description="percentiles of a picture's values that become black and white, for example [1, 99]"
    )
    frame: Literal["middle"] | Annotated[int, Field(ge=1, strict=True)] | Annotated[float, Field(gt=0, lt=1)] = Field(
        "middle",
        description="the slice of a volume or the frame of a clip: middle, a number from 1, or a share of the way, for"
        " example 0.6; slices are counted from the feet up",
    )

    @model_validator(mode="after")
    def _one_scale(self) -> "Reading":
        if self.window and self.percentiles:
            raise ValueError("give a window or percentiles, not both")
        if self.window and self.window[1] <= 0:
            raise ValueError("window: centre and width, the width above 0")
        if self.percentiles and not 0 <= self.percentiles[0] < self.percentiles[1] <= 100:
            raise ValueError("percentiles: two of 0 to 100, the lower one first")
        return self

    @property
    def given(self) -> list[str]:
        """The names of the settings that ask for something else than what files say."""
        return [name for name, field in type(self).model_fields.items() if getattr(self, name) != field.default]

    def index(self, count: int) -> int:
        """The position, from 0, of the picture that is read of `count`.

        Raises:
            IndexError: if there are fewer.
        """
        if isinstance(self.frame, int):
            return range(count)[self.frame - 1]
        return min(int(self.frame * count), count - 1) if isinstance(self.frame, float) else count // 2


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
    given: Literal["use", "ignore"] = Field(
        "use",
        description="the cohort's own split, if it has one: what it trains on and what it holds out stays so, instead"
        " of split.holdout; not with repeats.folds, split.leave_out or split.sealed, which divide all images anew",
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


class Masks(Section):
    """Lesion masks."""

    empty: tuple[str, ...] = Field(
        (),
        description="classes without lesions, for example [normal]: there, an image without a mask file has an empty"
        " mask; elsewhere it is not annotated, and nothing learns from it as a pair",
    )


class Marks(Section):
    """Burnt-in text, calipers and borders."""

    remove: Literal["none", "all"] = Field(
        "none",
        description="all: in every image in which marks are found, fill them in from what surrounds them, before"
        " anything else sees the pixels; none: only count them",
    )
