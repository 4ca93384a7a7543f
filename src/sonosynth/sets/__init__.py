"""Ways of making images, one file each.

A way has a `VERSION`, raised when its images change, and `open(settings, adapter) -> Maker`: `settings` is a
`sonosynth.synthesis.resolved.Making`, `adapter` the folder of the adapter or None, and `Maker` is defined in
`sonosynth.synthesis.making`. `FROM` names what its images start from: "noise", "images", or "real" for training images
alone, or "files" for those of a folder. `MODEL = False` says that it uses no model, `CONTROL = True` that its sets are
negative controls, `GENERATOR = True` that a generator made the images even where the set names no adapter, `ACROSS =
True` that its images start from those of other classes, which `source_label` in metadata.csv names, `CONDITION =
True` that they can be made under masks, which the requests then have, `MASKED = True` that its images are the real ones
that they start from, pixel by pixel, whose masks are theirs, too.
"""
