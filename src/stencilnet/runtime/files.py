"""From files to files: which inputs are meant, and where each output goes."""

import glob
from collections.abc import Iterable, Iterator
from pathlib import Path

from stencilnet.runtime.engine import Engine

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm"})
"""What counts as an image in a folder."""


def plan_outputs(inputs: Iterable[str], output: Path) -> dict[Path, Path]:
    """Decide the output file of every input file.

    Args:
        inputs: Files, folders (every image in them and below) or glob patterns.
        output: A file for one input file, if its name ends as an image's; else a folder, which gets PNG files.

    Raises:
        ValueError: If an input is missing or holds no image, two inputs would write one file, or an output would
            overwrite an input.
    """
    found = [pair for name in inputs for pair in _expand(name)]
    if output.suffix.lower() in SUFFIXES and not output.is_dir():
        if len(found) != 1:
            raise ValueError(f"Expected one input for the output file {output}, but got {len(found)}. Give a folder.")
        planned = [(found[0][0], output)]
    else:
        planned = [(source, (output / place).with_suffix(".png")) for source, place in found]
    taken: dict[Path, Path] = {}
    for source, target in planned:
        if target in taken:
            raise ValueError(f"{taken[target]} and {source} would both be written to {target}. Rename one of them.")
        if target.exists() and target.samefile(source):
            raise ValueError(f"{source} would be overwritten by its own output. Choose another -o.")
        taken[target] = source
    return {source: target for target, source in taken.items()}


def run_files(
    engine: Engine, task: str, planned: dict[Path, Path], *, drawing: bool
) -> Iterator[tuple[Path, str | None]]:
    """Run one task over files; a bad file does not stop the others.

    Yields:
        Each input, and what was wrong with it, or None.
    """
    for source, target in planned.items():
        try:
            image = engine.run(source, task=task, drawing=drawing)
        except ValueError as error:
            yield source, str(error)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        image.save(target)
        yield source, None


def _expand(name: str) -> list[tuple[Path, Path]]:
    path = Path(name)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        if not files:
            raise ValueError(f"Expected images in the folder {path}, but found none.")
        return [(file, file.relative_to(path)) for file in files]
    if path.exists():
        return [(path, Path(path.name))]
    matches = sorted(Path(match) for match in glob.glob(name, recursive=True))
    if not matches:
        raise ValueError(f"Expected the input {name} to be a file, a folder or a pattern, but nothing is there.")
    return [(match, Path(match.name)) for match in matches if match.is_file()]
