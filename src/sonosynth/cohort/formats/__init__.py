"""Formats that a cohort may have on disk, one file each.

A format has two functions: `reads(path) -> bool`, and `listing(path) -> Listing` (`sonosynth.cohort.sources`). One with
columns, which a user may name, has `mapped(path, table) -> Listing` instead (`sonosynth.cohort.settings.Table`).
A format whose pictures Pillow doesn't read from files of their own also has `decode(file, name)`: see
`sonosynth.cohort.places.Part`. With `SCALED = True`, its `decode(file, name, how)` does what a
`sonosynth.cohort.settings.Reading` asks for.
"""
