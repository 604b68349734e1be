"""Reads the headers of all pictures before training: an unusable test picture would end the work only after it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stencilnet.cores import cores
from stencilnet.data.folders import Examples, Origin, check_even, check_sizes
from stencilnet.pictures.images import open_checked

_SHOWN = 3


def header_problems(examples: Examples, least: int = 1) -> list[str]:
    """Return what is wrong with examples as far as their files' headers tell; nothing for those that have no files.

    Found are files that are missing, empty or no picture, pairs of different sizes, and pictures that are too small.

    Args:
        examples: The examples; no pixels are decoded.
        least: Shortest side in pixels that can be used; 1 by default.

    Returns:
        A sentence for each of the first bad examples, and one with the number of the others.
    """
    if examples.origin is None:
        return []
    origins = map(examples.origin, range(len(examples)))
    with ThreadPoolExecutor(cores()) as pool:  # files are opened outside Python's lock
        found = [problem for problem in pool.map(lambda origin: _problem(origin, least), origins) if problem]
    more = len(found) - _SHOWN
    return [*found[:_SHOWN], *([f"So are {more} more of its {len(examples)} examples."] if more > 0 else [])]


def _problem(origin: Origin, least: int) -> str | None:
    try:
        (width, height), *others = [_size(path) for path in origin.files]
        for path, size in zip(origin.files[1:], others, strict=True):
            if sorted(size) != sorted((width, height)):  # an EXIF orientation may swap the sides of one of them
                check_sizes(origin.files[0], (width, height), path, size)
        if origin.halves and height % 2:
            check_even(origin.files[0], width)
    except ValueError as error:
        return str(error)
    shortest = min(width // 2 if origin.halves else width, height)
    if shortest < least:
        return (
            f"Expected {origin.files[0]} to have sides of at least {least} pixels, which the task's metrics need, but "
            f"got {width}x{height}. Remove or replace it."
        )
    return None


def _size(path: Path) -> tuple[int, int]:
    with open_checked(path) as opened:
        return opened.size
