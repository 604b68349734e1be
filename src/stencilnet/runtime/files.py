"""From files to files: which inputs are meant, and where each output goes."""

import glob
import logging
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from torch import Tensor

from stencilnet.runtime.engine import Engine, task_input
from stencilnet.tasks.formats import SUFFIXES, format_of, is_supported, left_out
from stencilnet.tasks.task import PictureTask

logger = logging.getLogger(__name__)

_INDEXED = frozenset({"PNG", "BMP", "TIFF", "GIF"})
"""Formats that hold a palette; the others get the palette's colours."""

_THREADS = 3
"""Threads that read and write, beside the one that computes."""

_AHEAD = 4
"""Pictures that are read before their turn, and as many that may wait to be written: the bound on memory."""


def plan_outputs(inputs: Iterable[str], output: Path) -> dict[Path, Path]:
    """Decide the output file of every input file.

    How many pictures of a folder are left out, since their formats are not read, is logged as a warning.

    Args:
        inputs: Files, folders (every image in them and below, but for hidden ones) or glob patterns.
        output: A file for one input file, if its name ends as an image's; else a folder, which gets PNG files.

    Raises:
        ValueError: If an input is missing or holds no image, two inputs would write one file, an output would
            overwrite any of the inputs, or this build of Pillow lacks the output file's format.
    """
    found = [pair for name in inputs for pair in _expand(name)]
    if output.suffix.lower() in SUFFIXES and not output.is_dir():
        if len(found) != 1:
            raise ValueError(f"Expected one input for the output file {output}, but got {len(found)}. Give a folder.")
        if (name := format_of(output)) is not None and not is_supported(name):
            raise ValueError(f"Cannot write {output}: this build of Pillow has no {name}. Choose another -o, as .png.")
        planned = [(found[0][0], output)]
    else:
        planned = [(source, (output / place).with_suffix(".png")) for source, place in found]
    _check_targets(planned)
    return dict(planned)


def _check_targets(planned: list[tuple[Path, Path]]) -> None:
    inputs = {_identity(source): source for source, _ in planned}
    taken: dict[Path, Path] = {}
    for source, target in planned:
        if target in taken:
            raise ValueError(f"{taken[target]} and {source} would both be written to {target}. Rename one of them.")
        if target.exists() and _identity(target) in inputs:
            lost = inputs[_identity(target)]
            raise ValueError(f"The input {lost} would be overwritten by the output of {source}. Choose another -o.")
        taken[target] = source


def _identity(path: Path) -> tuple[int, int]:
    """Tell files apart whatever they are called: by links, in other letters, by way of other folders."""
    status = path.stat()
    return status.st_dev, status.st_ino


def run_files(
    engine: Engine, task: str, planned: dict[Path, Path], *, drawing: bool
) -> Iterator[tuple[Path, str | None]]:
    """Run one task over files; a bad file does not stop the others.

    Some threads read ahead and write behind while the network runs. Whatever ends it, every output is whole or not
    there.

    Yields:
        Each input in the order of `planned`, and what was wrong with it or its output, or None.

    Raises:
        ValueError: If there is no such task, or it makes no pictures, before any file is read.
    """
    made = engine.picture_task(task)
    sources = iter(planned.items())
    reading: deque[tuple[Path, Path, Future[Tensor]]] = deque()
    writing: deque[tuple[Path, Future[str | None]]] = deque()
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="stencil-files")

    def read_ahead(count: int) -> None:
        for source, target in islice(sources, count):
            reading.append((source, target, pool.submit(task_input, made, source, drawing=drawing)))

    try:
        read_ahead(_AHEAD)
        while reading:
            source, target, read = reading.popleft()
            read_ahead(1)
            try:
                tensor = read.result()
                output = engine.forward(tensor, task)
            except (ValueError, OSError) as error:
                writing.append((source, _settled(str(error))))
            else:
                writing.append((source, pool.submit(_write, made, output, tensor, target)))
            while writing and (len(writing) > _AHEAD or writing[0][1].done()):
                yield _result(writing)
        while writing:
            yield _result(writing)
    finally:
        pool.shutdown(cancel_futures=True)  # waits for files being written


def _result(writing: deque[tuple[Path, Future[str | None]]]) -> tuple[Path, str | None]:
    source, written = writing.popleft()
    return source, written.result()


def _settled(problem: str) -> Future[str | None]:
    future: Future[str | None] = Future()
    future.set_result(problem)
    return future


def _write(task: PictureTask, output: Tensor, tensor: Tensor, target: Path) -> str | None:
    """Write one output; return what was wrong, or None."""
    try:
        _save(task.to_image(output, tensor), target)
    except (ValueError, OSError) as error:
        return str(error)
    return None


def _save(image: Image.Image, target: Path) -> None:
    """Write a picture whole or not at all."""
    if image.mode == "P" and format_of(target) not in _INDEXED:
        image = image.convert("RGB")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # a folder, for a temporary file as such would be readable by its owner only
        with TemporaryDirectory(prefix=".stencil-", dir=target.parent) as scratch:
            part = Path(scratch) / target.name
            if format_of(target) == "GIF":
                image.save(part, optimize=False)  # else indices are numbered anew
            else:
                image.save(part)
            os.replace(part, target)
    except OSError as error:
        raise ValueError(
            f"Cannot write {target}: {error.strerror or error}. Check the folder's permissions and disk, "
            "or choose another -o."
        ) from error


def _expand(name: str) -> list[tuple[Path, Path]]:
    path = Path(name)
    if path.is_dir():
        shown = [file for file in path.rglob("*") if not _hidden(file.relative_to(path)) and file.is_file()]
        files, others = sorted(file for file in shown if file.suffix.lower() in SUFFIXES), left_out(shown)
        if not files:
            found = f"found none ({others})" if others else "found none"
            raise ValueError(f"Expected images in the folder {path}, but {found}. Correct the path.")
        if others:
            logger.warning("%s: %s. Save them as PNG or JPEG to use them.", path, others)
        return [(file, file.relative_to(path)) for file in files]
    if path.exists():
        return [(path, Path(path.name))]
    matches = sorted(Path(match) for match in glob.glob(name, recursive=True))
    files = [match for match in matches if match.is_file()]
    if not files:
        found = "it matches folders only" if matches else "nothing is there"
        raise ValueError(
            f"Expected the input {name} to be a file, a folder or a pattern of files, but {found}. Correct it."
        )
    return [(file, Path(file.name)) for file in files]


def _hidden(place: Path) -> bool:
    return any(part.startswith(".") for part in place.parts)
