"""The jobs of a study as jobs of Slurm: commands that submit them; Slurm's dependencies keep their order."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from sonosynth.cost import Cost
from sonosynth.jobs import Job

HEAD = """#!/bin/sh
# The {count} jobs that are left of the study in {root}: run this where sbatch is. Partition, account and time limit
# are taken from SBATCH_PARTITION, SBATCH_ACCOUNT and SBATCH_TIMELIMIT.
set -e"""


def script(root: Path, left: Sequence[Job], known: Mapping[str, Cost]) -> str:
    """A shell script that submits the jobs that are left of the study in `root`, each after those it needs.

    Args:
        left: in order; what else they need is done. known: what each is expected to cost, by name; some are unknown.
    """
    numbers = {job.name: number for number, job in enumerate(left, 1)}
    before: dict[str, set[str]] = {}  # all that have to end before a job
    lines = [HEAD.format(count=len(left), root=root)]
    for job in left:
        needed = [name for name in dict.fromkeys(job.needed) if name in numbers]
        direct = [name for name in needed if not any(name in before[other] for other in needed)]
        before[job.name] = {*needed}.union(*(before[name] for name in needed))
        command = shlex.join(["sonosynth", "run-job", str(root), job.name, "--threads", str(job.threads)])
        options = [f"--job-name={shlex.quote(job.name)}", f"--cpus-per-task={job.threads}"]
        options += ["--gpus=1"] * (job.device != "cpu")
        options += [f"--mem={known[job.name].peak_mb}M"] if job.name in known else []
        if direct:
            after = ":".join(f"$j{numbers[name]}" for name in direct)
            options += [f"--dependency=afterok:{after}", "--kill-on-invalid-dep=yes"]
        lines.append(f"j{numbers[job.name]}=$(sbatch --parsable {' '.join(options)} --wrap={shlex.quote(command)})")
    return "\n".join([*lines, 'echo "submitted"', ""])
