"""Imported once in the process from which workers are forked; it outlives a signal to the whole process group."""

import signal
from importlib import import_module

for _number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(_number, signal.SIG_IGN)
import_module("sonosynth.study")
