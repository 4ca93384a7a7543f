"""Measures by which sets of images are compared, one file each.

A measure has a `VERSION`, raised when its values change; `SINGLE`, the names of those of its values that are one number
an image, which stand in evaluation/<measure>.csv; and three functions. `describe(images, settings)` says what it
finds in each image, as arrays of one row an image; `compare(real, other)` makes distances of two such descriptions;
`space(settings)` is the name under which they stand in fidelity.csv. `settings` is a `fidelity.jobs.Measuring`.
"""
