"""A simulated cohort on disk, in BUSI layout."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from sonosynth import disk, progress, seeding
from sonosynth.errors import UserError
from sonosynth.phantom.simulate import DEMO_PROBE, KINDS, simulate

MARKER = "SIMULATED.txt"


def write_cohort(out: Path, counts: Mapping[str, int], seed: int, size: int = 128) -> None:
    """Write `counts` phantoms of each kind as `out/<kind>/<kind> (n).png` with `…_mask.png` beside it.

    Raises:
        UserError: if a kind is unknown, a count is not positive, or `out` exists and is not empty.
    """
    for kind, count in counts.items():
        if kind not in KINDS or count < 1:
            raise UserError(f"--count {kind}={count}", f"a count of 1 or more of {', '.join(KINDS)}")
    with disk.new_folder(out) as folder:
        with progress.task("simulating phantoms", sum(counts.values())) as bar:
            for kind, count in counts.items():
                (folder / kind).mkdir()
                for n in range(1, count + 1):
                    phantom = simulate(kind, seeding.numpy_generator(seed, "phantom", kind, n), DEMO_PROBE, size)
                    Image.fromarray(phantom.image).save(folder / kind / f"{kind} ({n}).png")
                    mask = Image.fromarray(phantom.mask.astype(np.uint8) * 255)
                    mask.save(folder / kind / f"{kind} ({n})_mask.png")
                    bar.advance()
        (folder / MARKER).write_text(
            f"Simulated B-mode images made by sonosynth phantoms, seed {seed}. No patient was imaged.\n",
            encoding="utf-8",
        )
