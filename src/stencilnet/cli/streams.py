"""Where the command line writes: no character, and no reader that has left, ends the work that is being done."""

import io
import sys
from pathlib import Path
from typing import Any, TextIO

from stencilnet.text.escaping import one_line, printable
from stencilnet.text.strict_json import dumps


def say(text: object, *, err: bool = False) -> None:
    """Write text and a newline to stdout, or to stderr; what would steer a terminal is escaped.

    Args:
        text: Text, of one line or several; or a path, which is one line whatever its name.
        err: Whether it goes to stderr.
    """
    _write(one_line(str(text)) if isinstance(text, Path) else printable(str(text)), sys.stderr if err else sys.stdout)


def say_json(value: Any) -> None:
    """Write one JSON object to stdout, in ASCII."""
    _write(dumps(value, indent=2), sys.stdout)


def is_written_whole(text: str) -> bool:
    """Return whether `say` writes text to stdout without an escape."""
    try:
        text.encode(sys.stdout.encoding if sys.stdout else "utf-8")
    except UnicodeEncodeError:
        return False
    return printable(text) == text


def prepare_streams() -> None:
    """Make stdout and stderr take all that is written to them, for the rest of this process.

    What the encoding has no character for is written as an escape (``\\u2191``). What nobody reads any more, as after
    ``stencil info BUNDLE | head -1``, is dropped. Streams that are not a plain file's, as in tests, stay as they are.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if type(stream) is io.TextIOWrapper:
            stream.flush()
            setattr(sys, name, _patient(stream))


def _write(text: str, stream: TextIO | None) -> None:
    if stream is not None:  # a program may be started without one
        stream.write(f"{text}\n")
        stream.flush()


def _patient(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    raw = _Dropping(stream.fileno(), "wb", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _Dropping(io.FileIO):
    """A file that drops what is written to a closed pipe."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            return memoryview(data).nbytes
