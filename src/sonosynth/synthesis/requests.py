"""Which images a set consists of: how many of each class, from which prompt, seed and starting image.

The seed of an image is named by purpose, class, number and depth of refinement, never by the set or the adapter: so the
n-th images of a class in two sets of one depth are paired.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sonosynth import seeding
from sonosynth.errors import UserError


@dataclass(frozen=True)
class Request:
    """One image to make.

    source: the image that it starts from: set/file_name, or the id of a real one. strength: of the noise that is added
    to that, None if none is. mirrored: whether it is mirrored first. origins: of its start. described: the
    training image whose columns the prompt has, "" if it has none. mask: (H, W) bool, what it is made under;
    mask_source and mask_origins, what that was made from, and of which real images. region: (H, W) bool, what of the
    image that it starts from is to change; None: all.
    """

    label: str
    file_name: str
    prompt: str
    seed: int
    source: str = ""
    strength: float | None = None
    mirrored: bool = False
    origins: frozenset[str] = frozenset()
    described: str = ""
    mask: np.ndarray | None = field(default=None, compare=False)
    mask_source: str = ""
    mask_origins: frozenset[str] = frozenset()
    region: np.ndarray | None = field(default=None, compare=False)

    @property
    def mask_file(self) -> str:
        """The file of its mask, beside its own."""
        return f"{self.file_name.removesuffix('.png')}_mask.png"

    def seed_of(self, attempt: int) -> int:
        """The seed of the first, second, ... image that is drawn for it."""
        return self.seed if attempt == 1 else seeding.derive(self.seed, "again", attempt - 1)


def declared(count: int | Mapping[str, int], classes: Sequence[str], name: str) -> dict[str, int]:
    """The images of each class that the settings of the set `name` ask for.

    Raises:
        UserError: if they name a class that the cohort does not have.
    """
    if isinstance(count, int):
        return dict.fromkeys(classes, count)
    if unknown := set(count) - set(classes):
        raise UserError(
            f"sets.{name}.count: there is no class {', '.join(sorted(unknown))} in the cohort", ", ".join(classes)
        )
    return {label: count.get(label, 0) for label in classes}


def from_noise(needed: Mapping[str, int], prompts: Mapping[str, str], seed: int) -> list[Request]:
    """Text-to-image requests."""
    return [
        Request(label, _file(label, n), prompts[label], seeding.derive(seed, "text-to-image", label, n))
        for label, count in needed.items()
        for n in range(count)
    ]


def from_images(
    needed: Mapping[str, int], prompts: Mapping[str, str], seed: int, sources: Mapping[str, Sequence[str]], depth: int,
    *, strengths: Sequence[float] = (), mirror: bool = False,
) -> list[Request]:  # fmt: skip
    """Image-to-image requests: the n-th image of a class starts from the n-th of its `sources`, cycling through them.

    Their noise is new: the noise that an image was made from is not independent of it.

    Args:
        sources: names of the images of each class. depth: how often the new ones were refined, at least 1. strengths:
            as many images of a class have each, one strength after the other. mirror: half of the images, drawn at
            random, start from the mirror image.
    """
    found = []
    for label, count in needed.items():
        drawn = seeding.numpy_generator(seed, "mirror", label, depth).random(count) < 0.5
        for n in range(count):
            own = seeding.derive(seed, "image-to-image", _file(label, n), *([depth] if depth > 1 else []))
            found.append(
                Request(
                    label, _file(label, n), prompts[label], own, sources[label][n % len(sources[label])],
                    strengths[n * len(strengths) // count] if strengths else None, bool(mirror and drawn[n]),
                )
            )  # fmt: skip
    return found


def masks_of(wanted: Sequence[Request]) -> np.ndarray | None:
    """The masks of requests, (N, H, W) bool; None if they have none."""
    return _stacked([request.mask for request in wanted])


def regions_of(wanted: Sequence[Request]) -> np.ndarray | None:
    """The regions of requests, (N, H, W) bool; None if all of every image is to change."""
    return _stacked([request.region for request in wanted])


def _stacked(arrays: Sequence[np.ndarray | None]) -> np.ndarray | None:
    found = [array for array in arrays if array is not None]
    return np.stack(found) if found else None


def _file(label: str, number: int) -> str:
    return f"{label}/{number:05d}.png"
