"""The demo: a simulated cohort, imbalanced like BUSI, and the whole study on it."""

from pathlib import Path

from sonosynth import progress, settings, store
from sonosynth.errors import UserError
from sonosynth.phantom import write_cohort
from sonosynth.phantom.writing import MARKER
from sonosynth.run import Study

COUNTS = {"normal": 27, "benign": 87, "malignant": 42}  # a fifth of BUSI's


def run_demo(out: Path) -> None:
    """Simulate a cohort into `out/cohort` and run the study in `out/run`; the same call resumes."""
    cohort = out / "cohort"
    progress.say("A demonstration on simulated images, 2 to 5 minutes on 2 cores.")
    progress.say("Its scores say nothing about patients.")
    with store.Run(out).locked():
        if cohort.exists() and not (cohort / MARKER).is_file():
            raise UserError(f"{cohort}: is not the cohort that the demo simulates", fix="give another --out")
        if not cohort.exists():
            progress.say(f"simulating a cohort, imbalanced like BUSI, into {cohort}")
            write_cohort(cohort, COUNTS, seed=1)
    Study(cohort, settings.load("demo")).run(out / "run")
