"""The whole demo: seconds in all and by kind of job, and the largest process.

    python benchmarks/demo.py --out DIR

DIR is new. Jobs run beside each other, so that their seconds add up to more than passed.
"""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from measuring import machine
from sonosynth.run import reopen


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
    run = o.out / "run"
    jobs = [(job.function, status.made.seconds) for job, status in reopen(run).statuses(run) if status.made]
    table = pd.DataFrame(jobs, columns=["job", "seconds"]).groupby("job", sort=False)["seconds"].agg(["count", "sum"])
    print(f"{machine()}\n{seconds:.0f} s, {peak:.0f} MB in the largest process\n| job | how many | s |\n|---|---|---|")
    for name, (count, spent) in table.iterrows():
        print(f"| {str(name).removeprefix('sonosynth.')} | {count:.0f} | {spent:.1f} |")


if __name__ == "__main__":
    main()
