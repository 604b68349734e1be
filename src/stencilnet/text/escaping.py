"""Text from files and file names, made safe for a terminal, a line of output, or Markdown."""

import re

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters (C0, C1) except tab and newline: a terminal obeys them
    "\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069"  # characters that reverse or end a line
    "\ud800-\udfff]"  # bytes of a file name that are not UTF-8 (PEP 383), and others that no encoding has
)
_BREAKS = re.compile("[\t\n]")
_MARKDOWN = re.compile(r"([\\|*_`<>\[\]])")


def printable(text: str) -> str:
    r"""Return text that a terminal shows as it is: control characters are written as escapes, such as ``\x1b``.

    Tabs, newlines and all visible characters stay. A byte of a file name that is not UTF-8 is written as that byte,
    ``\xe9``.

    Args:
        text: Any text, of one line or several.
    """
    return _HIDDEN.sub(_escape, text)


def one_line(text: str) -> str:
    r"""Return `printable` text with its tabs and newlines escaped too: it cannot pass for another line of output."""
    return _BREAKS.sub(_escape, printable(text))


def markdown(text: str) -> str:
    """Return text that Markdown shows as it is, also in a cell of a table: no markup, no HTML, one line."""
    return _MARKDOWN.sub(r"\\\1", printable(" ".join(text.split())))


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    return {"\t": "\\t", "\n": "\\n"}.get(found[0]) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
