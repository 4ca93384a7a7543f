"""What a way of making images says of itself: the constants of its module in `sets/`."""

from dataclasses import dataclass

from sonosynth import extensions


@dataclass(frozen=True)
class Way:
    """version: raised when its images change. start: what they start from, "noise", "images", "real" (training images
    alone) or "files" (of a folder). model: whether a model makes them; if not, an adapter, a strength or values of
    sampling mean nothing. control: whether its sets are negative controls by nature. generator: whether each repeat has
    images of a generator of its own even without an adapter. across: whether images start from those of other classes.
    condition: whether images can be made under masks. masked: whether images are those that they start from, whose
    masks are theirs, too.
    """

    version: int
    start: str
    model: bool
    control: bool
    generator: bool
    across: bool
    condition: bool
    masked: bool


def find(kind: str) -> Way:
    """The way of making images that is called `kind`.

    Raises:
        UserError: if there is none, or it can't be imported.
    """
    module = extensions.find("sets", kind)
    given = {"MODEL": True, "CONTROL": False, "GENERATOR": False, "ACROSS": False, "CONDITION": False, "MASKED": False}
    return Way(module.VERSION, module.FROM, *(getattr(module, name, default) for name, default in given.items()))
