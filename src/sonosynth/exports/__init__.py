"""Forms in which sets and adapters are given away, one file each.

A form has `TAKES`, some of `sonosynth.sharing.Kind`, and `write(shared, out)`, which writes what is in a
`sonosynth.sharing.Shared` into the new, empty folder `out`. What it writes holds nothing of patients, and no paths.
"""
