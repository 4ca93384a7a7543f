"""Every setting of a study: its type, unit, default and source. All mistakes are reported at once.

"Paper" is Hybrid Diffusion Model for Ultrasound Image Augmentation (2025); "scripts" are its authors'
published ones, where the paper is silent. The defaults suit the embedded base; `presets/` has the others.
"""

import re
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from sonosynth.errors import UserError

SETS = ("sd", "sd+img2img", "sd+ti", "sd+ti+img2img")
REFERENCE = "real"
"""The arm that all others are compared with."""

Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, le=1, description="learning rate of Adam")]
PRESETS = ("paper", "quick", "demo")


class Section(BaseModel):
    """A group of settings; unknown names are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Split(Section):
    """Training and validation. Groups named in the cohort, and exact copies, always stay on one side."""

    holdout: float = Field(0.2, gt=0, lt=1, description="share of each class held out for validation (paper: 0.2)")
    groups: Literal["twins", "none"] = Field(
        "twins", description="keep near-duplicates on one side, or split as if there were none (paper)"
    )
    conflicts: Literal["exclude", "keep"] = Field(
        "exclude", description="near-duplicates with several labels: leave them out, or keep them (paper)"
    )


class Prompts(BaseModel):
    """One prompt per label, as extra keys; labels without one take the template.

    The defaults are the paper's wording for BUSI.
    """

    model_config = ConfigDict(extra="allow", frozen=True, validate_default=True)
    __pydantic_extra__: dict[str, str]

    token: str = Field("<ultrasound>", pattern=r"^\S+$", description="learned token, appended to +ti prompts (paper)")
    template: str = Field(
        "ultrasound image of {label}", description="for labels without a prompt; {label} is filled in"
    )

    @model_validator(mode="before")
    @classmethod
    def _paper_wording(cls, values: dict[str, Any]) -> dict[str, Any]:
        return PAPER_PROMPTS | values if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _names_the_label(self) -> "Prompts":
        if "{label}" not in self.template:
            raise ValueError("template must contain {label}, or all classes would share one prompt")
        return self

    def of(self, label: str) -> str:
        """The prompt of `label`, without the token."""
        return (self.__pydantic_extra__ or {}).get(label) or self.template.replace("{label}", label.replace("_", " "))


PAPER_PROMPTS = {
    "normal": "ultrasound image of a benign breast tissue",
    "benign": "ultrasound image of a benign breast lesion",
    "malignant": "ultrasound image of a malignant breast lesion",
}


class Token(Section):
    """Textual inversion (Gal et al., ICLR 2023)."""

    steps: Positive = Field(300, description="optimiser steps (scripts: 2000)")
    batch: Positive = Field(4, description="images in a batch (scripts: 1)")
    accumulation: Positive = Field(1, description="batches in a step (scripts: 4)")
    learning_rate: Rate = Field(5e-3, description="scripts: 5e-4")
    init: str = Field("ultrasound", min_length=1, description="the token starts as the mean of these words (scripts)")


class Lora(Section):
    """Low-rank adaptation of the U-Net (Hu et al., ICLR 2022)."""

    rank: Positive = Field(16, description="rank of the update (scripts: 4)")
    layers: Literal["attention", "all"] = Field(
        "all", description="attention projections alone (paper), or convolutions too: they make the texture"
    )
    steps: Positive = Field(1000, description="optimiser steps (scripts: 3000)")
    batch: Positive = Field(8, description="images in a batch (scripts: 4)")
    accumulation: Positive = Field(1, description="batches in a step (scripts: 1)")
    learning_rate: Rate = Field(1e-3, description="constant (scripts: 1e-4)")


class Balance(Section):
    """How many synthetic images each class gets."""

    target: Positive | Literal["largest"] = Field(
        "largest", description="training images per class, real and synthetic (paper: 350), or the largest class's"
    )


class Synthesis(Section):
    """Text-to-image."""

    steps: Positive = Field(20, description="sampling steps (scripts: 50)")
    guidance: float = Field(2.0, ge=1, le=50, description="classifier-free guidance scale (scripts: 7.5)")
    guidance_interval: tuple[float, float] | None = Field(
        None, description="lowest and highest noise level that is guided, for example [0.3, 5]; null: all (scripts)"
    )
    solver: Literal["dpm++", "base"] = Field(
        "dpm++", description="DPM-Solver++(2M), good from about 12 steps on, or the base's own scheduler (scripts)"
    )
    batch: Positive = Field(16, description="images made at a time; does not change them (scripts: 1)")

    @field_validator("guidance_interval")
    @classmethod
    def _ordered(cls, interval: tuple[float, float] | None) -> tuple[float, float] | None:
        if interval and not 0 <= interval[0] < interval[1]:
            raise ValueError("two noise levels, the lower one first, not below 0")
        return interval


class Refine(Section):
    """Image-to-image refinement of every synthetic image (SDEdit, Meng et al., ICLR 2022)."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, populate_by_name=True)

    strength: float = Field(0.3, gt=0, le=1, description="denoising strength (paper: 0.3)")
    source: Literal["latent", "pixels"] = Field(
        "pixels", alias="from", description="start from the saved picture (paper), or from its latent"
    )


