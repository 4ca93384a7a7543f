"""Whether a run's report leaves out real images and paths: the run remembers what was asked for last."""

from pathlib import Path

from sonosynth import disk

FILE = ".no-real-images"


def withheld(root: Path, real_images: bool | None = None) -> bool:
    """Whether the report of the run `root` leaves them out.

    Args:
        real_images: whether they are asked for from now on; None: as before, at first with them.
    """
    place = root / FILE
    if real_images is False and not place.exists():
        disk.write_text(place, "sonosynth report RUN --real-images puts real images and paths back into the report\n")
    elif real_images:
        place.unlink(missing_ok=True)
    return place.exists()


def told(root: Path, *, withheld: bool, simulated: bool) -> str:
    """What a person should know before the report is drawn; "" if there are no patients in it."""
    if withheld:
        return f"the report leaves out real images and all paths (sonosynth report {root} --real-images puts them back)"
    if simulated:
        return ""
    return (
        "the report and figures/ hold real images of the cohort, and paths on this machine; before you share them:"
        f" sonosynth report {root} --no-real-images"
    )
