"""A report without real images and paths holds none, and the run remembers it."""

import base64
import io
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sonosynth import privacy
from sonosynth.report import withheld
from sonosynth.report.declared import Declared
from sonosynth.run import reopen
from sonosynth.synthesis.settings import Set


def embedded(page):
    """The pictures in a page, as arrays (H, W) of grey levels."""
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("L")) for data in found]


def shows(picture, image):
    """Whether a picture holds the middle row of an image, enlarged by a whole number."""
    row = image[len(image) // 2]
    enlarged = [np.repeat(row, zoom).tobytes() for zoom in range(1, 13)]
    return any(line in rows.tobytes() for rows in picture for line in enlarged)


@pytest.fixture(scope="module")
def real(finished):
    """The real training images as the study sees them, those with a middle row like no other."""
    table = pd.read_csv(finished / "cohort.csv", dtype=str, keep_default_na=False)
    pixels = np.load(finished / ".parts" / "pixels" / "real.npy")
    kept = (table["split"] == "train").to_numpy()[: len(pixels)]
    return [image for image in pixels[kept] if len(set(image[len(image) // 2])) > 8]


def test_a_page_without_real_images_has_none_and_no_path(finished, phantoms, real, tmp_path, monkeypatch):
    run = shutil.copytree(finished, tmp_path / "run")
    before = (run / "report.html").read_text(encoding="utf-8")
    assert sum(any(shows(picture, image) for picture in embedded(before)) for image in real) >= 3  # they can be found
    assert str(phantoms) in before
    reopen(run).run(run, processes=False, real_images=False)
    page = (run / "report.html").read_text(encoding="utf-8")
    pictures = [*embedded(page), *(np.asarray(Image.open(x).convert("L")) for x in (run / "figures").glob("*.png"))]
    assert len(pictures) > 8
    assert not any(shows(picture, image) for picture in pictures for image in real)
    for file in phantoms.rglob("*.png"):
        assert base64.b64encode(file.read_bytes()).decode()[:200] not in page
    tables = [base64.b64decode(data).decode() for data in re.findall(r"data:text/csv;base64,([^\"]+)", page)]
    hidden = {str(phantoms), str(phantoms.parent), str(tmp_path)}
    for text in (page, *tables, (run / "figures" / "pictures.csv").read_text(encoding="utf-8")):
        assert not any(path in text for path in hidden)
    reopen(run).run(run, processes=False)
    assert (run / "report.html").read_text(encoding="utf-8") == page  # remembered
    monkeypatch.setattr("sonosynth.report.jobs.SECTIONS", ())  # its figures are those of the first page
    reopen(run).run(run, processes=False, real_images=True)
    assert str(phantoms) in (run / "report.html").read_text(encoding="utf-8")


def test_a_person_is_told_before_patients_images_are_in_a_page(tmp_path):
    assert "--no-real-images" in privacy.told(tmp_path, withheld=False, simulated=False)
    assert privacy.told(tmp_path, withheld=False, simulated=True) == ""
    assert "--real-images" in privacy.told(tmp_path, withheld=True, simulated=True)
    assert not privacy.withheld(tmp_path)
    assert privacy.withheld(tmp_path, real_images=False) and privacy.withheld(tmp_path)
    assert not privacy.withheld(tmp_path, real_images=True) and not privacy.withheld(tmp_path)


def test_images_of_real_ones_and_copies_may_not_be_shown():
    sets = {"text": Set(), "varied": Set(**{"from": "real"}), "further": Set(**{"from": "varied"})}
    rows = pd.DataFrame({"file_name": ["0.png", "1.png", "2.png", "3.png"]})
    found = pd.DataFrame({"set": "text", "file_name": ["0.png", "1.png", "2.png"], "copy": [False, True, False]})
    found = found.assign(verbatim=[False, False, True])
    masks = [withheld.showable(SimpleNamespace(name=x, rows=rows), Declared(sets=sets), found) for x in sets]
    assert [mask.tolist() for mask in masks] == [[True, False, False, False], [False] * 4, [False] * 4]


def test_paths_are_told_by_their_last_part(tmp_path):
    (tmp_path / "net").mkdir()
    values = {"cohort": "/data/busi", "base": "owner/name", "more": [str(tmp_path / "net"), "~/x", 0.5, "a b"],
              "sets": {"x": {"folder": "..\\gan" , "other": "C:\\pics\\gan"}}}  # fmt: skip
    hidden = withheld.paths(values)
    more = {"~/x": "x", "..\\gan": "gan", "C:\\pics\\gan": "gan"}
    assert hidden == {"/data/busi": "busi", str(tmp_path / "net"): "net", **more}
    assert withheld.without(values, hidden)["more"] == ["net", "x", 0.5, "a b"]


def test_prompts_with_a_patients_values_are_withheld():
    rows = pd.DataFrame({"prompt": ["cyst, 57 years", "cyst"], "described": ["patient 12", ""]})
    assert withheld.without_values(rows)["prompt"].tolist() == [withheld.VALUES, "cyst"]
    assert withheld.without_values(rows[["prompt"]])["prompt"].tolist() == ["cyst, 57 years", "cyst"]
