"""Output of the command line: neither unencodable characters nor a closed pipe abort the work."""

import io
import sys
from pathlib import Path
from typing import Any, TextIO

from stencilnet.text.escaping import one_line, printable
from stencilnet.text.strict_json import dumps


def say(text: object, *, err: bool = False) -> None:
    """Write text and a newline to stdout or stderr, with terminal control characters escaped.

    Args:
        text: Text of one or several lines; or a path, which is always written as one line.
        err: Whether to write to stderr. Default: stdout.
    """
    _write(one_line(str(text)) if isinstance(text, Path) else printable(str(text)), sys.stderr if err else sys.stdout)


def say_json(value: Any) -> None:
    """Write one JSON object to stdout, in ASCII."""
    _write(dumps(value, indent=2), sys.stdout)


def say_json_line(value: Any) -> None:
    """Write one JSON object to stdout as one line, in ASCII."""
    _write(dumps(value), sys.stdout)


def is_written_whole(text: str) -> bool:
    """Return whether `say` writes a text to stdout without escapes."""
    try:
        text.encode(sys.stdout.encoding if sys.stdout else "utf-8")
    except UnicodeEncodeError:
        return False
    return printable(text) == text


def prepare_streams() -> None:
    """Make stdout and stderr accept everything that is written to them, for the rest of this process.

    Characters that the encoding lacks are escaped (``\\u2191``). Output to a closed pipe, as after
    ``stencil info BUNDLE | head -1``, is dropped. Streams other than plain files, as in tests, are not changed.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if type(stream) is io.TextIOWrapper:
            stream.flush()
            setattr(sys, name, _patient(stream))


def _write(text: str, stream: TextIO | None) -> None:
    if stream is not None:  # a program may be started without stdout or stderr
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
