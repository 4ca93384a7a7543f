"""Ways of making images, one file each.

A way has a `VERSION`, raised when its images change, and `open(settings, adapter) -> Maker`: `settings` is a
`sonosynth.synthesis.jobs.Making`, `adapter` the folder of the adapter or None, and `Maker` is defined in
`sonosynth.synthesis.making`. `FROM` names what its images start from: "noise", "images", or "real" for training images
alone. `MODEL = False` says that it uses no model, `CONTROL = True` that its sets are negative controls, `ACROSS = True`
that its images start from images of other classes: `source_label` in metadata.csv names them, and labels are softened.
"""
