"""Between classes (Diff-Mix, Wang et al., CVPR 2024): a training image of one class is edited under another's prompt.

Classifiers take its label as that of both classes: see `tasks.classification.settings.Arm`.
"""

from sonosynth.sets import image

VERSION = image.VERSION
FROM = "real"
ACROSS = True
CONDITION = True
open = image.open
