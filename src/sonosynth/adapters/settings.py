"""Settings of the adapters."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from sonosynth.section import NO_EFFECT, Positive, Rate, Section

PROBE = "probe"


class Token(Section):
    """Textual inversion (Gal et al., ICLR 2023)."""

    steps: Positive = Field(300, description="optimiser steps of each token (scripts: 2000)")
    batch: Positive = Field(4, description="images in a batch (scripts: 1)")
    accumulation: Positive = Field(1, description="batches in a step (scripts: 4)")
    learning_rate: Rate = Field(5e-3, description="learning rate of AdamW (scripts: 5e-4)")
    init: str = Field("ultrasound", min_length=1, description="words whose mean embedding initialises it (scripts)")


class Lora(Section):
    """Low-rank adaptation of the U-Net (Hu et al., ICLR 2022)."""

    rank: Annotated[int, Field(ge=1, le=4096)] = Field(16, description="rank of the update (scripts: 4)")
    layers: Literal["attention", "all"] = Field(
        "all", description="attention projections only (paper), or convolutions too, which make the texture"
    )
    steps: Positive = Field(1000, description="optimiser steps (scripts: 3000)")
    batch: Positive = Field(8, description="images in a batch (scripts: 4)")
    accumulation: Positive = Field(1, description="gradient accumulation: batches in a step (scripts: 1)")
    learning_rate: Rate = Field(1e-3, description="learning rate of AdamW (scripts: 1e-4)")
    schedule: Literal["constant", "cosine"] = Field(
        "cosine", description="constant learning rate (scripts), or cosine decay to zero"
    )
    average: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="decay of the exponential moving average of the weights that is saved, for example 0.99;"
        " 0: the last step's weights (scripts)",
    )
    drop_prompt: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of prompts replaced by the empty one (prompt dropout, Ho and Salimans, 2022; scripts: 0)",
    )
    diagnostic: float = Field(
        0.0,
        ge=0,
        description="weight of the diagnostic term: the cross-entropy of classifiers of the training images on the"
        " clean latents that the U-Net predicts at low noise, for example 0.1; 0: none (paper)",
    )


class Unet(Section):
    """All weights of the U-Net, trained from random ones or from the base's."""

    start: Literal["random", "base"] = Field(
        "random", description="random weights: a denoiser trained from scratch; or the base's, all of them fine-tuned"
    )
    steps: Positive = Field(2000, description="optimiser steps")
    batch: Positive = Field(8, description="images in a batch")
    accumulation: Positive = Field(1, description="batches in a step")
    learning_rate: Rate = Field(5e-4, description="learning rate of AdamW; lower with start: base, 1e-4 to 1e-5")
    schedule: Literal["constant", "cosine"] = Field(
        "cosine", description="constant learning rate, or cosine decay to zero"
    )
    average: float = Field(
        0.99, ge=0, lt=1, description="decay of the exponential moving average of the weights that is saved"
    )
    drop_prompt: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="share of prompts replaced by the empty one; random weights need this if guidance above 1"
        " is to be used",
    )


class Control(Section):
    """A control branch: a copy of the U-Net's encoder that steers it by an image (ControlNet, Zhang et al., ICCV 2023).

    It is trained after the rest of the adapter, whose weights stay as they are.
    """

    kind: Literal["mask"] = Field("mask", description="what it steers by: mask, the lesion's mask")
    # In the key as the digest of its files.
    start: Annotated[str | None, NO_EFFECT] = Field(
        None,
        min_length=1,
        description="a published ControlNet for the base, a hub id or folder, whose weights it starts from; absent: the"
        " one that the base brings, as the embedded one does, or else the adapted U-Net's encoder",
    )
    steps: Positive = Field(1000, description="optimiser steps")
    batch: Positive = Field(8, description="images in a batch")
    accumulation: Positive = Field(1, description="batches in a step")
    learning_rate: Rate = Field(5e-4, description="learning rate of AdamW; for Stable Diffusion 1e-5")
    schedule: Literal["constant", "cosine"] = Field(
        "cosine", description="constant learning rate, or cosine decay to zero"
    )
    average: float = Field(
        0.99, ge=0, lt=1, description="decay of the exponential moving average of the weights that is saved"
    )
    drop_prompt: float = Field(
        0.1, ge=0, lt=1, description="share of prompts replaced by the empty one, for guidance above 1"
    )


