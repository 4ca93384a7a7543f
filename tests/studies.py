"""How tests run studies in this process, and what they look at in a run."""

import shutil

import numpy as np
import pandas as pd
from PIL import Image

from conftest import sign
from sonosynth.artefacts import CohortImages, Split
from sonosynth.jobs import State
from sonosynth.run import reopen

SETS = ("sd", "sd+img2img", "sd+ti", "sd+ti+img2img")
ARMS = ("real", *(f"real+{name}" for name in SETS), "real+oversampling", "real+classical+sd+ti")
FEW = "arms={real+sd+img2img: null, real+sd+ti: null, real+sd+ti+img2img: null, real+classical+sd+ti: null}"


def run(study, root, command="report"):
    """Run a study in this process; the names of the jobs that were not done before."""
    before = {job.name for job, status in study.statuses(root) if status.state is State.DONE}
    return set(study.run(root, command, change=True, processes=False)) - before


def again(root, command="report"):
    return run(reopen(root), root, command)


def snapshot(root):
    return {str(p.relative_to(root)): p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()}


def decisive(root):
    """The contrasts with real images by macro F1, by arm."""
    rows = pd.read_csv(root / "evaluation" / "verdicts.csv")
    return rows[(rows["metric"] == "f1") & (rows["against"] == "real") & rows["class"].isna()].set_index("arm")


def split_of(root):
    """The split and the images of a finished run."""
    made = {job.name: status.made for job, status in reopen(root).statuses(root)}
    return Split(made["split"]), CohortImages(made["cohort"])


def pixels_of(root, side):
    split, cohort = split_of(root)
    return np.array(cohort.pixels[cohort.rows(getattr(split, side)["id"])])


def replace_images(root, name, images):
    """Put `images` in the place of a set's first ones, picture and pixels, and sign them."""
    folder, pixels = root / "synthetic" / name, root / ".parts" / "pixels" / f"{name}.npy"
    known = np.load(pixels)
    for i, (file, image) in enumerate(zip(pd.read_csv(folder / "metadata.csv")["file_name"], images, strict=False)):
        Image.fromarray(image).save(folder / file)
        known[i] = image
    np.save(pixels, known)
    sign(root, f"synthetic/{name}")


def as_table(cohort, path, header, row):
    """Write a cohort as the CSV `path`: a line for each image, which `row` makes from its file and its number."""
    images = [file for file in sorted(cohort.rglob("*.png")) if "_mask" not in file.stem]
    for file in images:
        shutil.copy(file, path.parent / file.name)
    path.write_text("\n".join([header, *(row(file, number) for number, file in enumerate(images, 1))]))
