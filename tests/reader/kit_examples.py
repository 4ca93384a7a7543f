"""A small kit, and answers to it."""

import numpy as np
import pandas as pd

from sonosynth.reader import answers, kit

CLASSES = ("benign", 'malignant, "grade" <3>')
SETS = ("sd", "variation")


def candidates(count=6, sets=SETS, classes=CLASSES, size=24):
    """As many real images of each class, and as many of each set; smooth real ones, synthetic ones of noise."""
    rows, pixels = [], {}
    rng = np.random.default_rng(0)
    for origin, name in (("real", ""), *(("synthetic", name) for name in sets)):
        pixels[name] = np.empty((count * len(classes), size, size), np.uint8)
        for n, label in enumerate(label for label in classes for _ in range(count)):
            unit, row = f"{name}{label}{n}", {"origin": origin, "set": name, "label": label, "array": name, "row": n}
            rows.append(row | {"unit": unit, "id": f"{name}/{n}", "sha256": f"{n:064d}", "seen": "no" * (name == "")})
            level = rng.integers(256)
            pixels[name][n] = level if origin == "real" else rng.integers(0, 256, (size, size))
    return kit.Candidates(pd.DataFrame(rows), pixels)


def made(tmp_path, each=2, **more):
    """The run, the page and the key of a small kit."""
    run, page = tmp_path / "run", tmp_path / "out" / "kit.html"
    run.mkdir()
    return run, page, kit.write(candidates(**more), run, page, each, seed=1)


def answered(run, key, reader="AB", images=None, **given):
    """The rows of a file of answers: right ones, of quality 3, unless others are given."""
    rows = key.assign(kit=answers.kit_id(run / "reader" / "kit"), reader=reader, quality="3", image=key["image"])
    rows["class"] = rows["label"]
    return rows.assign(**given)[answers.COLUMNS].astype(str).iloc[:images]


def saved(rows, file):
    rows.to_csv(file, index=False)
    return file
