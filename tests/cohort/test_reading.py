import json

import numpy as np
import pytest
from PIL import Image

from sonosynth.cohort import crossing, load_table, read, read_images, to_table, twins_table
from sonosynth.errors import UserError

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
    assert [source.id for source in cohort.sources] == ["benign/benign (1)", "benign/benign (2)", "normal/normal (1)"]
    assert [len(source.masks) for source in cohort.sources] == [2, 1, 0]
    assert cohort.lesion[:2] == [0.5, 0.25]
    description = cohort.describe()
    assert description["classes"] == {"benign": 2, "normal": 1}
    assert set(description["unusable"]) == {"normal/lost_mask.png"}
    assert set(description["ignored"]) == {"benign/Thumbs.db", "benign/more", "stray.png"}
    json.dumps(description)


def test_same_name_with_two_extensions_is_two_images(tmp_path):
    for name in ("x.png", "x.bmp"):
        picture(tmp_path / "a" / name)
    picture(tmp_path / "b" / "x.png")
    assert [source.id for source in read(tmp_path).sources] == ["a/x.bmp", "a/x.png", "b/x"]


def test_csv_with_groups(tmp_path):
    for name in "abc":
        picture(tmp_path / "images" / f"{name}.png")
    mask(tmp_path / "m.png")
    (tmp_path / "c.csv").write_text(
        "file,label,mask,group\nimages/b.png,x,m.png,p1\nimages/a.png,x,,p1\nimages/c.png,y,,\n"
    )
    cohort = read(tmp_path / "c.csv")
    assert [(s.id, s.label, s.group) for s in cohort.sources] == [
        ("images/a.png", "x", "p1"), ("images/b.png", "x", "p1"), ("images/c.png", "y", ""),
    ]  # fmt: skip
    assert cohort.lesion[1] == 0.25


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\na,b\n", "file missing"),
        ("file,label\nnone.png,x\n", "line 2: none.png is no file"),
        ("file,label\na.png,\n", "line 2: file or label is empty"),
        ("file,label\na.png,x\na.png,x\n", "line 3: a.png is listed twice"),
        ("file,label\na.png,x/y\n", "the label 'x/y' can't name a folder"),
        ("file,label\n", "holds no images"),
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


def table(path, with_twins=True, with_conflicts=False):
    return to_table(read(path), 0, holdout=0.2, with_twins=with_twins, with_conflicts=with_conflicts)


def test_table_lists_every_image_with_its_hash(cohort_folder):
    rows = table(cohort_folder)
    assert list(rows.columns) == ["id", "file", "sha256", "label", "mask", "group", "split", "excluded"]
    assert rows.groupby(["label", "split"]).size().to_dict() == {
        ("benign", "train"): 8, ("benign", "validation"): 3, ("malignant", "train"): 5, ("malignant", "validation"): 2,
        ("normal", "train"): 4, ("normal", "validation"): 1,
    }  # fmt: skip
    images = read_images(cohort_folder, rows, 16)
    assert images.shape == (23, 16, 16)
    (cohort_folder / rows["file"][0]).write_bytes((cohort_folder / rows["file"][1]).read_bytes())
    with pytest.raises(UserError, match="has changed since"):
        read_images(cohort_folder, rows, 16)


def test_split_does_not_depend_on_names(cohort_folder):
    before = table(cohort_folder).set_index("sha256")["split"].to_dict()
    files = sorted(p for p in cohort_folder.rglob("*.png") if "_mask" not in p.stem)
    for n, file in enumerate(reversed(files)):
        file.with_name(f"{file.stem}_mask.png").rename(file.with_name(f"{n:03d}_mask.png"))
        file.rename(file.with_name(f"{n:03d}.png"))
    assert table(cohort_folder).set_index("sha256")["split"].to_dict() == before


def test_unusable_files_are_all_named_and_stop_the_study(cohort_folder):
    (cohort_folder / "benign" / "empty.png").write_bytes(b"")
    (cohort_folder / "normal" / "text.jpg").write_bytes(b"text")
    with pytest.raises(UserError, match=r"2 of its files can't be used\n.*empty.png is empty\n.*text.jpg is not"):
        table(cohort_folder)


def test_one_class_and_one_image_are_too_few(tmp_path):
    for n in range(4):
        picture(tmp_path / "a" / f"{n}.png")
    with pytest.raises(UserError, match="has one class, a"):
        table(tmp_path)
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
    found = {tuple(pair) for pair in read(cohort_folder).describe()["twins"]}
    ids = [name.removesuffix(".png") for name in benign]
    expected = [(ids[0], "benign/larger"), (ids[1], "benign/mirrored"), (ids[2], "normal/darker")]
    assert found == {tuple(sorted(pair)) for pair in expected}
    rows = table(cohort_folder).set_index("id")
    assert rows["group"][ids[0]] == rows["group"]["benign/larger"] != ""
    assert rows["split"][ids[1]] == rows["split"]["benign/mirrored"] != ""
    assert rows["excluded"]["normal/darker"] == f"label conflict with {ids[2]} (benign)"
    assert rows["split"][ids[2]] == ""
    kept = table(cohort_folder, with_conflicts=True)
    assert (kept["excluded"] == "").all() and (kept["split"] != "").all()


def test_text_of_a_table_comes_back_as_text(tmp_path):
    (tmp_path / "cohort.csv").write_text("id,label,group\n007,01,\nNA,1e3,2\n")
    assert load_table(tmp_path / "cohort.csv").to_dict("list") == {
        "id": ["007", "NA"], "label": ["01", "1e3"], "group": ["", "2"],
    }  # fmt: skip


def test_busi_is_split_as_in_the_paper_if_twins_are_ignored(busi):
    rows = table(busi, with_twins=False, with_conflicts=True)
    assert rows.groupby(["split", "label"]).size().to_dict() == {
        ("train", "benign"): 349, ("train", "malignant"): 168, ("train", "normal"): 106,
        ("validation", "benign"): 88, ("validation", "malignant"): 42, ("validation", "normal"): 27,
    }  # fmt: skip
    twins = twins_table(read(busi))
    assert 0 < len(crossing(rows, twins)) < len(twins)


def test_busi_has_the_twins_that_are_known_of_it(busi):
    cohort = read(busi)
    description = cohort.describe()
    assert description["classes"] == {"benign": 437, "malignant": 210, "normal": 133}
    assert description["exact_copies"] == [["benign/benign (433)", "malignant/malignant (145)"]]
    names = {"b": "benign", "m": "malignant", "n": "normal"}
    known = "b433-m145 b399-m93 b42-m51 b131-m51 b437-n34 b269-n1 b85-m52 b164-m52 b333-m77 b406-m94"
    pairs = {
        frozenset(f"{names[side[0]]}/{names[side[0]]} ({side[1:]})" for side in pair.split("-"))
        for pair in known.split()
    }
    label = {source.id: source.label for source in cohort.sources}
    found = {frozenset(pair) for pair in description["twins"]}
    assert {pair for pair in found if len({label[id] for id in pair}) > 1} == pairs
    assert sum(twins.distance <= 4 for twins in cohort.twins) == 186

    rows = table(busi)
    assert crossing(rows, twins_table(cohort)) == []
    assert set(rows["id"][rows["excluded"] != ""]) == {id for ids in description["label_conflicts"] for id in ids}
    assert len(rows[rows["excluded"] != ""]) == 18
