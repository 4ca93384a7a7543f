"""Which mask each image of a set is made under, and what of its starting image it keeps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from sonosynth import firewall, seeding
from sonosynth.artefacts import Split
from sonosynth.cohort.mask_jobs import CohortMasks
from sonosynth.errors import UserError
from sonosynth.synthesis import given_masks
from sonosynth.synthesis.deforming import deformed
from sonosynth.synthesis.given import label_of
from sonosynth.synthesis.given_masks import GivenMasks
from sonosynth.synthesis.requests import Request
from sonosynth.synthesis.settings import LESION, SHAPES, TRAINING
from sonosynth.synthesis.shapes import FEWEST, Shapes

MARGIN = 1 / 16
"""Of the side: how far around a lesion its surroundings are redrawn with it."""
GIVEN = "given"
"""Where masks come from if somebody drew them."""


@dataclass(frozen=True)
class Condition:
    """How the images of a set are conditioned on masks.

    masks: "training", "shapes" or "given", where they come from; None: from the images that they start from. keep:
    "lesion" or "surroundings", what stays of those; None: nothing. given: the masks of a folder. mirror: whether
    training masks may be mirrored.
    """

    masks: str | None
    keep: str | None
    given: GivenMasks | None
    mirror: bool


@dataclass(frozen=True)
class Drawn:
    """A mask (S, S) bool, what it was made from, and the images that it comes from."""

    mask: np.ndarray
    source: str
    origins: frozenset[str]


Draw = Callable[[str, int], Drawn]
"""From a class and the number of an image in it to the image's mask."""


def under_masks(
    settings: Condition,
    name: str,
    wanted: Sequence[Request],
    own: np.ndarray | None,
    drawn: Mapping[str, tuple[str, frozenset[str]]],
    draw: Draw | None,
) -> tuple[list[Request], frozenset[str]]:
    """The requests for the set `name`, with masks, and the images that these come from, without those started from.

    Args:
        own: the masks (N, S, S) bool of the images that they start from. drawn: as in `Starts`. draw: of new masks, if
            there are any.

    Raises:
        UserError: if nothing of an image would change.
    """
    counts: dict[str, int] = {}
    found, origins = [], frozenset[str]()
    for n, request in enumerate(wanted):
        number = counts.setdefault(request.label, 0)
        counts[request.label] += 1
        before = None if own is None else own[n]
        if draw:
            new = draw(request.label, number)
            origins |= new.origins
        else:
            assert before is not None
            new = Drawn(before, *drawn.get(request.source, (request.source, frozenset[str]())))
            origins |= new.origins
        region = None
        if settings.keep:
            assert before is not None
            region = ~before if settings.keep == LESION else _widened(before) | new.mask
            if not region.any():
                raise UserError(
                    f"sets.{name}.keep: {settings.keep}: nothing of {request.source} would change, without a lesion",
                    "images and masks with lesions",
                    f"give sets.{name}.count, without {request.label}",
                )
        found.append(replace(request, mask=new.mask, mask_source=new.source, mask_origins=new.origins, region=region))
    return found, origins


def _widened(lesion: np.ndarray) -> np.ndarray:
    """A lesion's mask with a margin: its rim, if left in place, would invite another lesion there."""
    return np.asarray(ndimage.binary_dilation(lesion, iterations=round(MARGIN * len(lesion))))


def drawing(
    settings: Condition, name: str, seed: int, depth: int, masks: CohortMasks, split: Split, labels: Sequence[str]
) -> Draw | None:
    """How new masks are drawn for images of some classes; None if there are none.

    Raises:
        UserError: if there are too few masks of a class to draw from, or a scored image's is among them.
    """
    if settings.masks is None:
        return None
    train = split.train[masks.known(split.train["id"])]
    rows = {label: masks.places(train["id"][train["label"] == label]) for label in labels}
    for label in labels:
        firewall.check(masks.origins(rows[label]).all(), split.scored, f"the masks of {label} for {name}")
        if settings.masks != GIVEN and not len(rows[label]):
            raise UserError(
                f"sets.{name}: no training image of {label} has a mask to make others from",
                "masks of some training images of every class",
                f"add masks, or give sets.{name}.count, without {label}",
            )
    if settings.masks == TRAINING:
        return _of_training(settings, seed, depth, masks, rows)
    if settings.masks == SHAPES:
        return _of_shapes(name, seed, depth, masks, rows)
    return _of_folder(settings, name, masks, rows, split)


def _stream(seed: int, label: str, number: int, depth: int) -> np.random.Generator:
    return seeding.numpy_generator(seed, "mask", label, number, *([depth] if depth > 1 else []))


def _of_training(settings: Condition, seed: int, depth: int, masks: CohortMasks, rows: dict[str, np.ndarray]) -> Draw:
    """Those of training images in turn, each class in a random order of its own, and each deformed anew."""
    order = {
        label: own[seeding.numpy_generator(seed, "masks", label).permutation(len(own))] for label, own in rows.items()
    }

    def draw(label: str, number: int) -> Drawn:
        row = order[label][number % len(order[label])]
        mask = deformed(np.asarray(masks.squares[row]), _stream(seed, label, number, depth), mirror=settings.mirror)
        return Drawn(mask, masks.rows["id"].iloc[row], masks.origins(np.array([row])).all())

    return draw


def _of_shapes(name: str, seed: int, depth: int, masks: CohortMasks, rows: dict[str, np.ndarray]) -> Draw:
    """From a model of the shapes of each class's training masks."""
    models = {}
    for label, own in rows.items():
        try:
            models[label] = Shapes.of(np.asarray(masks.squares[own]))
        except ValueError as error:
            raise UserError(
                f"sets.{name}.masks: shapes, of {label}: {error}",
                f"{FEWEST} training masks of every class, or none that shows a lesion",
                f"sets.{name}.masks=training",
            ) from None
    origins = {label: masks.origins(own).all() for label, own in rows.items()}
    return lambda label, number: Drawn(
        models[label].draw(_stream(seed, label, number, depth)), SHAPES, origins[label]
    )  # fmt: skip


def _of_folder(settings: Condition, name: str, masks: CohortMasks, rows: dict[str, np.ndarray], split: Split) -> Draw:
    """Those of a folder, in turn; a class without lesions needs none.

    A mask that is pixel by pixel that of an image of the cohort comes from that image: of several, a training image.
    """
    assert settings.given
    given = settings.given
    side = masks.squares.shape[-1]
    squares = given_masks.decode(given, side, name)
    last = masks.rows["id"].isin(split.train["id"]).to_numpy()
    shown = sorted(np.flatnonzero(masks.shown), key=lambda row: last[row])
    known = {masks.squares[row].tobytes(): masks.rows["sha256"].iloc[row] for row in shown}
    origins = [frozenset(filter(None, [known.get(square.tobytes())])) for square in squares]
    of = {label: [n for n, file in enumerate(settings.given.files) if label_of(file) == label] for label in rows}
    for label, places in of.items():
        what = f"sets.{name}.masks: {settings.given.root}"
        firewall.check(frozenset().union(*(origins[n] for n in places)), split.scored, what)
        if not places and (masks.shown[rows[label]].any() or not len(rows[label])):
            raise UserError(
                f"{what}: holds no mask of {label}",
                "masks of every class that images are made of, but those without lesions",
                f"add the folder {label}, or give sets.{name}.count, without {label}",
            )

    def draw(label: str, number: int) -> Drawn:
        if not of[label]:
            return Drawn(np.zeros((side, side), bool), "", frozenset())
        n = of[label][number % len(of[label])]
        return Drawn(squares[n], given.files[n], origins[n])

    return draw