class Adapt(Section):
    """What the generator may see, and for how long."""

    on: Literal["training", "all"] = Field(
        "training", description="images that adapters are trained on; all: the scripts' data leakage, labelled as such"
    )
    balance: Literal["none", "classes"] = Field(
        "classes", description="classes: adapters see every class equally often; none: every image (scripts)"
    )
    mirror: bool = Field(
        True, description="adapters see mirror images, too; false where left and right matter (with classifier.mirror)"
    )
    # No effect by itself: an adapter whose steps are chosen needs the job that chooses them.
    stop: Annotated[Literal["fixed", "probe"], NO_EFFECT] = Field(
        "fixed",
        description="fixed: a LoRA takes `lora.steps`; probe: a quarter, half or all of them, by how close trial"
        " adapters' images come to a held-out fifth of a block's training images; training takes almost three times"
        " as long",
    )

    @model_validator(mode="after")
    def _probes_need_unseen_images(self) -> "Adapt":
        if self.stop == PROBE and self.on == "all":
            raise ValueError("stop: probe holds back training images; with on: all adapters would see them")
        return self


def _new_words(given: Any) -> Any:
    """The text of one token, or of one for each class."""
    texts = [*given.values()] if isinstance(given, Mapping) else [given]
    if not texts or not all(isinstance(text, str) and re.fullmatch(r"\S+", text) for text in texts):
        raise ValueError("a text without spaces, as <new>, or one of each class, as {benign: <b>, malignant: <m>}")
    if len(set(texts)) < len(texts):
        raise ValueError("each class needs a token of its own: give each text once")
    return given


def _kind_of_control(given: Any) -> Any:
    """The values of a control; its kind alone may stand for them."""
    return {"kind": given} if isinstance(given, str) else given


class Adapter(Section):
    """One adapter: what is learned from the training images."""

    token: Annotated[str | dict[str, str], BeforeValidator(_new_words)] | None = Field(
        None,
        description="text of a new token, appended to all prompts; or of one for each class, {label: text}, learned on"
        " its images alone and appended to its prompts; absent: none is learned",
    )
    lora: dict[str, Any] | None = Field(
        None, description="{}: a LoRA with the values of the section `lora`, overridden by those given; absent: none"
    )
    unet: dict[str, Any] | None = Field(
        None,
        description="{}: all weights of the U-Net, with the values of the section `unet`, overridden by those given;"
        " takes the place of token and lora; absent: the base's U-Net",
    )
    control: Annotated[dict[str, Any] | None, BeforeValidator(_kind_of_control)] = Field(
        None,
        description="mask: a control branch that steers images by lesion masks, with the values of the section"
        " `control`; {kind: mask, steps: 500}: overridden by those given; absent: none",
    )

    @model_validator(mode="after")
    def _learns_something(self) -> "Adapter":
        low_rank = self.token is not None or self.lora is not None
        if self.unet is None and not low_rank:
            raise ValueError("needs a token, a lora or both, or a unet, for example {lora: {}}")
        # A token is learned through the base's U-Net: it says nothing to another, which learns what it could express.
        if self.unet is not None and low_rank:
            raise ValueError("a unet is trained as a whole, and takes no token and no lora: declare two adapters")
        return self

    def token_of(self, label: str) -> str | None:
        """The token in the prompts of a label, None if there is none."""
        return self.token[label] if isinstance(self.token, dict) else self.token
