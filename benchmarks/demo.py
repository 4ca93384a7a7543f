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

from measuring import by_kind, machine


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
    print(f"{machine()}\n{seconds:.0f} s, {peak:.0f} MB in the largest process\n{by_kind(o.out / 'run')}")


if __name__ == "__main__":
    main()
