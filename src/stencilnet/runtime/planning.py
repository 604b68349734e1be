"""Finds the input files and plans the output file of each."""

import glob
import itertools
import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from stencilnet.pictures.formats import OTHER_SUFFIXES, SUFFIXES, format_of, is_supported, left_out, read_suffixes

logger = logging.getLogger(__name__)


class NoInputError(ValueError):
    """A folder or pattern without any picture."""


def plan_outputs(
    inputs: Iterable[str], output: Path, *, note: Callable[[str], None] = logger.warning
) -> dict[Path, Path]:
    """Decide the output file of every input file.

    If the output folder lies in an input folder, or where a pattern matches, its files are not inputs: an earlier run
    has written them. Notes say how many files are skipped for this, and how many for unsupported formats.

    Args:
        inputs: Files, folders (all images in them and below, except hidden ones) or glob patterns.
        output: A file, for a single input and a name with an image's suffix; else a folder, which gets PNG files.
        note: Receives the notes; by default, they are logged as warnings.

    Raises:
        NoInputError: If an input holds no image.
        ValueError: If an input is missing or holds no image, two inputs would write one file, an output would
            overwrite an input or lie among those of an input folder, or the output's format cannot be written, by this
            build of Pillow or at all.
    """
    single = names_file(output)
    places = [_Place.of(name) for name in inputs]
    found = [pair for place in places for pair in place.files(None if single else output, note)]
    if single:
        _check_file(output, len(found))
        planned = [(source, output) for source, _ in found]
    else:
        planned = [(source, (output / place).with_suffix(".png")) for source, place in found]
    _check_targets(planned)
    _check_folders(planned, [place.root for place in places if place.whole], output)
    return dict(planned)


def names_file(output: Path) -> bool:
    """Return whether an output is a file, by its name's suffix, rather than a folder."""
    return output.suffix.lower() in SUFFIXES | OTHER_SUFFIXES and not output.is_dir()


def _check_file(output: Path, inputs: int) -> None:
    if inputs != 1:
        raise ValueError(f"Expected one input for the output file {output}, but got {inputs}. Give a folder.")
    name = format_of(output)
    if name is None:
        raise ValueError(f"Cannot write {output}: {output.suffix} is unsupported. Choose another -o, such as .png.")
    if not is_supported(name):
        raise ValueError(f"Cannot write {output}: this build of Pillow lacks {name}. Choose another -o, such as .png.")


def _check_folders(planned: list[tuple[Path, Path]], folders: list[Path], output: Path) -> None:
    """Refuse outputs that a second run of the same command would take as inputs."""
    for folder in folders:
        if _lies_in(output, folder):
            continue  # files in the output folder are skipped
        for parent in {target.parent: None for _, target in planned}:
            if _lies_in(parent / "any", folder):
                raise ValueError(
                    f"The outputs would lie among the inputs in {folder}, and be inputs of the next run. Choose "
                    f"another -o, such as {folder / 'out'}."
                )


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
    """Return a file's identity, the same for links, other letter case and other paths to it."""
    status = path.stat()
    return status.st_dev, status.st_ino


def _lies_in(path: Path, folder: Path) -> bool:
    """Return whether a path, which need not exist, is below a folder, by identity rather than by name."""
    if not folder.resolve().exists():
        return False
    wanted = _identity(folder.resolve())
    return any(parent.exists() and _identity(parent) == wanted for parent in path.resolve().parents)


@dataclass(frozen=True, kw_only=True)
class _Place:
    """One input argument and where to look for its files.

    Attributes:
        name: The argument.
        root: The folder to search; for a single file, the file.
        whole: Whether all files in the folder are inputs; False by default.
    """

    name: str
    root: Path
    whole: bool = False

    @classmethod
    def of(cls, name: str) -> "_Place":
        path = Path(name)
        if path.exists():
            return cls(name=name, root=path, whole=path.is_dir())
        plain = itertools.takewhile(lambda part: not glob.has_magic(part), path.parts)
        return cls(name=name, root=Path(*plain))

    def files(self, output: Path | None, note: Callable[[str], None]) -> list[tuple[Path, Path]]:
        """Return the files with their paths in an output folder, without those that lie in it already.

        Raises:
            NoInputError: If there are none.
        """
        if not self.whole and self.root == Path(self.name) and self.root.exists():
            return [(self.root, Path(self.root.name))]
        found = self._in_folder() if self.whole else self._matches()
        suffixes = read_suffixes()
        pictures = [file for file in found if not self.whole or file.suffix.lower() in suffixes]
        notes = [left_out(found)] if self.whole else []
        if output is not None and _lies_in(output, self.root):
            kept = [file for file in pictures if not _lies_in(file, output)]
            notes += [_outputs(len(pictures) - len(kept), output)]
            pictures = kept
        said = "; ".join(filter(None, notes))
        if not pictures:
            place = f"the folder {self.root}" if self.whole else self.name
            raise NoInputError(f"Expected images in {place}, but found none{said and f' ({said})'}. Correct the path.")
        if said:
            note(f"{self.name}: {said}")
        return [(file, file.relative_to(self.root) if self.whole else Path(file.name)) for file in sorted(pictures)]

    def _in_folder(self) -> list[Path]:
        try:
            os.scandir(self.root).close()  # `rglob` passes over what it may not read
        except OSError as error:
            raise ValueError(f"Cannot read the folder {self.root}: {error.strerror}. Check its permissions.") from error
        shown = (file for file in self.root.rglob("*") if not _hidden(file.relative_to(self.root)))
        return [file for file in shown if file.is_file()]

    def _matches(self) -> list[Path]:
        matches = [Path(match) for match in glob.glob(self.name, recursive=True)]
        files = [match for match in matches if match.is_file()]
        if not files:
            nothing = "nothing matches it" if glob.has_magic(self.name) else "it does not exist"
            found = "it matches folders only" if matches else nothing
            raise ValueError(
                f"Expected the input {self.name} to be a file, a folder or a pattern of files, but {found}. Correct it."
            )
        return files


def _outputs(count: int, folder: Path) -> str:
    """Return a note on how many files are left out since they lie in the output folder; empty if none does."""
    files = "1 file was" if count == 1 else f"{count} files were"
    return f"{files} left out, in the output folder {folder}" if count else ""


def _hidden(place: Path) -> bool:
    return any(part.startswith(".") for part in place.parts)
