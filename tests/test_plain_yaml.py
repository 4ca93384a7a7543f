import os

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from sonosynth import plain_yaml
from sonosynth.errors import UserError

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cc", "Cs"]))
    | st.from_regex(r"[-+.:~_0-9a-fxoeny]{1,8}", fullmatch=True),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("0129.ex:ynotfaul -", max_size=6), inner),
    max_leaves=8,
)  # fmt: skip


@given(PLAIN)
@example(["1e5", "1E-4", "-1e+3", "01", "on", "1:30", "~", "", "null", "True", ".nan", "<<"])
def test_what_is_written_is_read_back_here_and_by_other_readers(value):
    text = plain_yaml.dump({"value": value})
    assert plain_yaml.parse(text) == {"value": value}
    assert yaml.safe_load(text) == {"value": value}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on: all", {"on": "all"}), ("1e-4", 1e-4), ("1E3", 1000.0), ("-3", -3), ("010", "010"), ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"), ("yes", "yes"), ("1_000", "1_000"), ("0x10", "0x10"), ("~", None), ("True", True),
        ("", None), ("<<: {a: 1}", {"<<": {"a": 1}}), ("'1'", "1"), ("! x", "x"),
    ],
)  # fmt: skip
def test_scalars_are_numbers_true_false_null_or_text(text, value):
    found = plain_yaml.parse(text)
    assert (found, type(found)) == (value, type(value))


EXPLODES = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (EXPLODES, "line 2: aliases"),
        ("[" * 3000 + "]" * 3000, "more than 20 nested levels"),
        ("\n".join("  " * n + "a:" for n in range(3000)), "more than 20 nested levels"),
        ("!!python/object/apply:os.system [id]", "line 1: tags"),
        ("a: !!timestamp 2020-01-01", "line 1: tags"),
        ("a: " + "9" * 5000, "5000 digits"),
        ('a: "\\ud800"', "a lone surrogate"),
        ('a: "\\x1b[31m"', "control characters"),
        ("a: \x07", "special characters"),
        ("a: 1\nb: 2\na: 3", "line 3: a is given twice"),
        ("? [a]\n: 1", "used as a key"),
        ("a: [1, 2", "line 1: "),
        ("a: 1\n--- \nb: 2", "document"),
    ],
)  # fmt: skip
def test_what_is_more_than_plain_data_is_refused_in_one_line(text, reason):
    with pytest.raises(ValueError, match=reason) as refused:
        plain_yaml.parse(text)
    assert len(str(refused.value)) < 150 and "\n" not in str(refused.value)


def test_a_file_is_read_only_if_it_is_a_small_one(tmp_path):

    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_text("#" * 2**21)
    (tmp_path / "latin").write_bytes(b"a: \xe9")
    (tmp_path / "list").write_text("[1]")
    for name, reason in (
        ("pipe", "is not a file"), (".", "is not a file"), ("none", "does not exist"), ("large", "2,097,152 bytes"),
        ("latin", "utf-8"), ("list", "holds a list"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=reason):
            plain_yaml.read(tmp_path / name)
