"""All settings of a study, put together from the sections of their owners. All mistakes are reported at once.

"Paper" is Hybrid Diffusion Model for Ultrasound Image Augmentation (2025); "scripts" are its authors'
published ones, where the paper is silent. The defaults suit the embedded base; `presets/` has the others.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from sonosynth import declarations, plain_yaml, shipped
from sonosynth.adapters.settings import PROBE, Adapt, Adapter, Control, Lora, Token, Unet
from sonosynth.cohort.settings import AS_IT_IS, Marks, Masks, Prompts, Reading, Split, Table
from sonosynth.errors import LINE, UserError, first_line
from sonosynth.evidence.settings import Compare, Repeats
from sonosynth.fidelity.settings import Fidelity, Memorisation
from sonosynth.layers import fitting, over, parsed
from sonosynth.modality import ULTRASOUND, Modality
from sonosynth.section import NO_EFFECT, Section, Seed
from sonosynth.synthesis.settings import Balance, Refine, Set, Synthesis
from sonosynth.tasks.arms import Arm
from sonosynth.tasks.classification.settings import Classifier, Testing
from sonosynth.tasks.segmentation.settings import Segmenter

PRESETS = ("paper", "quick", "sound", "demo")
DEFAULTS = "defaults"
Task = Literal["classification", "segmentation"]
CLASSIFICATION: Task = "classification"
SEGMENTATION: Task = "segmentation"
REFERENCE = "real"
"""The arm that all others are compared with."""
MAX_TRAININGS, MAX_ENTRIES = 100_000, 200
SHOWN = 50  # mistakes in one message, at most
ABOUT_A_RUN = ("cohort", "resolved")
"""Keys of a run's study.yaml that say where its images were and where it ran, and change no result."""


