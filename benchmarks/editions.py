"""What a new edition of the embedded base is worth on real images, beside the one before it.

    PYTHONPATH=benchmarks python benchmarks/editions.py RUN --bases first=DIR second=DIR --out results.csv
        [--steps 250] [--seeds 0 1] [--each 40] [--features embedded imagenet:features]

RUN is a finished run, whose images, prompts, recipe of the LoRA and sampler are taken. Reconstruction: as in `base.py`,
of 120 phantoms that no base was pretrained on, and of RUN's images. Distance: the mean over classes of the kernel
distance to the held-out images of RUN's first split, of images of the base as it is, and of LoRAs without a token,
trained on its training images for `--steps` steps with each of the seeds; training images are the floor.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from base import HELD_OUT, held_out, reconstruct, reconstruction
from finished import FinishedRun
from measuring import alone, in_processes, machine
from quality import FLOOR, distances, far, made, ours


def reconstructions(root: Path, base: Path) -> list[dict[str, str]]:
    """What is left of phantoms and of RUN's images, one row each."""
    run = FinishedRun.read(root, base)
    unseen = np.stack(in_processes(held_out, range(HELD_OUT)))
    pairs = (("held-out phantoms", unseen), (run.name, run.pixels))
    return [reconstruction(name, x, reconstruct(base, x, run.machine.precision)) for name, x in pairs]


def of_base(root: Path, base: Path, adapter: Path | None, each: int, features: list[str]) -> dict[str, float]:
    """Of the images of a base, with an adapter or as it is, in each feature space."""
    run = FinishedRun.read(root, base)
    return far(run, made(run, adapter, each), features)


def tables(found: pd.DataFrame) -> str:
    """Both tables as Markdown; distances are means over the seeds, with their range."""
    spaces = [name for name in found if name not in ("base", "images", "made", *SHARES)]
    lines = ["| base | images | " + " | ".join(SHARES) + " |", "|---" * (2 + len(SHARES)) + "|"]
    for row in found.dropna(subset=["images"]).to_dict("records"):
        cells = [f"{row[name]:.3f}" if name == "L1" else f"{row[name]:.2f}" for name in SHARES]
        lines.append(f"| {row['base']} | {row['images']} | " + " | ".join(cells) + " |")
    lines += ["", "| images of | " + " | ".join(f"distance, {name}" for name in spaces) + " |"]
    lines.append("|---" * (1 + len(spaces)) + "|")
    for (base, by), rows in found.dropna(subset=["made"]).groupby(["base", "made"], sort=False, dropna=False):
        cells = [" to ".join(f"{x:.3f}" for x in sorted({rows[name].min(), rows[name].max()})) for name in spaces]
        lines.append(f"| {by if by == FLOOR else f'{base}, {by}'} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


SHARES = ("L1", "ratio", "nakagami", "axial", "lateral", "fine", "pattern")


def main() -> None:
    """Measure, store and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--bases", nargs="+", required=True, metavar="NAME=DIR")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--each", type=int, default=40, help="images of each class")
    parser.add_argument("--features", nargs="+", default=["embedded"])
    o = parser.parse_args()
    rows: list[dict[str, object]] = []

    def keep(base: str, found: dict[str, float] | dict[str, str], by: str | None = None) -> None:
        rows.append({"base": base} | ({"made": by} if by else {}) | dict(found))
        pd.DataFrame(rows).to_csv(o.out, index=False, float_format="%.5f")

    named = {name: Path(folder) for name, _, folder in (text.partition("=") for text in o.bases)}
    for name, folder in named.items():
        for found in reconstructions(o.run, folder):
            keep(name, found)
    keep("", alone(partial(distances, o.run, None, o.each, o.features))[0], FLOOR)
    for name, folder in named.items():
        keep(name, alone(partial(of_base, o.run, folder, None, o.each, o.features))[0], "as it is")
        for seed in o.seeds:
            with tempfile.TemporaryDirectory() as out:
                alone(partial(ours, o.run, [o.steps], seed, Path(out), folder))
                adapter = Path(out) / str(o.steps)
                found, _ = alone(partial(of_base, o.run, folder, adapter, o.each, o.features))
            keep(name, found, f"adapted in {o.steps} steps")
    print(f"{machine()}\n\n{tables(pd.read_csv(o.out))}")


if __name__ == "__main__":
    main()
