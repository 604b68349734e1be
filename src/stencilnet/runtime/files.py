"""Runs tasks from files to files: other threads read and write files while the network runs."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path

from stencilnet.bundle import BundleError
from stencilnet.kinds.kind import MapKind, PictureKind
from stencilnet.memory import within_memory
from stencilnet.pictures.deep_output import DEEP_FORMATS
from stencilnet.pictures.formats import format_of
from stencilnet.pictures.images import Floats
from stencilnet.runtime.answering import PLAIN, Form, Given, Made, Scale, answer, prepare
from stencilnet.runtime.engine import Engine
from stencilnet.runtime.saving import write_picture
from stencilnet.storage import replacing

_DEEP_GRAY = frozenset({"PNG", "TIFF", "JPEG2000", "PPM"})
"""Formats that are written in gray of 16 bits."""

_THREADS = 3
"""Threads that read and write files, beside the one that computes."""

_AHEAD = 4
"""Pictures that are read ahead, and pictures that may wait to be written: this bounds memory."""


def run_files(
    engine: Engine,
    task: str,
    planned: dict[Path, Path],
    *,
    drawing: bool,
    scale: Scale = "trained",
    metadata: bool = False,
    form: Form = PLAIN,
) -> Generator[tuple[Path, str | None]]:
    """Run one task over files; a bad file, or one that does not fit in memory, does not stop the others.

    Other threads read and write files while the network runs. However the run ends, every output is complete or absent.

    Args:
        engine: The engine.
        task: Name of the task.
        planned: The output file of each input file.
        drawing: Whether the inputs are edge drawings, as for `Engine.run`.
        scale: As for `Engine.run`.
        metadata: Whether outputs keep metadata of the inputs (`stencilnet.pictures.metadata`). Default False.
        form: The form of the outputs. Default: 8 bits, in sRGB.

    Yields:
        Each input in the order of `planned`, with the error of it or its output, or None.

    Raises:
        BundleError: If the task's files are damaged.
        ValueError: If there is no such task, it does not output pictures, or they or their files cannot have the form;
            before any file is read.
    """
    made, size = engine.picture_task(task), engine.sizing(task, scale)
    form.check(made)
    if form.bits == 16:
        _check_deep(planned.values(), gray=isinstance(made, MapKind))
    writing: deque[tuple[Path, Future[str | None]]] = deque()
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="stencil-files")

    def prepared(source: Path) -> Given:
        work = partial(prepare, made, source, size, drawing=drawing, metadata=metadata)
        return within_memory(work, "The picture")

    try:
        for source, target, read in _read_ahead(planned, lambda source: pool.submit(prepared, source)):
            try:
                given = read.result()
                output = engine.forward(given.input, task)
            except BundleError:  # it is the same for every file
                raise
            except (ValueError, OSError) as error:
                writing.append((source, _settled(str(error))))
            else:
                writing.append((source, pool.submit(_write, made, output, given, form, source, target)))
            while writing and (len(writing) > _AHEAD or writing[0][1].done()):
                yield _result(writing)
        while writing:
            yield _result(writing)
    finally:
        pool.shutdown(cancel_futures=True)  # waits for files being written


def _read_ahead(
    planned: dict[Path, Path], read: Callable[[Path], Future[Given]]
) -> Iterator[tuple[Path, Path, Future[Given]]]:
    """Yield each input with its output file and its picture, while the next ones are being read."""
    files = ((source, target, read(source)) for source, target in planned.items())
    reading = deque(islice(files, _AHEAD))
    while reading:
        first = reading.popleft()
        reading.extend(islice(files, 1))
        yield first


def _check_deep(targets: Iterable[Path], *, gray: bool) -> None:
    """Check that files can have 16 bits per channel, in gray or in RGB."""
    formats, choice = (_DEEP_GRAY, ".png, .tif, .jp2 or .pgm") if gray else (DEEP_FORMATS, ".png or .tif")
    if shallow := [target for target in targets if format_of(target) not in formats]:
        raise ValueError(f"Cannot write {shallow[0]} with 16 bits. Choose {choice} for -o.")


def _result(writing: deque[tuple[Path, Future[str | None]]]) -> tuple[Path, str | None]:
    source, written = writing.popleft()
    return source, written.result()


def _settled(problem: str) -> Future[str | None]:
    future: Future[str | None] = Future()
    future.set_result(problem)
    return future


def _write(task: PictureKind, output: Floats, given: Given, form: Form, source: Path, target: Path) -> str | None:
    """Write one output; return the error's text, or None."""
    try:
        made = within_memory(lambda: answer(task, output, given, form, str(source)), "The output")
        within_memory(lambda: _save(made, target, given.photo.exif), "The output")
    except (ValueError, OSError) as error:
        return str(error)
    return None


def _save(picture: Made, target: Path, exif: bytes) -> None:
    """Write a picture, atomically."""
    form = format_of(target)
    assert form is not None, "plans name files of known formats"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target, sync=False) as file:
            write_picture(picture, file, form, exif)
    except OSError as error:
        raise ValueError(
            f"Cannot write {target}: {error.strerror or error}. Check the folder's permissions and disk, "
            "or choose another -o."
        ) from error
