"""Marks and colour of a cohort's images in words."""

from sonosynth.cohort.marks import BORDER, CALIPERS, TEXT
from sonosynth.cohort.traits import COLOUR, Trait

NAMES = {TEXT: "Burnt-in text", CALIPERS: "Calipers", BORDER: "Borders", COLOUR: "Colour"}


def marked(trait: Trait) -> str:
    """How many images of each class have a mark."""
    return f"{NAMES[trait.kind]}: {trait.total} images ({trait.tally})"


def suspected(trait: Trait, *, filled: bool) -> str:
    """That a mark goes with the label, and what is or can be done about it."""
    todo = (
        "These marks were filled in (marks.remove), the same for all images; what was not found is still there."
        if filled
        else "Look at the images; marks.remove=all fills these marks in, the same for all images."
    )
    return f"{_beside(trait)} A classifier may learn the mark instead of the disease. {todo}"


def coloured(trait: Trait) -> str:
    """What it means that images lose their colour."""
    lost = (
        f"Colour is lost: sonosynth works on grey images, and {trait.total} of {sum(trait.images.values())} images have"
        f" colour ({trait.tally}). Where it carries the diagnosis (elastography, Doppler, dermatoscopy), no result here"
        " says anything about what it would add; if it is only a tint, nothing is lost."
    )
    warning = " Images of another kind still look different in grey: a classifier may learn the kind, not the disease."
    return lost + (f" {_beside(trait)}{warning}" if trait.suspicious else "")


def _beside(trait: Trait) -> str:
    verb = "go" if trait.kind in (CALIPERS, BORDER) else "goes"
    return (
        f"{NAMES[trait.kind]} {verb} with the label: in {trait.share:.0%} of the images of {trait.label}, in"
        f" {trait.others:.0%} of the others (p = {trait.p:.2g}, corrected for the number of tests)."
    )


def warnings(traits: tuple[Trait, ...], *, filled: bool) -> list[str]:
    """What a reader must know of them before the scores."""
    of_marks = [suspected(trait, filled=filled) for trait in traits if trait.kind != COLOUR and trait.suspicious]
    return of_marks + [coloured(trait) for trait in traits if trait.kind == COLOUR and trait.considerable]
