"""From files to files: which inputs are meant, and where each output goes."""

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from stencilnet.runtime.engine import Engine
from stencilnet.tasks.images import SUFFIXES

_INDEXED = frozenset({".png", ".bmp", ".tif", ".tiff", ".gif"})
"""Formats that hold a palette; the others get the palette's colours."""


def plan_outputs(inputs: Iterable[str], output: Path) -> dict[Path, Path]:
    """Decide the output file of every input file.

    Args:
        inputs: Files, folders (every image in them and below, but for hidden ones) or glob patterns.
        output: A file for one input file, if its name ends as an image's; else a folder, which gets PNG files.

    Raises:
        ValueError: If an input is missing or holds no image, two inputs would write one file, or an output would
            overwrite any of the inputs.
    """
    found = [pair for name in inputs for pair in _expand(name)]
    if output.suffix.lower() in SUFFIXES and not output.is_dir():
        if len(found) != 1:
            raise ValueError(f"Expected one input for the output file {output}, but got {len(found)}. Give a folder.")
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

    Yields:
        Each input, and what was wrong with it or its output, or None.

    Raises:
        ValueError: If there is no such task, or it makes no pictures, before any file is read.
    """
    engine.picture_task(task)
    for source, target in planned.items():
        try:
            _save(engine.run(source, task=task, drawing=drawing), target)
        except (ValueError, OSError) as error:
            yield source, str(error)
        else:
            yield source, None


def _save(image: Image.Image, target: Path) -> None:
    """Write a picture whole or not at all."""
    if image.mode == "P" and target.suffix.lower() not in _INDEXED:
        image = image.convert("RGB")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # a folder, for a temporary file as such would be readable by its owner only
        with TemporaryDirectory(prefix=".stencil-", dir=target.parent) as scratch:
            part = Path(scratch) / target.name
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
        shown = (file for file in path.rglob("*") if not _hidden(file.relative_to(path)))
        files = sorted(file for file in shown if file.suffix.lower() in SUFFIXES and file.is_file())
        if not files:
            raise ValueError(f"Expected images in the folder {path}, but found none. Correct the path.")
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
