"""The whole demo: seconds in all and by stage, and the largest process.

    python benchmarks/demo.py --out DIR

DIR is new. Classifiers are trained several at a time, so that their seconds add up to more than passed.
"""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from measuring import machine
from sonosynth.store import Run


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    o = parser.parse_args()
    started = time.perf_counter()
    subprocess.run([Path(sys.executable).with_name("sonosynth"), "demo", "--out", o.out], check=True)
    seconds = time.perf_counter() - started
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit / 1e6
    stages = pd.DataFrame(Run(o.out / "run").finished_stages())
    by_kind = stages.groupby(stages["stage"].str.split("-").str[0], sort=False)["seconds"].sum()
    print(f"{machine()}\n{seconds:.0f} s, {peak:.0f} MB in the largest process\n| stage | s |\n|---|---|")
    for name, value in by_kind.items():
        print(f"| {name} | {value:.1f} |")


if __name__ == "__main__":
    main()
