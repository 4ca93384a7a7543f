"""Tables in the dialects and with the columns that hospitals export."""

import os
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sonosynth.artefacts import TRAIN, VALIDATION
from sonosynth.cohort.reading import contents, list_files, read
from sonosynth.cohort.settings import Table, table_of
from sonosynth.cohort.sources import list_sources
from sonosynth.errors import UserError
from sonosynth.jobs import keyed

ROWS = [("a.png", "zyste", "Müller"), ("b.png", "zyste", "Groß"), ("c.png", "tumor", "Jõe")]
HEADER = ("image_path", "class", "patient_id")


@pytest.fixture
def folder(tmp_path):
    for n, (name, *_) in enumerate(ROWS):
        picture(tmp_path / name, n)
    return tmp_path


def picture(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (16, 16), np.uint8)).save(path)


def text(separator):
    return "".join(separator.join(row) + "\n" for row in (HEADER, *ROWS))


def written(path, kind):
    frame = pd.DataFrame(ROWS, columns=list(HEADER))
    if kind == "xlsx":
        frame.to_excel(path / "t.xlsx", index=False)
        return path / "t.xlsx"
    if kind == "parquet":
        frame.to_parquet(path / "t.parquet")
        return path / "t.parquet"
    separator, encoding, suffix = kind
    content = text(separator).replace("õ", "o") if encoding == "latin-1" else text(separator)
    (path / f"t{suffix}").write_bytes(content.encode(encoding))
    return path / f"t{suffix}"


@pytest.mark.parametrize(
    "kind",
    [
        (",", "utf-8", ".csv"),
        (",", "utf-8-sig", ".csv"),
        (";", "utf-8", ".csv"),
        ("\t", "utf-8", ".tsv"),
        ("\t", "utf-8", ".csv"),
        (";", "latin-1", ".csv"),
        ("\t", "utf-16", ".csv"),
        "xlsx",
        "parquet",
    ],
)
def test_every_dialect_holds_the_same_table(folder, kind):
    path = written(folder, kind)
    sources = list_sources(path).sources
    assert [(s.id, s.label) for s in sources] == [(name, label) for name, label, _ in ROWS]
    assert [s.group for s in sources] == [group.replace("õ", "o" if "latin-1" in kind else "õ") for *_, group in ROWS]


def test_what_a_column_is_called_changes_nothing_of_the_cohort(folder):
    (folder / "a.csv").write_text(text(",").replace("image_path,class,patient_id", "file,label,group"))
    (folder / "b.csv").write_text(text(","))
    (folder / "c.csv").write_text(text(",").replace("image_path,class,patient_id", "x,y,z"))
    named = Table(columns={"file": "x", "label": "y", "group": "z"})
    plain, guessed, mapped = (
        list_files(folder / "a.csv"),
        list_files(folder / "b.csv"),
        list_files(folder / "c.csv", named),
    )
    assert keyed(plain) == keyed(guessed) == keyed(mapped)
    assert contents(keyed(plain)) == contents(keyed(mapped))
    assert {role: (how.name, how.guessed) for role, how in guessed.taken.items()} == {
        "file": ("image_path", True), "label": ("class", True), "group": ("patient_id", True),
    }  # fmt: skip
    assert not any(how.guessed for files in (plain, mapped) for how in files.taken.values())


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("path,diagnosis,category", "diagnosis and category could both be the label.*--columns label=diagnosis"),
        ("path,label,patient,subject", "patient and subject could both be the group"),
        ("image_path,filename,label", "image_path and filename could both be the file"),
        ("picture_of,label", "none is recognised as the file.*--columns file=COLUMN"),
        ("a,b", "none is recognised as the file or the label.*file=COLUMN,label=COLUMN"),
    ],
)
def test_columns_that_can_not_be_told_are_asked_for(folder, header, said):
    (folder / "t.csv").write_text(f"{header}\n{','.join(['a.png'] * len(header.split(',')))}\n")
    with pytest.raises(UserError) as refused:
        list_sources(folder / "t.csv")
    assert re.search(said, str(refused.value), re.DOTALL)


def test_of_two_columns_that_could_be_the_file_the_one_that_names_files_is(folder):
    (folder / "t.csv").write_text("image_name,image_path,label\nfirst,a.png,x\nsecond,b.png,y\n")
    listing = list_sources(folder / "t.csv")
    assert listing.taken["file"].name == "image_path"
    assert dict(listing.sources[0].more) == {"image_name": "first"}


