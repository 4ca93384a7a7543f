"""Measures by which sets of images are compared, one file each.

A measure has a `VERSION`, raised when its values change; `SINGLE`, the names of those of its values that are one number
per image, listed in evaluation/<measure>.csv; and three functions. `describe(images, settings)` says what it
finds in each image, as arrays with one row per image; `compare(real, other)` computes the distances between two such
descriptions; `space(settings)` names them in fidelity.csv. `settings` is a `fidelity.jobs.Measuring`.
"""
