"""A large set in shards: jobs that draw the first attempts at its images, on as many machines as there are.

What goes in order is left to the job of the set: whether an image shows what an earlier one does, and further attempts.
"""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from sonosynth import disk, interruption, progress
from sonosynth.artefacts import Adapter, Artefact, CohortImages, Split, SyntheticSet
from sonosynth.cohort.mask_jobs import CohortMasks
from sonosynth.cost import Effort
from sonosynth.synthesis import jobs as synthesis
from sonosynth.synthesis.composing import compose
from sonosynth.synthesis.resolved import Making

VERSION = f"1 of {synthesis.VERSION}"


@dataclass(frozen=True)
class Shard:
    """The `number`-th of `count` shards of a set. batch: that of sampling; what is drawn is kept by batch."""

    making: Making
    batch: int
    number: int
    count: int

    @property
    def effort(self) -> Effort:
        """Its part of that of the set."""
        return Effort(self.making.effort.kind, self.making.effort.amount / self.count)


def draw(
    settings: Shard, *, split: Split, cohort: CohortImages | None = None, source: SyntheticSet | None = None,
    adapter: Adapter | None = None, choice: Artefact | None = None, masks: CohortMasks | None = None, work: Path,
) -> None:  # fmt: skip
    """Draw the first attempts at some of the images of a set, in the batches in which `synthesis.jobs.make` draws them.

    Makes batches: a folder with a NumPy array (N, H, W) uint8 for each, named by the number of its first image. Without
    a batch of its own, a shard loads no model.

    Raises:
        UserError: as `synthesis.jobs.make`.
        KeyboardInterrupt: on SIGINT or SIGTERM, once the batch is written.
    """
    set_of = compose(
        settings.making, split=split, cohort=cohort, source=source, adapter=adapter, choice=choice, masks=masks
    )  # fmt: skip
    wanted, initial, _ = set_of.parts(set_of.needed)
    starts = range(0, len(wanted), settings.batch)
    first, last = (len(starts) * n // settings.count for n in (settings.number, settings.number + 1))
    places = {start: work / "batches" / f"{start:06d}.npy" for start in starts[first:last]}
    (work / "batches").mkdir(exist_ok=True)
    left = {start: path for start, path in places.items() if not path.exists()}
    if not left:
        return
    maker = set_of.maker()
    name = f"{settings.making.name}, shard {settings.number + 1} of {settings.count}"
    with (
        progress.task(f"drawing {name}", len(places), len(places) - len(left)) as bar,
        interruption.held_back() as interrupted,
    ):
        for start, path in left.items():
            rows = slice(start, start + settings.batch)
            data = BytesIO()
            np.save(data, maker.make(wanted[rows], None if initial is None else initial[rows]), allow_pickle=False)
            disk.write_bytes(path, data.getvalue())
            bar.advance()
            if interrupted():
                break
