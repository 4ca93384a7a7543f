"""Formats that a cohort may have on disk, one file each.

A format has two functions: `reads(path) -> bool`, and `listing(path) -> Listing` (`sonosynth.cohort.sources`).
"""
