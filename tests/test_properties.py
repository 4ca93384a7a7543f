"""What holds for any input: the readers, the settings, the split, the balance plan and the store."""

import io
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from sonosynth import disk
from sonosynth.artefacts import TRAIN, VALIDATION
from sonosynth.cohort.decoding import Unusable, read_grey
from sonosynth.cohort.partition import folds, split
from sonosynth.cohort.reading import read
from sonosynth.errors import UserError
from sonosynth.settings import Settings, load, validated
from sonosynth.synthesis.strata import plan

settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
settings.load_profile("steady")

PARTS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 4)), min_size=8, max_size=40
)  # (label, images that belong together)


def cohort_of(parts):
    labels = [label for label, count in parts for _ in range(count)]
    ends = np.cumsum([count for _, count in parts]).tolist()
    units = [list(range(end - count, end)) for end, (_, count) in zip(ends, parts, strict=True)]
    return labels, [f"{i * 7919 % 10007:05d}" for i in range(len(labels))], units


@given(PARTS, st.floats(0.05, 0.6), st.integers(0, 2**32 - 1))
def test_a_split_cuts_no_unit_and_leaves_every_class_on_both_sides(parts, holdout, seed):
    labels, hashes, units = cohort_of(parts)
    try:
        sides = split(labels, hashes, units, holdout, np.random.default_rng(seed))
    except ValueError as error:
        assert [f"image of {k}" in str(error) for k, n in Counter(label for label, _ in parts).items() if n == 1]
        return
    assert set(sides) <= {TRAIN, VALIDATION}
    assert all(len({sides[i] for i in unit}) == 1 for unit in units)
    found = defaultdict(set)
    for label, side in zip(labels, sides, strict=True):
        found[label].add(side)
    assert all(len(both) == 2 for both in found.values())


@given(PARTS, st.integers(2, 4), st.integers(0, 2**32 - 1))
def test_folds_hold_every_image_out_once_with_its_group(parts, count, seed):
    labels, hashes, units = cohort_of(parts)
    groups = [f"g{n}" for n, unit in enumerate(units) for _ in unit]
    try:
        numbers = folds(labels, hashes, groups, count, seed)
    except ValueError:
        assert min(Counter(label for label, _ in parts).values()) <= count + 1
        return
    assert set(numbers) == set(range(count))
    assert all(len({numbers[i] for i in unit}) == 1 for unit in units)


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1), st.integers(1, 60) | st.just("largest"))
def test_a_plan_fills_every_class_up_and_takes_none_away(labels, target):
    counts = Counter(labels)
    needed = plan({label: {(): [label] * count} for label, count in counts.items()}, target)
    goal = max(counts.values()) if target == "largest" else target
    assert all(counts[k] + needed[k] == max(goal, counts[k]) for k in counts)
    assert min(needed.values()) >= 0


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from([*Settings.model_fields, "other"])


@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_settings_are_valid_or_one_message(values):
    try:
        found = validated(values, "here")
    except UserError as error:
        assert str(error).startswith("here: ")
    else:
        assert validated(found.model_dump(mode="json", by_alias=True), "again") == found


WORDS = st.sampled_from(["a", "b", "A", "noise", "real", "<x>", "", "../x", "1"])
KEYS = st.sampled_from([
    "kind", "from", "adapter", "strength", "count", "synthesis", "refine", "token", "lora", "sets", "balance", "mixup",
])  # fmt: skip
ENTRIES = st.none() | st.dictionaries(
    KEYS,
    WORDS | st.floats() | st.integers(-1, 3) | st.lists(WORDS, max_size=2) | st.dictionaries(WORDS, VALUES, max_size=1),
    max_size=3,
)
DECLARED = st.dictionaries(WORDS, ENTRIES, max_size=3)
CHAINS = st.dictionaries(
    st.sampled_from("abcd"), st.fixed_dictionaries({"from": st.sampled_from(["noise", "real", *"abcd"])}), max_size=4
)


@settings(max_examples=300)
@given(st.fixed_dictionaries({}, optional={"adapters": DECLARED, "sets": DECLARED | CHAINS, "arms": DECLARED}))
def test_any_declarations_are_valid_or_one_message(values):
    try:
        found = validated(values, "here")
    except UserError as error:
        assert str(error).startswith("here: ")
    else:
        assert validated(found.model_dump(mode="json", by_alias=True), "again") == found
        order = list(found.declared_sets)
        assert set(order) == {name for name, made in found.sets.items() if made}
        for place, name in enumerate(order):
            start = found.declared_sets[name].start
            assert start in ("noise", "real", *order[:place])


@given(st.text(max_size=30))
def test_any_change_on_the_command_line_is_a_setting_or_one_message(text):
    try:
        load("quick", (), (text,))
    except UserError as error:
        assert "Traceback" not in str(error)


SCRAPS = st.text(alphabet='file,label\n"x.png\r\0;é=', max_size=60).map(str.encode)


@given(st.binary(max_size=80) | SCRAPS | SCRAPS.map(lambda rows: b"file,label,mask,group\nx.png,a,,\n" + rows))
def test_any_csv_is_a_cohort_or_one_message(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("csv")
    Image.new("L", (16, 16), 80).save(folder / "x.png")
    (folder / "c.csv").write_bytes(data)
    try:
        assert len(read(folder / "c.csv").images)
    except UserError as error:
        assert str(folder / "c.csv") in str(error)


def pictures():
    rng = np.random.default_rng(0)
    for mode, suffix in (("L", "PNG"), ("RGB", "JPEG"), ("P", "GIF"), ("I;16", "TIFF"), ("CMYK", "TIFF"), ("1", "BMP")):
        image = Image.fromarray(rng.integers(0, 256, (16, 16), np.uint8))
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
        data = io.BytesIO()
        image.save(data, suffix)
        yield data.getvalue(), suffix.lower()


@pytest.mark.parametrize(("data", "suffix"), list(pictures()), ids=lambda value: value if len(value) < 9 else "")
@pytest.mark.filterwarnings("ignore")
@settings(max_examples=60)
@given(changes=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6), end=st.integers(0, 2000))
def test_any_file_is_a_grey_picture_or_one_reason(tmp_path_factory, data, suffix, changes, end):
    path = tmp_path_factory.mktemp("picture") / f"x.{suffix}"
    path.write_bytes(data)
    assert read_grey(path).shape == (16, 16)
    broken = bytearray(data)
    for place, value in changes:
        broken[place % len(broken)] = value
    path.write_bytes(broken[: end or None])
    try:
        grey = read_grey(path)
    except Unusable as reason:
        assert str(reason)
    else:
        assert (grey.ndim, grey.dtype) == (2, np.uint8)


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.binary(max_size=9)), max_size=6))
def test_a_digest_tells_any_two_folders_apart(tmp_path_factory, writes):
    first, second = (tmp_path_factory.mktemp("digest") / "d" for _ in range(2))
    for folder in (first, second):
        folder.mkdir()
        for name, data in writes:
            disk.write_bytes(folder / name, data)
    assert disk.digest(first) == disk.digest(second)
    disk.write_bytes(second / "a", dict(writes).get("a", b"") + b"x")
    assert disk.digest(first) != disk.digest(second)
