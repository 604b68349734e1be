"""`stencil run` on a video: what its arguments must be, a progress bar, and an end that leaves no half file."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stencilnet.cli.batch import progress
from stencilnet.cli.console import stop_on_signal
from stencilnet.cli.streams import say
from stencilnet.text.escaping import one_line

if TYPE_CHECKING:
    from PIL import Image
    from rich.console import Console

_FASTEST = 1000
"""Most frames per second."""


def parse_fps(_context: click.Context, _option: click.Parameter, text: str | None) -> Fraction | None:
    """Return a number of frames per second, such as 12.5 or 30000/1001.

    Raises:
        BadParameter: If it is none, or not above 0 and at most 1000.
    """
    if text is None:
        return None
    try:
        fps = Fraction(text).limit_denominator(1001)
    except (ValueError, ZeroDivisionError):
        fps = Fraction(0)
    if not 0 < fps <= _FASTEST:
        raise click.BadParameter(f"expected a number above 0 and at most {_FASTEST}, but got {text!r}")
    return fps


def the_video(inputs: Sequence[str], out: Path, fps: Fraction | None, others: Sequence[str]) -> Path | None:
    """Return the input if it is a video; None if the inputs are pictures.

    Args:
        inputs: The inputs.
        out: The output.
        fps: Frames per second to write; None if not given.
        others: The options in use that are for pictures alone.

    Raises:
        UsageError: If there are several inputs and one is a video, or options do not go with the inputs.
    """
    from stencilnet.pictures.formats import VIDEO_SUFFIXES

    if not any(Path(name).suffix.lower() in VIDEO_SUFFIXES for name in inputs):
        if fps is not None or out.suffix.lower() in VIDEO_SUFFIXES:
            raise click.UsageError(
                f"{'--fps' if fps is not None else f'-o {out}'} is for videos, but INPUTS hold none."
            )
        return None
    if len(inputs) != 1:
        raise click.UsageError(f"Expected one video as INPUTS, but got {len(inputs)} files. Run it alone.")
    if others:
        raise click.UsageError(f"{' and '.join(others)}: for pictures alone, but {inputs[0]} is a video.")
    return Path(inputs[0])


def run_video(
    source: Path,
    target: Path,
    change: "Callable[[Image.Image], Image.Image]",
    fps: Fraction | None,
    screen: "Console",
) -> None:
    """Change a video's frames. Ctrl-C or SIGTERM end it after the frame in work, without an output.

    Raises:
        Exit: If it was ended so.
        UsageError: If the output's name is not that of a video that is written, or is the input.
        VideoError: If a file cannot be read or written.
    """
    from stencilnet.pictures.video import WRITTEN, convert, look

    if target.suffix.lower() not in WRITTEN or target.is_dir():
        raise click.UsageError(f"Expected -o to be a file named {', '.join(WRITTEN)}, but got {target}.")
    video = look(source)
    if target.exists() and target.samefile(source):
        raise click.UsageError(f"Expected -o to be another file than the input, but got {target}.")
    target.parent.mkdir(parents=True, exist_ok=True)
    frames = convert(video, target, change, fps=fps)
    with stop_on_signal() as request, progress(screen, video.count(fps), "frames") as advance:
        for _ in frames:
            advance()
            if request.is_set():
                frames.close()
                say(f"stencil: interrupted; {one_line(str(target))} was not written", err=True)
                raise click.exceptions.Exit(1)
    say(target)