class Settings(Section):
    """All settings of a study."""

    seed: Seed = Field(0, description="the root of every random draw")
    base: str = Field(
        "embedded", min_length=1, description="embedded, or a folder or hub id in Stable Diffusion 1.x format"
    )
    resolution: Annotated[int, Field(ge=16, le=4096)] = Field(
        128, description="side of the square images, pixels (scripts: 512)"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field("auto", description="for adaptation and synthesis")
    skip_bad: bool = Field(
        False, description="go on without files of the cohort that can't be used, and list them in cohort.csv"
    )
    modality: Modality = Field(
        ULTRASOUND,
        description="ultrasound, xray, ct, mri or other: decides the default prompts, the token's words, the measure of"
        " texture, and whether the classical augmentation has speckle",
    )
    cohort: Annotated[Table, NO_EFFECT] = AS_IT_IS
    reading: Reading = Reading()
    marks: Marks = Marks()
    masks: Masks = Masks()
    split: Split = Split()
    prompts: Prompts = Prompts()
    token: Token = Token()
    lora: Lora = Lora()
    unet: Unet = Unet()
    control: Control = Control()
    balance: Balance = Balance()
    synthesis: Synthesis = Synthesis()
    refine: Refine = Refine()
    adapt: Adapt = Adapt()
    adapters: dict[str, Adapter | None] = Field(
        {}, max_length=MAX_ENTRIES, description="what is learned, by name; null removes a default one"
    )
    sets: dict[str, Set | None] = Field(
        {}, max_length=MAX_ENTRIES, description="synthetic sets, by name; null removes a default one"
    )
    arms: dict[str, Arm | None] = Field(
        {REFERENCE: Arm()},
        max_length=MAX_ENTRIES,
        description="rows of the ablation, by name; null removes a default one",
    )
    tasks: tuple[Task, ...] = Field(
        (CLASSIFICATION,),
        min_length=1,
        max_length=2,
        description="what synthetic images are for: classification, segmentation (of the lesions in the cohort's"
        " masks), or both, which share the error rate of 5%",
    )
    classifier: Classifier = Classifier()
    segmenter: Segmenter = Segmenter()
    repeats: Repeats = Repeats()
    compare: Compare = Compare()
    fidelity: Fidelity = Fidelity()
    memorisation: Memorisation = Memorisation()
    test: Testing = Testing()

    @field_validator("arms")
    @classmethod
    def _has_a_reference(cls, arms: dict[str, Arm | None]) -> dict[str, Arm | None]:
        if not (real := arms.get(REFERENCE)) or real.model_copy(update={"seeds": None}) != Arm():
            what = "is the arm that the others are compared with, and takes no settings but seeds"
            raise ValueError(f"{REFERENCE} {what}")
        return arms

    @field_validator("tasks")
    @classmethod
    def _each_task_once(cls, tasks: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(tasks)) < len(tasks):
            raise ValueError("each task once")
        return tasks

    @model_validator(mode="after")
    def _can_be_planned(self) -> "Settings":
        r = self.repeats
        seeds = sum(len(self.seeds_of(arm)) for arm in self.declared_arms)
        trainings = r.generators * (r.folds or 1) * r.draws * seeds
        if trainings > MAX_TRAININGS:
            raise ValueError(
                f"arms and seeds ask for {trainings:,} trained classifiers; at most {MAX_TRAININGS:,} are planned"
            )
        return self

    @model_validator(mode="after")
    def _compares_declared_arms(self) -> "Settings":
        cheap, primary = self.compare.cheap, self.compare.primary
        if cheap not in (None, Compare().cheap) and cheap not in self.arms:
            raise ValueError(f"compare.cheap: there is no arm {cheap}")
        if cheap and (arm := self.arms.get(cheap)) and (arm.sets or arm.best_of):
            raise ValueError(f"compare.cheap: {cheap} adds synthetic images or has best_of; name an arm without")
        if primary is not None and (primary == REFERENCE or primary not in self.declared_arms):
            raise ValueError(f"compare.primary: there is no arm {primary} to compare with {REFERENCE}")
        return self

    @property
    def declared_adapters(self) -> dict[str, Adapter]:
        """The adapters that are learned, by name."""
        return {name: adapter for name, adapter in self.adapters.items() if adapter}

    @property
    def controlled(self) -> bool:
        """Whether an adapter learns from lesion masks."""
        return any(adapter.control is not None for adapter in self.declared_adapters.values())

    @property
    def probed_adapters(self) -> list[str]:
        """The adapters whose steps are chosen by probes."""
        return [name for name in self.declared_adapters if self.adapt.stop == PROBE and self.lora_of(name)]

    @property
    def declared_sets(self) -> dict[str, Set]:
        """The sets that are made, by name; each after the one that it starts from."""
        declared = {name: made for name, made in self.sets.items() if made}
        ordered: dict[str, Set] = {}

        def place(name: str) -> None:
            if name in declared and name not in ordered:
                place(declared[name].start)
                ordered[name] = declared[name]

        for name in declared:
            place(name)
        return ordered

    @property
    def declared_arms(self) -> dict[str, Arm]:
        """The arms that are run, by name: with `compare.exposures`, those with a share once more."""
        arms = {name: arm for name, arm in self.arms.items() if arm}
        longer = {
            f"{name} at equal exposures": arm.model_copy(update={"exposures": "real"})
            for name, arm in arms.items() if self.compare.exposures and arm.share and arm.exposures == "all"
        }  # fmt: skip
        return arms | {name: arm for name, arm in longer.items() if name not in arms}

    def seeds_of(self, arm: str) -> tuple[int, ...]:
        """The seeds of an arm's classifiers."""
        own = self.declared_arms[arm].seeds
        return self.classifier.seeds if own is None else own

    def lora_of(self, adapter: str) -> Lora | None:
        """The LoRA of an adapter: the inherited values, overridden by its own."""
        own = self.declared_adapters[adapter].lora
        return None if own is None else self.lora.overridden(own)

    def unet_of(self, adapter: str) -> Unet | None:
        """The U-Net of an adapter that trains it as a whole, in the same way."""
        own = self.declared_adapters[adapter].unet
        return None if own is None else self.unet.overridden(own)

    def control_of(self, adapter: str) -> Control | None:
        """The control branch of an adapter, in the same way."""
        own = self.declared_adapters[adapter].control
        return None if own is None else self.control.overridden(own)

    def synthesis_of(self, name: str) -> Synthesis:
        """How the images of a set are sampled."""
        return self.synthesis.overridden(self.declared_sets[name].synthesis)

    def strength_of(self, name: str) -> float | tuple[float, ...]:
        """The denoising strength of a set that starts from images, or several."""
        own = self.declared_sets[name].strength
        return self.refine_of(name).strength if own is None else own

    def refine_of(self, name: str) -> Refine:
        """How the images of a set are refined, where it gives no strength of its own."""
        return self.refine.overridden(self.declared_sets[name].refine)


def load(preset: str = "quick", files: Sequence[str | Path] = (), changes: Sequence[str] = ()) -> Settings:
    """Settings of a preset, overridden by YAML files in turn, then by `section.key=value` texts.

    A file is a path or the name of a shipped one; the study.yaml of a run works, too.

    Raises:
        UserError: one message that lists every mistake.
    """
    if preset not in PRESETS:
        raise UserError(f"--preset {preset}", " or ".join(PRESETS))
    ours = over(shipped.layer(DEFAULTS), shipped.layer(preset))
    given: dict[str, Any] = {}
    for file in files:
        layer = _read_layer(file)
        if layer.pop("resolved", None):  # a run's own settings: as good as shipped ones, and all that it declares
            declared = {name: layer[name] for name in declarations.GROUPS if name in layer}
            ours, given = over(over(ours, given), layer) | declared, {}
        else:
            given = over(given, layer)
    for change in changes:
        given = over(given, parsed(change))
    ours = fitting(ours, given.get("modality"))
    values = declarations.without_removed(over(ours, given), given)
    return validated(values, ", ".join(map(str, files)) or "settings")


def validated(values: Mapping[str, Any], where: str) -> Settings:
    """Settings of nested `values`; `where` names their origin in the message of a UserError."""
    mistakes, values = declarations.moved(values)
    mistakes += declarations.mistakes(values)
    try:
        settings = Settings.model_validate(values)
        if not mistakes:
            return settings
    except ValidationError as error:
        mistakes += declarations.explained(error, Settings, values)
    shown = [first_line(mistake, 3 * LINE) for mistake in mistakes[:SHOWN]]
    shown += [f"and {len(mistakes) - SHOWN} more"] * (len(mistakes) > SHOWN)
    raise UserError(
        f"{where}: {len(mistakes)} mistake{'s' * (len(mistakes) > 1)} in the settings\n  " + "\n  ".join(shown),
        fix="docs/all-settings.md lists the settings, their types and defaults",
    )


def as_yaml(settings: Settings) -> str:
    """Settings as YAML text that `load` takes as a file, without how the cohort is read."""
    values = settings.model_dump(mode="json", by_alias=True, exclude={"cohort"})
    for group in declarations.GROUPS:
        given = {name: entry for name, entry in getattr(settings, group).items() if entry}
        # As they were given: what is null on purpose stays, what is inherited is not fixed.
        own = {name: entry.model_dump(mode="json", by_alias=True, exclude_unset=True) for name, entry in given.items()}
        values[group] = {name: own.get(name) for name in values[group]}
    return plain_yaml.dump(values)


def _read_layer(file: str | Path) -> dict[str, Any]:
    """The settings in a file, given by its path or by the name of a shipped one."""
    if not Path(file).exists() and shipped.has(str(file)):
        return shipped.layer(str(file))
    return of_study(plain_yaml.read(Path(file)))


def of_study(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a run's study.yaml without where its cohort is, which is no setting."""
    cohort = values.get("cohort")
    kept = {key: value for key, value in cohort.items() if key != "path"} if isinstance(cohort, dict) else {}
    return {key: value for key, value in values.items() if key != "cohort"} | ({"cohort": kept} if kept else {})
