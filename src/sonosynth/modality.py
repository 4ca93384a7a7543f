"""The kind of images that a cohort holds."""

from typing import Literal, get_args

Modality = Literal["ultrasound", "xray", "ct", "mri", "other"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
ULTRASOUND: Modality = "ultrasound"
WORDS: dict[Modality, str] = {"ultrasound": "ultrasound", "xray": "X-ray", "ct": "CT", "mri": "MRI", "other": "medical"}
"""As in "MRI image of a glioma"."""
INITIAL: dict[Modality, str] = {
    "ultrasound": "ultrasound", "xray": "x-ray", "ct": "ct scan", "mri": "mri scan", "other": "medical image",
}  # fmt: skip
"""The words from which a token that stands for all images starts."""


def template(modality: Modality) -> str:
    """The prompt for a label without one of its own."""
    return f"{WORDS[modality]} image of {{label}}"


def token(modality: Modality) -> str:
    """The text of the token that stands for all images in the adapters that ship."""
    return f"<{'medical' if modality == 'other' else modality}>"


def texture(modality: Modality) -> str:
    """The measure (a file in `measures/`) of whether images look like this kind."""
    return "ultrasound" if modality == ULTRASOUND else "texture"
