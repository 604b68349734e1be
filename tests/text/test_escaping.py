"""What a terminal, a table and a page must not obey."""

import os
import unicodedata

import pytest

from stencilnet.text.escaping import markdown, one_line, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x07", "\\x1b[2J\\x07"),
        ("a\rb\x9b31m", "a\\x0db\\x9b31m"),
        ("gnp.\u202egepj", "gnp.\\u202egepj"),
        ("caf" + os.fsdecode(b"\xe9"), "caf\\xe9"),
        ("\ud800", "\\ud800"),
        ("03日 é ↑ 🙂\tx\n", "03日 é ↑ 🙂\tx\n"),
    ],
)
def test_what_steers_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_no_control_character_is_left() -> None:
    every = "".join(map(chr, range(0x110000)))
    left = {char for char in printable(every) if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")}
    assert left == {"\t", "\n"}
    turning = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    assert not {char for char in printable(every) if unicodedata.bidirectional(char) in turning}


def test_one_line_is_one_line() -> None:
    assert one_line("a\nb\tc\r") == "a\\nb\\tc\\x0d"


def test_markdown_takes_nothing_as_its_own() -> None:
    assert markdown("a | b\n# <b>c</b> \x1b[0m") == r"a \| b # \<b\>c\</b\> \\x1b\[0m"
