import hashlib
import json
import re

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from sonosynth.cohort import jobs, marks
from sonosynth.cohort.decoding import read_grey, to_square
from sonosynth.cohort.description import describe
from sonosynth.cohort.reading import decode, list_files, read
from sonosynth.cohort.settings import Split
from sonosynth.cohort.split import crossing, to_table
from sonosynth.errors import UserError
from sonosynth.phantom import simulate
from sonosynth.settings import load
from sonosynth.study import plan

RNG = np.random.default_rng(0)


def picture(path, shape=(12, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 255, shape, np.uint8)).save(path)


def mask(path, shape=(12, 10), rows=3):
    values = np.zeros(shape, bool)
    values[:rows] = True
    Image.fromarray(values).save(path)


def test_busi_layout_masks_are_merged_and_never_images(tmp_path):
    for n in (1, 2):
        picture(tmp_path / "benign" / f"benign ({n}).png")
        mask(tmp_path / "benign" / f"benign ({n})_mask.png")
    mask(tmp_path / "benign" / "benign (1)_mask_1.png", rows=6)
    picture(tmp_path / "normal" / "normal (1).png")
    (tmp_path / "benign" / "Thumbs.db").write_bytes(b"x")
    picture(tmp_path / "benign" / "more" / "deeper.png")
    picture(tmp_path / "stray.png")
    mask(tmp_path / "normal" / "lost_mask.png")
    cohort = read(tmp_path)
    assert list(cohort.images["id"]) == [
        "benign/benign (1)", "benign/benign (2)", "benign/more/deeper", "normal/normal (1)",
    ]  # fmt: skip
    assert list(cohort.images["mask"]) == [
        "benign/benign (1)_mask.png;benign/benign (1)_mask_1.png", "benign/benign (2)_mask.png", "", "",
    ]  # fmt: skip
    assert list(cohort.images["lesion"][:2]) == [0.5, 0.25]
    assert cohort.images["lesion"][2:].isna().all()
    description = describe(cohort)
    assert description["classes"] == {"benign": 3, "normal": 1}
    assert set(description["unusable"]) == {"normal/lost_mask.png"}
    assert set(description["ignored"]) == {"folders below the class folders", "stray.png"}
    json.dumps(description)


def test_same_name_with_two_extensions_is_two_images(tmp_path):
    for name in ("x.png", "x.bmp"):
        picture(tmp_path / "a" / name)
    picture(tmp_path / "b" / "x.png")
    assert list(read(tmp_path).images["id"]) == ["a/x.bmp", "a/x.png", "b/x"]


