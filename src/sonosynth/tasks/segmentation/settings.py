"""Settings of the segmenters."""

from typing import Annotated

from pydantic import Field

from sonosynth.section import MAX_COUNT, Positive, Rate, Section

MULTIPLE = 16  # the U-Net halves the side of an image four times


class Segmenter(Section):
    """The segmenter of the arms: MONAI's U-Net, from random weights."""

    steps: Positive = Field(300, description="optimiser steps of every arm")
    batch: Annotated[int, Field(ge=2, le=MAX_COUNT)] = Field(16, description="images in a batch")
    learning_rate: Rate = Field(2e-3, description="peak learning rate of Adam, which falls to 0 along a cosine")
    resolution: Annotated[int, Field(ge=32, le=4096, multiple_of=MULTIPLE)] = Field(
        128, description="side of the square input and of the predicted mask, pixels: a multiple of 16"
    )
