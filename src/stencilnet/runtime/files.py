"""Runs tasks from files to files: other threads read and write files while the network runs."""

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from PIL import Image

from stencilnet.kinds.kind import PictureKind
from stencilnet.memory import within_memory
from stencilnet.pictures.formats import format_of
from stencilnet.pictures.images import Floats
from stencilnet.runtime.engine import Engine, task_input
from stencilnet.storage import replacing

_INDEXED = frozenset({"PNG", "BMP", "TIFF", "GIF"})
"""Formats that support a palette; in others, pictures are written with the palette's colours."""

_THREADS = 3
"""Threads that read and write files, beside the one that computes."""

_AHEAD = 4
"""Pictures that are read ahead, and pictures that may wait to be written: this bounds memory."""


def run_files(
    engine: Engine, task: str, planned: dict[Path, Path], *, drawing: bool
) -> Generator[tuple[Path, str | None]]:
    """Run one task over files; a bad file, or one that does not fit in memory, does not stop the others.

    Other threads read and write files while the network runs. However the run ends, every output is complete or absent.

    Yields:
        Each input in the order of `planned`, with the error of it or its output, or None.

    Raises:
        ValueError: If there is no such task, or it does not output pictures; before any file is read.
    """
    made = engine.picture_task(task)
    sources = iter(planned.items())
    reading: deque[tuple[Path, Path, Future[Floats]]] = deque()
    writing: deque[tuple[Path, Future[str | None]]] = deque()
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="stencil-files")

    def read_ahead(count: int) -> None:
        for source, target in islice(sources, count):
            reading.append((source, target, pool.submit(_read, made, source, drawing)))

    try:
        read_ahead(_AHEAD)
        while reading:
            source, target, read = reading.popleft()
            read_ahead(1)
            try:
                given = read.result()
                output = engine.forward(given, task)
            except (ValueError, OSError) as error:
                writing.append((source, _settled(str(error))))
            else:
                writing.append((source, pool.submit(_write, made, output, given, target)))
            while writing and (len(writing) > _AHEAD or writing[0][1].done()):
                yield _result(writing)
        while writing:
            yield _result(writing)
    finally:
        pool.shutdown(cancel_futures=True)  # waits for files being written


def _read(task: PictureKind, source: Path, drawing: bool) -> Floats:
    return within_memory(lambda: task_input(task, source, drawing=drawing), "The picture")


def _result(writing: deque[tuple[Path, Future[str | None]]]) -> tuple[Path, str | None]:
    source, written = writing.popleft()
    return source, written.result()


def _settled(problem: str) -> Future[str | None]:
    future: Future[str | None] = Future()
    future.set_result(problem)
    return future


def _write(task: PictureKind, output: Floats, given: Floats, target: Path) -> str | None:
    """Write one output; return the error's text, or None."""
    try:
        within_memory(lambda: _save(task.to_image(output, given), target), "The output")
    except (ValueError, OSError) as error:
        return str(error)
    return None


def _save(image: Image.Image, target: Path) -> None:
    """Write a picture, atomically."""
    if image.mode == "P" and format_of(target) not in _INDEXED:
        image = image.convert("RGB")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target, sync=False) as file:
            if format_of(target) == "GIF":
                image.save(file, optimize=False)  # optimising would renumber the indices
            else:
                image.save(file)
    except OSError as error:
        raise ValueError(
            f"Cannot write {target}: {error.strerror or error}. Check the folder's permissions and disk, "
            "or choose another -o."
        ) from error