def test_csv_with_groups(tmp_path):
    for name in "abc":
        picture(tmp_path / "images" / f"{name}.png")
    mask(tmp_path / "m.png")
    (tmp_path / "c.csv").write_text(
        "file,label,mask,group\nimages/b.png,x,m.png,p1\nimages/a.png,x,,p1\nimages/c.png,y,,\n"
    )
    cohort = read(tmp_path / "c.csv")
    assert cohort.images[["id", "label", "group"]].to_numpy().tolist() == [
        ["images/a.png", "x", "p1"], ["images/b.png", "x", "p1"], ["images/c.png", "y", ""],
    ]  # fmt: skip
    assert cohort.images["lesion"][1] == 0.25


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("where,label\na,b\n", "none is recognised as the file"),
        ("file,label\nnone.png,x\n", "line 2: none.png is not a file"),
        ("file,label\na.png,\n", "line 2: the label is empty"),
        ("file,label\na.png,x\na.png,x\n", "line 3: a.png is listed twice"),
        ("file,label\na.png,x/y\n", "the label 'x/y' is not valid as a folder name"),
        ("file,label\n", "has no line below the names"),
    ],
)
def test_mistakes_in_a_csv_are_named(tmp_path, text, message):
    picture(tmp_path / "a.png")
    (tmp_path / "c.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        read(tmp_path / "c.csv")


def test_no_cohort_there(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read(tmp_path / "nothing")
    with pytest.raises(UserError, match="holds no images"):
        read(tmp_path)


def table(path, **settings):
    return to_table(read(path), Split(holdout=0.2, **settings), seed=0)


def test_table_lists_every_image_with_its_hash(cohort_folder):
    rows = table(cohort_folder)
    assert list(rows.columns) == ["id", "file", "sha256", "label", "mask", "group", "split", "excluded"]
    assert rows.groupby(["label", "split"]).size().to_dict() == {
        ("benign", "train"): 8, ("benign", "validation"): 3, ("malignant", "train"): 5, ("malignant", "validation"): 2,
        ("normal", "train"): 4, ("normal", "validation"): 1,
    }  # fmt: skip
    for file, content in zip(rows["file"], rows["sha256"], strict=True):
        assert hashlib.sha256((cohort_folder / file).read_bytes()).hexdigest() == content


def test_pixels_are_the_whole_images_as_squares_in_the_order_of_the_rows(cohort_folder):
    cohort = read(cohort_folder, 16)
    assert cohort.squares.shape == (23, 16, 16)
    expected = [to_square(read_grey(cohort_folder / file), 16) for file in cohort.images["file"]]
    assert np.array_equal(cohort.squares, expected)
    assert len(read(cohort_folder).squares) == 0


def test_a_file_that_changes_while_the_cohort_is_read_is_named(cohort_folder):
    files = list_files(cohort_folder)
    first, second = (source.file for source in files.sources[:2])
    first.write_bytes(second.read_bytes())
    with pytest.raises(UserError, match=re.escape(f"{first}: changed while the cohort was being read")):
        decode(files, 16)


def test_split_does_not_depend_on_names(cohort_folder):
    before = table(cohort_folder).set_index("sha256")["split"].to_dict()
    files = sorted(p for p in cohort_folder.rglob("*.png") if "_mask" not in p.stem)
    for n, file in enumerate(reversed(files)):
        file.with_name(f"{file.stem}_mask.png").rename(file.with_name(f"{n:03d}_mask.png"))
        file.rename(file.with_name(f"{n:03d}.png"))
    assert table(cohort_folder).set_index("sha256")["split"].to_dict() == before


def test_unusable_files_are_all_named_and_stop_the_study_unless_they_are_skipped(cohort_folder, tmp_path):
    (cohort_folder / "benign" / "empty.png").write_bytes(b"")
    (cohort_folder / "normal" / "text.jpg").write_bytes(b"text")
    with pytest.raises(UserError, match=r"2 of its files can't be used\n.*empty.png is empty\n.*text.jpg is not"):
        jobs.decode(jobs.Reading(list_files(cohort_folder), 16, skip_bad=False), work=tmp_path)
    assert not list(tmp_path.glob("pixels"))
    rows = table(cohort_folder).set_index("id")
    assert rows["excluded"]["benign/empty.png"] == "can't be used: is empty"
    assert rows["split"]["benign/empty.png"] == rows["label"]["benign/empty.png"] == ""
    assert len(rows) == 25


def test_one_class_and_one_image_are_too_few(tmp_path):
    for n in range(4):
        picture(tmp_path / "a" / f"{n}.png")
    with pytest.raises(UserError, match="all images have one label, a"):
        plan(load(), list_files(tmp_path), machine=None)
    picture(tmp_path / "b" / "0.png")
    with pytest.raises(UserError, match="no train image of b"):
        table(tmp_path)


def test_twins_stay_together_and_those_with_two_labels_are_left_out(cohort_folder):
    def change(name, to, how):
        with Image.open(cohort_folder / name) as image:
            how(image).save(cohort_folder / to)

    files = sorted(p.relative_to(cohort_folder).as_posix() for p in cohort_folder.glob("*/*") if "_mask" not in p.stem)
    benign = [name for name in files if name.startswith("benign")]
    change(benign[0], "benign/larger.png", lambda x: x.resize((96, 96), Image.Resampling.BICUBIC))
    change(benign[1], "benign/mirrored.png", lambda x: x.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    change(benign[2], "normal/darker.png", lambda x: x.point(lambda v: v * 0.8))
    found = {tuple(pair) for pair in describe(read(cohort_folder))["twins"]}
    ids = [name.removesuffix(".png") for name in benign]
    expected = [(ids[0], "benign/larger"), (ids[1], "benign/mirrored"), (ids[2], "normal/darker")]
    assert found == {tuple(sorted(pair)) for pair in expected}
    rows = table(cohort_folder).set_index("id")
    assert rows["group"][ids[0]] == rows["group"]["benign/larger"] != ""
    assert rows["split"][ids[1]] == rows["split"]["benign/mirrored"] != ""
    assert rows["excluded"]["normal/darker"] == f"label conflict with {ids[2]} (benign)"
    assert rows["split"][ids[2]] == ""
    kept = table(cohort_folder, conflicts="keep")
    assert (kept["excluded"] == "").all() and (kept["split"] != "").all()


def test_alike_neighbours_are_told_of_unless_their_patients_are_named(tmp_path):
    rng = np.random.default_rng(0)
    patients = rng.normal(size=(20, 16, 16))
    for n in range(60):
        shades = np.clip(128 + 25 * (patients[n // 3] + rng.normal(size=(16, 16))), 0, 255)
        Image.fromarray(np.uint8(shades)).resize((64, 64), Image.Resampling.BICUBIC).save(tmp_path / f"{n:03}.png")
    (tmp_path / "c.csv").write_text("file,label\n" + "".join(f"{n:03}.png,{'ab'[n < 30]}\n" for n in range(60)))
    assert [row["suspicious"] for row in describe(read(tmp_path / "c.csv"))["adjacent"]] == [True, True]
    named = "".join(f"{n:03}.png,{'ab'[n < 30]},patient {n // 3}\n" for n in range(60))
    (tmp_path / "c.csv").write_text("file,label,group\n" + named)
    assert describe(read(tmp_path / "c.csv"))["adjacent"] == []


def marked_cohort(folder):
    """Malignant images have text, and two in three are coloured."""
    rng = np.random.default_rng(0)
    for label in ("benign", "malignant"):
        (folder / label).mkdir(parents=True)
        for i in range(12):
            image = Image.fromarray(simulate(label, rng, size=128).image)
            if label == "malignant":
                ImageDraw.Draw(image).text((20, 60), "RT BREAST", fill=255, font=ImageFont.load_default(14))
                image = image if i % 3 else Image.merge("RGB", [image, image, image.point(lambda level: level // 2)])
            image.save(folder / label / f"{i}.png")


def test_marks_and_colour_are_counted_by_class_and_told(tmp_path, capsys, answer):
    marked_cohort(tmp_path / "c")
    description = describe(read(tmp_path / "c"))
    (text,) = description["marks"]
    assert text["kind"] == "text" and text["suspicious"]
    assert text["counts"] == {"benign": 0, "malignant": 12}
    (colour,) = description["colour"]
    assert colour["counts"] == {"benign": 0, "malignant": 4}
    json.dumps(description)
    jobs.decode(jobs.Reading(list_files(tmp_path / "c"), 16, skip_bad=False), work=tmp_path)
    told = capsys.readouterr().err
    assert "text: 0 of 12 benign, 12 of 12 malignant; this goes with the label" in told
    assert "colour is lost, as all images become grey: 0 of 12 benign, 4 of 12 malignant" in told
    status, _ = answer("inspect", tmp_path / "c")
    assert status == 0


def test_marks_are_filled_in_before_anything_else_sees_the_pixels(tmp_path):
    marked_cohort(tmp_path / "c")
    files = list_files(tmp_path / "c")
    left, filled = decode(files, 64), decode(files, 64, fill=True)
    changed = (left.squares != filled.squares).any(axis=(1, 2))
    assert np.array_equal(changed, left.images["label"] == "malignant")
    assert np.array_equal(left.images["pixels"] != filled.images["pixels"], changed)
    assert list(filled.images["marks"]) == list(left.images["marks"])
    Image.fromarray(filled.squares[-1]).resize((128, 128)).save(tmp_path / "x.png")
    assert not marks.find(read_grey(tmp_path / "x.png"))


def test_busi_is_split_as_in_the_paper_if_twins_are_ignored(busi):
    rows = table(busi, groups="none", conflicts="keep")
    assert rows.groupby(["split", "label"]).size().to_dict() == {
        ("train", "benign"): 349, ("train", "malignant"): 168, ("train", "normal"): 106,
        ("validation", "benign"): 88, ("validation", "malignant"): 42, ("validation", "normal"): 27,
    }  # fmt: skip
    twins = read(busi).twins
    assert 0 < len(crossing(rows, twins)) < len(twins)


def test_busi_has_the_twins_that_are_known_of_it(busi):
    cohort = read(busi)
    description = describe(cohort)
    assert description["classes"] == {"benign": 437, "malignant": 210, "normal": 133}
    assert description["exact_copies"] == [["benign/benign (433)", "malignant/malignant (145)"]]
    names = {"b": "benign", "m": "malignant", "n": "normal"}

    def pairs(text):
        return {
            frozenset(f"{names[side[0]]}/{names[side[0]]} ({side[1:]})" for side in pair.split("-"))
            for pair in text.split()
        }

    across = "b433-m145 b399-m93 b42-m51 b131-m51 b437-n34 b269-n1 b85-m52 b164-m52 b333-m77 b406-m94 b333-m78"
    turned = "n120-n33 b264-b237 b141-b64 b201-b302 b220-b271 b140-b62 m128-m129 m27-m28 b125-b126 n9-n10"
    label = dict(zip(cohort.images["id"], cohort.images["label"], strict=True))
    found = {frozenset(pair) for pair in description["twins"]}
    assert {pair for pair in found if len({label[id] for id in pair}) > 1} == pairs(across)
    assert cohort.twins["rule"].value_counts().to_dict() == {"hash": 186, "pixels": 26, "aligned": 19}
    assert (cohort.twins["hash_distance"] <= 4).sum() == 186
    assert pairs(turned) <= found
    assert not pairs("b13-b434 b330-b434") & found  # two lesions of one shape
    assert {row["label"]: row["suspicious"] for row in description["adjacent"]} == {
        "benign": False, "malignant": True, "normal": False,
    }  # fmt: skip

    rows = table(busi)
    assert crossing(rows, cohort.twins) == []
    assert set(rows["id"][rows["excluded"] != ""]) == {id for ids in description["label_conflicts"] for id in ids}
    assert len(rows[rows["excluded"] != ""]) == 19