def test_a_column_that_is_not_there_and_a_role_that_is_none_are_named(folder):
    (folder / "t.csv").write_text(text(","))
    with pytest.raises(UserError, match=r"has no column patient\nexpected: columns that it has: image_path, class"):
        list_sources(folder / "t.csv", Table(columns={"group": "patient"}))
    for wrong in ("patient=x", "file", "file=a,file=b"):
        with pytest.raises(UserError, match=r"--columns .*\nexpected: ROLE=COLUMN"):
            table_of(wrong, None)
    assert table_of("file=image path,group=", None).columns == {"file": "image path", "group": ""}
    assert not any(s.group for s in list_sources(folder / "t.csv", table_of("group=", None)).sources)


def test_columns_of_what_is_no_table_are_refused(tmp_path):
    picture(tmp_path / "a" / "x.png")
    with pytest.raises(UserError, match="has no columns"):
        list_sources(tmp_path, Table(columns={"label": "x"}))


def test_a_table_reads_files_wherever_its_paths_lead(tmp_path):
    for n, place in enumerate(("far/a.png", "b.png", "tables/c.png")):
        picture(tmp_path / place, n)
    (tmp_path / "tables" / "link.png").symlink_to(tmp_path / "far" / "a.png")
    names = [str(tmp_path / "far" / "a.png"), "../b.png", "c.png"]
    (tmp_path / "tables" / "t.csv").write_text("file,label\n" + "".join(f"{name},x\n" for name in names))
    read_from = {source.file for source in list_sources(tmp_path / "tables" / "t.csv").sources}
    assert read_from == {tmp_path / place for place in ("far/a.png", "b.png", "tables/c.png")}
    (tmp_path / "tables" / "t.csv").write_text("file,label\nlink.png,x\n")
    assert list_sources(tmp_path / "tables" / "t.csv").sources[0].id == "link.png"


def test_relative_paths_start_in_the_given_folder(folder, tmp_path):
    table = tmp_path / "elsewhere" / "t.csv"
    table.parent.mkdir()
    table.write_text(text(","))
    with pytest.raises(UserError, match=r"a.png is not a file.*\n.*\n.*\nexpected.*\nfix: .*--images DIR"):
        list_sources(table)
    assert len(list_sources(table, Table(images=str(folder))).sources) == 3
    with pytest.raises(UserError, match=r"--images .*none: is not a folder"):
        list_sources(table, Table(images=str(folder / "none")))


def test_files_are_found_by_a_name_that_only_one_has(tmp_path):
    for n, place in enumerate(
        ("x/one/ISIC_01.jpg", "x/two/b.png", "x/one/c.png", "x/two/c.png", "x/masks/ISIC_01.png")
    ):
        picture(tmp_path / place, n)

    def sources(*names):
        (tmp_path / "t.csv").write_text("file,label\n" + "".join(f"{name},x\n" for name in names))
        return [source.file for source in list_sources(tmp_path / "t.csv").sources]

    assert sources("ISIC_01", "b.png", "two/c.png") == [
        tmp_path / place for place in ("x/one/ISIC_01.jpg", "x/two/b.png", "x/two/c.png")
    ]
    with pytest.raises(UserError, match=r"line 2: c.png could be 2 files: x/one/c.png and x/two/c.png"):
        sources("c.png")
    with pytest.raises(UserError, match="line 2: d is not a file"):
        sources("d")


def test_a_search_follows_no_link_out_of_the_folder(tmp_path):
    picture(tmp_path / "secret.png")
    (tmp_path / "in" / "deep").mkdir(parents=True)
    os.symlink(tmp_path / "secret.png", tmp_path / "in" / "deep" / "x.png")
    (tmp_path / "in" / "t.csv").write_text("file,label\nx,y\n")
    with pytest.raises(UserError, match="line 2: x is not a file"):
        list_sources(tmp_path / "in" / "t.csv")


def test_a_column_of_sides_is_the_split_and_other_columns_of_that_name_are_kept(folder):
    (folder / "t.csv").write_text("file,label,split\na.png,x,Train\nb.png,y,test\nc.png,y,val\n")
    assert [s.given for s in list_sources(folder / "t.csv").sources] == [TRAIN, VALIDATION, VALIDATION]
    (folder / "t.csv").write_text("file,label,split,id\na.png,x,one,1\nb.png,y,two,2\n")
    cohort = read(folder / "t.csv")
    assert list(cohort.images["given"]) == ["", ""]
    assert cohort.own.to_dict("list") == {
        "id": ["a.png", "b.png"],
        "table_split": ["one", "two"],
        "table_id": ["1", "2"],
    }
    with pytest.raises(UserError, match="line 2: the split one is none of train, "):
        list_sources(folder / "t.csv", table_of("split=split", None))


