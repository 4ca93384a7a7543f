"""How worker processes start: forked from one process that has imported the libraries once, where that is possible.

Importing torch and diffusers takes seconds; `start`, called before this process does so, overlaps the two.
"""

import multiprocessing
from multiprocessing import forkserver
from multiprocessing.context import BaseContext

FORKS = "forkserver" in multiprocessing.get_all_start_methods()


def context() -> BaseContext:
    """The context in which worker processes and their queues are made."""
    return multiprocessing.get_context("forkserver" if FORKS else "spawn")


def start() -> None:
    """Let the process from which workers are forked begin to import what they need."""
    if FORKS:
        forkserver.set_forkserver_preload(["sonosynth.runners.preloaded"])
        forkserver.ensure_running()