class Adapt(Section):
    """What the generator may see."""

    on: Literal["training", "all"] = Field(
        "training", description="images that adapters are trained on; all is the scripts' leak, and labelled as one"
    )


class Memorisation(Section):
    """Synthetic images that copy a training image."""

    drop: bool = Field(False, description="leave flagged images out of the classifiers' training sets")


class Repeats(Section):
    """The whole study again, so that differences are known from chance. Each repeat trains its generator anew."""

    generators: Positive = Field(1, description="generators with other seeds, on the same split")
    folds: Annotated[int, Field(ge=2)] | None = Field(
        None, description="validate every image once, in this many grouped folds, instead of split.holdout"
    )
    times: Positive = Field(1, description="how often the folds are drawn anew")

    @model_validator(mode="after")
    def _times_need_folds(self) -> "Repeats":
        if self.times > 1 and self.folds is None:
            raise ValueError("times repeats the folds: give folds, too")
        return self


class Arm(Section):
    """A row of the ablation: real training images, and what is done about their being few and imbalanced."""

    synthetic: Literal["none", "sd", "sd+img2img", "sd+ti", "sd+ti+img2img"] = Field(
        "none", description="synthetic set that is added"
    )
    balance: Literal["none", "oversample", "weights"] = Field(
        "none", description="repeat images of small classes, or weight the loss by class"
    )
    augmentation: Literal["flip", "classical"] = Field(
        "flip", description="mirror images alone (paper), or turns, shifts, zooms, speckle and gain, too"
    )
    mixup: float = Field(0.0, ge=0, le=10, description="alpha of MixUp (Zhang et al., ICLR 2018); 0 is none")


PAPER_ARMS: dict[str, Arm | None] = {
    REFERENCE: Arm(),
    **{f"real+{name}": Arm.model_validate({"synthetic": name}) for name in SETS},
}
BASELINES: dict[str, Arm | None] = {
    "real+oversampling": Arm(balance="oversample"),
    "real+weights": Arm(balance="weights"),
    "real+classical": Arm(augmentation="classical"),
    "real+mixup": Arm(mixup=0.2),
    "real+classical+oversampling": Arm(augmentation="classical", balance="oversample"),
    "real+classical+sd": Arm(augmentation="classical", synthetic="sd"),
    "real+classical+sd+ti": Arm(augmentation="classical", synthetic="sd+ti"),
}


class Classifier(Section):
    """The classifier of the ablation."""

    model: str = Field(
        "resnet-18",
        description="resnet-18 (random weights), or a transformers image classifier by hub id or folder"
        " (paper: microsoft/resnet-18, ImageNet weights)",
    )
    epochs: Positive = Field(30, description="passes over the largest arm; every arm takes as many steps (paper: 30)")
    batch: Annotated[int, Field(ge=2)] = Field(16, description="images in a batch (paper: 16)")
    learning_rate: Rate = Field(1e-4, description="paper: 1e-4")
    resolution: Annotated[int, Field(ge=32)] = Field(128, description="side of the square input, pixels (scripts: 224)")
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = Field((0, 1, 2), description="one training a seed")
    selection: Literal["last", "inner", "validation"] = Field(
        "last",
        description="epoch that is scored: the last, the best on a fifth of the training images held back for that, or"
        " the best on the validation images (scripts; optimistic, and labelled so)",
    )

    @model_validator(mode="after")
    def _distinct_seeds(self) -> "Classifier":
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds must differ, or the same training would count twice")
        return self


class Fidelity(Section):
    """How real the synthetic images look."""

    features: str = Field(
        "auto",
        min_length=1,
        description="feature network: inception (needs the extra `inception`), embedded, a vision model of transformers"
        " by hub id or folder, or auto, the first there is of the first two",
    )