def test_whole_numbers_of_a_spreadsheet_are_written_without_decimals(folder):
    frame = pd.DataFrame({"file": ["a.png", "b.png"], "label": [0.0, 1.0], "group": [17, None], "age": [1.5, None]})
    for path in (folder / "t.xlsx", folder / "t.parquet"):
        (frame.to_excel if path.suffix == ".xlsx" else frame.to_parquet)(path, index=False)
        sources = list_sources(path).sources
        assert [(s.label, s.group, s.more) for s in sources] == [
            ("0", "17", (("age", "1.5"),)), ("1", "", (("age", ""),)),
        ]  # fmt: skip


def test_a_damaged_spreadsheet_is_named(folder):
    written(folder, "xlsx")
    (folder / "t.xlsx").write_bytes((folder / "t.xlsx").read_bytes()[:1000])
    with pytest.raises(UserError, match=r"t.xlsx: can't be read as XLSX"):
        list_sources(folder / "t.xlsx")


@pytest.mark.parametrize(
    "start", ["/home/müller/study/", "C:\\Users\\Müller\\study\\", "study/"], ids=["posix", "windows", "relative"]
)
def test_paths_of_another_machine_lead_to_the_copy_of_their_folder(tmp_path, start):
    for n, name in enumerate(("one/1.png", "two/1.png")):
        picture(tmp_path / "scans" / name, n)
    back = "\\" in start
    names = [start + (name.replace("/", "\\") if back else name) for name in ("Scans/One/1.png", "Scans/Two/1.png")]
    (tmp_path / "t.csv").write_text("file,label\n" + "".join(f"{name},{n}\n" for n, name in enumerate(names)))
    sources = sorted(list_sources(tmp_path / "t.csv").sources, key=lambda source: source.label)
    assert [source.file for source in sources] == [tmp_path / "scans" / name for name in ("one/1.png", "two/1.png")]
    (tmp_path / "t.csv").write_text(f"file,label\n{start}Scans/Three/1.png,x\n")
    with pytest.raises(UserError, match=r"line 2: .* is not a file"):
        list_sources(tmp_path / "t.csv")


def test_a_file_in_another_folder_than_its_name_says_is_not_taken(tmp_path):
    picture(tmp_path / "benign" / "1.png")
    (tmp_path / "t.csv").write_text("file,label\nmalignant/1.png,x\n")
    for images in (tmp_path, tmp_path / "benign"):
        with pytest.raises(UserError, match=r"line 2: malignant/1\.png is not a file"):
            list_sources(tmp_path / "t.csv", Table(images=str(images)))


def test_the_separator_that_excel_writes_is_no_header(folder):
    (folder / "t.csv").write_text("sep=|\r\n" + text("|") + "none.png|x|y\n", encoding="utf-8-sig")
    with pytest.raises(UserError, match=r"line 6: none\.png is not a file"):
        list_sources(folder / "t.csv")
    (folder / "t.csv").write_text("sep=|\r\n" + text("|"), encoding="utf-8-sig")
    assert [source.label for source in list_sources(folder / "t.csv").sources] == ["zyste", "zyste", "tumor"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", r"is empty\nexpected: a first line with the names of the columns"),
        ("file,label\n", "has no line below the names of its columns"),
        ("Exported in 2024\n\nfile,label\na.png,x\n", "its first line has only one cell, Exported in 2024"),
        ("a.png,x\nb.png,y\n", r"has the columns a.png, x; .*\nexpected: a first line with the names of the columns"),
        ("file,label\n,\n,x\n", "line 3: the file is empty"),
    ],
)
def test_a_table_that_does_not_start_with_the_names_of_its_columns_is_told_so(folder, content, said):
    (folder / "t.csv").write_text(content)
    with pytest.raises(UserError, match=said):
        list_sources(folder / "t.csv")


def test_a_workbook_whose_first_sheet_is_something_else_is_told_so(folder):
    with pd.ExcelWriter(folder / "t.xlsx") as book:
        pd.DataFrame({"Read me": ["x"]}).to_excel(book, sheet_name="About", index=False)
        pd.DataFrame(ROWS, columns=list(HEADER)).to_excel(book, sheet_name="Images", index=False)
    with pytest.raises(UserError, match=r"only one cell, Read me\n.*of the first sheet(.|\n)*has to be the first"):
        list_sources(folder / "t.xlsx")


@pytest.mark.parametrize("name", ["Case No.", "Patient number", "lesion-id"])
def test_numbers_of_patients_and_cases_are_groups(folder, name):
    (folder / "t.csv").write_text(text(",").replace("patient_id", name))
    assert list_sources(folder / "t.csv").taken["group"].name == name
