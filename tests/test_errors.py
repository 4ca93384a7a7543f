import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sonosynth.errors import first_line, inert, is_plain
from sonosynth.progress.events import Message
from sonosynth.progress.plain import Plain


@given(st.text(st.characters() | st.characters(categories=["Cc", "Cs"])))
def test_inert_text_moves_no_cursor_and_can_be_written(text):
    shown = inert(text)
    assert all(c == "\n" or is_plain(c) for c in shown)
    shown.encode()
    assert (shown == text) == all(c == "\n" or is_plain(c) for c in text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"), ("a\rb\x07\x9b", "a\\rb\\x07\\x9b"), ("b\udce9", "b\\udce9"),
        ("a\u202eb\u2028c", "a\\u202eb\\u2028c"), ("größe 腫瘍 \u200d[/red]", "größe 腫瘍 \u200d[/red]"),
    ],
)  # fmt: skip
def test_what_a_name_can_do_to_a_terminal_is_escaped(text, shown, capsys):
    assert inert(text) == shown
    Plain().show(Message(text))
    assert capsys.readouterr().err == shown + "\n"


def test_messages_quote_a_line_at_most():
    assert first_line("one\ntwo") == "one"
    assert len(first_line("x" * 1000)) == 120
    assert first_line(ValueError()) == "ValueError"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_the_characters_gets_others(tmp_path, encoding):
    for label in ("腫瘍", "b"):
        (tmp_path / label).mkdir()
        Image.radial_gradient("L").save(tmp_path / label / "a.png")
    (tmp_path / "b" / "\x1b[31m\udce9.txt").write_text("")
    found = subprocess.run(
        [sys.executable, "-c", "from sonosynth.cli import main; main()", "inspect", tmp_path],
        capture_output=True, check=True, env=os.environ | {"PYTHONIOENCODING": encoding},
    ).stdout  # fmt: skip
    assert b"b/\\x1b[31m\\udce9.txt has a name that is not UTF-8" in found
    assert b"??" in found and b"\x1b" not in found
