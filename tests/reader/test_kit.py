"""A kit hides what it is about."""

import base64
import io
import json
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from kit_examples import CLASSES, SETS, candidates, made
from PIL import Image

from sonosynth.errors import UserError
from sonosynth.reader import answers, kit


def held(page):
    """What the page's script holds."""
    return json.loads(re.search(r"const KIT = (.*);\n", page.read_text(encoding="utf-8"))[1])


def test_the_page_shows_the_images_of_the_key(tmp_path):
    run, page, key = made(tmp_path)
    stored = held(page)
    assert set(stored) == {"id", "classes", "images"} and stored["classes"] == sorted(CLASSES)
    assert stored["id"] == answers.kit_id(run / "reader" / "kit") and len(stored["images"]) == len(key) == 8
    pixels = candidates().pixels
    for row, text in zip(key.to_dict("records"), stored["images"], strict=True):
        shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))
        name, number = row["id"].split("/")
        assert (shown == pixels[name][int(number)]).all()
    kept = pd.read_csv(run / "reader" / "kit" / "key.csv", dtype=str, keep_default_na=False)
    assert list(kept.columns) == answers.KEY and list(kept["id"]) == list(key["id"])
    assert [path.name for path in page.parent.iterdir()] == ["kit.html"]


def test_nothing_but_pixels_tells_real_from_synthetic(tmp_path):
    """Flat real images and noisy synthetic ones: any compression would tell them apart by size."""
    _, page, key = made(tmp_path, each=4)
    files = [base64.b64decode(text) for text in held(page)["images"]]
    assert len({len(file) for file in files}) == 1
    for file in files:
        image = Image.open(io.BytesIO(file))
        assert (image.format, image.mode, image.size, image.info) == ("PNG", "L", (24, 24), {})
        assert re.findall(rb"IHDR|IDAT|IEND|tEXt|zTXt|iTXt|tIME|eXIf|gAMA|pHYs|iCCP", file) == [
            b"IHDR",
            b"IDAT",
            b"IEND",
        ]
    text = page.read_text(encoding="utf-8")
    for name in (*SETS, *key["id"], *key["sha256"], "run"):
        assert f'"{name}"' not in text and f">{name}<" not in text
    without = text.replace(json.dumps(held(page)["images"], separators=(", ", ": ")), "")
    assert len(without) < 15_000 and not {*key["sha256"]} & {*re.findall(r"\d{64}", without)}


def test_the_page_loads_nothing_and_is_the_same_again(tmp_path):
    _, page, _ = made(tmp_path)
    (tmp_path / "again").mkdir()
    _, again, _ = made(tmp_path / "again")
    assert page.read_bytes() == again.read_bytes()
    assert not re.findall(r"(?:src|href)=|https?:|url\(", page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["kit.zip", "a b.html", ".html"])
def test_only_pages_with_plain_names_are_written(tmp_path, name):
    (tmp_path / "run").mkdir()
    with pytest.raises(UserError, match="is not a name for a page"):
        kit.write(candidates(), tmp_path / "run", tmp_path / name, 1, 0)


def test_the_key_is_never_beside_the_page_nor_lost(tmp_path):
    run, page, _ = made(tmp_path)
    before = (run / "reader" / "kit" / "key.csv").read_bytes()
    for out, message in ((run / "new.html", "is in the run"), (page, "exists"), (tmp_path / "kit.html", "earlier kit")):
        with pytest.raises(UserError, match=message):
            kit.write(candidates(), run, out, 1, 0)
    assert (run / "reader" / "kit" / "key.csv").read_bytes() == before
    assert [path.name for path in (run / "reader").iterdir()] == ["kit"]


def test_nothing_half_written_stays(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(kit, "png", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        kit.write(candidates(), tmp_path / "run", tmp_path / "kit.html", 1, 0)
    assert not (tmp_path / "kit.html").exists() and not list((tmp_path / "run" / "reader").iterdir())


def test_near_duplicates_are_one_unit_even_where_the_split_ignores_them():
    """As with split.groups=none, which leaves the column group of cohort.csv empty."""
    ids = ["a", "b", "c"]
    rows = pd.DataFrame({"id": ids, "label": "benign", "sha256": ids, "group": "", "split": "validation"})
    cohort = SimpleNamespace(
        images=rows.assign(pixels=ids), twins=pd.DataFrame({"id": ["a"], "twin": ["b"]}),
        pixels=np.zeros((3, 8, 8), np.uint8), rows=lambda names: [ids.index(name) for name in names],
    )  # fmt: skip
    found = kit.candidates(cohort, SimpleNamespace(rows=rows, validation=rows), [], [], unknown=False)
    first, second, third = found.rows["unit"]
    assert first == second != third
