"""Simulated B-mode images with lesions and masks."""

from sonosynth.phantom.simulate import KINDS, Phantom, Probe, envelope, random_probe, simulate
from sonosynth.phantom.writing import write_cohort

__all__ = ["KINDS", "Phantom", "Probe", "envelope", "random_probe", "simulate", "write_cohort"]