class Settings(Section):
    """All settings of a study."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(0, description="the root of every random draw")
    base: str = Field(
        "embedded", min_length=1, description="embedded, a folder or a hub id, Stable Diffusion 1.x format"
    )
    resolution: Annotated[int, Field(ge=16)] = Field(
        128, description="side of the square images, pixels (scripts: 512)"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field("auto", description="of adaptation and synthesis")
    skip_bad: bool = Field(
        False, description="go on without files of the cohort that can't be used, and list them in cohort.csv"
    )
    split: Split = Split()
    prompts: Prompts = Prompts()
    token: Token = Token()
    lora: Lora = Lora()
    balance: Balance = Balance()
    synthesis: Synthesis = Synthesis()
    refine: Refine = Refine()
    adapt: Adapt = Adapt()
    classifier: Classifier = Classifier()
    arms: dict[str, Arm | None] = Field(PAPER_ARMS | BASELINES, description="rows of the ablation, by name; null: none")
    repeats: Repeats = Repeats()
    fidelity: Fidelity = Fidelity()
    memorisation: Memorisation = Memorisation()

    @field_validator("arms")
    @classmethod
    def _has_a_reference(cls, arms: dict[str, Arm | None]) -> dict[str, Arm | None]:
        if arms.get(REFERENCE) != Arm():
            raise ValueError(f"{REFERENCE} is the arm that the others are compared with, and takes no settings")
        unfit = [name for name in arms if not re.fullmatch(r"\w[\w+. -]{,99}", name)]
        ordered = sorted(arms, key=str.casefold)
        unfit += [name for name, other in pairwise(ordered) if name.casefold() == other.casefold()]
        if unfit:
            raise ValueError(
                f"{', '.join(unfit)}: names of letters, digits, + - . _ and spaces that differ in more than case"
            )
        return arms

    @model_validator(mode="before")
    @classmethod
    def _further_arms(cls, values: dict[str, Any]) -> dict[str, Any]:
        given = values.get("arms") if isinstance(values, dict) else None
        return {**values, "arms": PAPER_ARMS | BASELINES | given} if isinstance(given, dict) else values

    @property
    def ablation(self) -> dict[str, Arm]:
        """The arms that are run, by name."""
        return {name: arm for name, arm in self.arms.items() if arm is not None}


def load(preset: str = "quick", file: Path | None = None, changes: tuple[str, ...] = ()) -> Settings:
    """Settings of a preset, changed by a YAML file, changed by `section.key=value` texts.

    The study.yaml of a run will do as the file: what else it tells is left aside.

    Raises:
        UserError: one message that lists every mistake.
    """
    if preset not in PRESETS:
        raise UserError(f"--preset {preset}", " or ".join(PRESETS))
    text = resources.files("sonosynth").joinpath("presets", f"{preset}.yaml").read_text(encoding="utf-8")
    values: dict[str, Any] = yaml.safe_load(text) or {}
    if file:
        given = read_yaml(file)
        values = _merged(values, {key: given[key] for key in given if key not in ("cohort", "resolved")})
    for change in changes:
        values = _merged(values, _parse(change))
    return validated(values, str(file) if file else "settings")


def validated(values: dict[str, Any], where: str) -> Settings:
    """Settings of nested `values`; `where` names their origin in the message of a UserError."""
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        lines = []
        for item in error.errors():
            name = ".".join(str(part) for part in item["loc"])
            if item["type"] == "extra_forbidden":
                lines.append(f"{name}: there is no such setting")
            else:
                lines.append(f"{name}: {item['msg']} (found {item['input']!r})")
        raise UserError(
            f"{where}: {len(lines)} mistake{'s' * (len(lines) > 1)} in the settings\n  " + "\n  ".join(lines),
            fix="docs/settings.md lists the settings, their types and defaults",
        ) from None


def read_yaml(file: Path) -> dict[str, Any]:
    """The mapping in a YAML file; raises UserError if it can't be read or is none."""
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{file}: can't be read as YAML ({error})", "a file of settings") from None
    if values is not None and not isinstance(values, dict):
        raise UserError(f"{file}: holds a {type(values).__name__}", "a mapping of settings")
    return values or {}


def _parse(change: str) -> dict[str, Any]:
    name, equals, text = change.partition("=")
    if not equals or not name:
        raise UserError(f"--set {change}", "section.key=value, for example lora.rank=8")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    if isinstance(value, str):
        try:  # YAML 1.1 reads 1e-4 as text
            value = float(value)
        except ValueError:
            pass
    for part in reversed(name.split(".")):
        value = {part: value}
    return value


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    out = dict(old)
    for key, value in new.items():
        both = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = _merged(out[key], value) if both else value
    return out
