"""How worker processes start: forked from one process that has imported the libraries once, where that is possible.

Importing torch and diffusers takes seconds; `start`, called before this process does so, overlaps the two.
"""

import multiprocessing
import os
from multiprocessing import forkserver
from multiprocessing.context import BaseContext

FORKS = "forkserver" in multiprocessing.get_all_start_methods()


def context() -> BaseContext:
    """The context in which worker processes and their queues are made."""
    return multiprocessing.get_context("forkserver" if FORKS else "spawn")


def start() -> None:
    """Let the process from which workers are forked begin to import what they need."""
    # OpenMP threads that spin while they wait starve each other as soon as anything else wants a core: beside another
    # process of as many threads, a training takes ten times as long. Those that sleep lose a tenth to a third alone.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if FORKS:
        forkserver.set_forkserver_preload(["sonosynth.runners.preloaded"])
        forkserver.ensure_running()
