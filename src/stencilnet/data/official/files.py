"""What the public data sets share: checks of expected files, writing of label maps, and reading of examples."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from stencilnet.data.folders import FolderError, shown, unseen
from stencilnet.data.official.names import voc_palette
from stencilnet.pictures.images import read_stored, to_array
from stencilnet.pictures.labels import read_labels
from stencilnet.storage import NEW, write_file
from stencilnet.structuring import strict_converter, structured
from stencilnet.tasks.task import Example
from stencilnet.text.shortening import brief
from stencilnet.text.strict_json import dumps, loads

ProgressCallback = Callable[[str, int, int], None]
"""Progress callback: called with the name of the work, the amount done, and the total amount (0: unknown)."""

RECORD = "record.json"
"""File in a folder of derived label maps that records what they are made from, and whether they are complete."""

_END_OF_PNG = b"IEND\xaeB`\x82"
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a folder of label maps is made from.

    Attributes:
        source: Name of the annotations.
        size: Size of the annotations in bytes.
        sha256: SHA-256 of the annotations.
        modified: Modification time of the annotations in nanoseconds, which saves hashing if it is unchanged; 0, the
            default, if they are not one file.
        files: Names of the pictures, in order; empty until every label map exists.
    """

    source: str
    size: int
    sha256: str
    modified: int = 0
    files: tuple[str, ...] = ()

    def same_source(self, other: "Record") -> bool:
        """Return whether both are made from the same annotations."""
        return (self.size, self.sha256) == (other.size, other.sha256)


def read_record(folder: Path) -> Record | None:
    """Return the record of a folder of label maps; None if it has none.

    Raises:
        FolderError: If it cannot be read.
    """
    path = folder / RECORD
    try:
        return structured(loads(path.read_bytes()), Record, strict_converter(complete=True))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise FolderError(
            f"Cannot read {path}, the record of what the label maps next to it are made from: {brief(error)}. Remove "
            f"the folder {folder} and make them again."
        ) from error


def write_record(folder: Path, record: Record) -> None:
    """Write a record, after everything written before has reached the disk."""
    os.sync()
    write_data(folder / RECORD, dumps(asdict(record), indent=0).encode())


def begin(folder: Path, source: Record) -> set[str]:
    """Prepare a folder for label maps of a source, and return the names of those that already exist.

    Label maps that stencilnet made from other annotations are removed.

    Raises:
        FolderError: If the folder has label maps that stencilnet did not make, or cannot be written.
    """
    with _told(folder):
        return _begin(folder, source)


def _begin(folder: Path, source: Record) -> set[str]:
    record = read_record(folder)
    present = sorted(path for path in folder.glob("*.png") if not path.name.startswith(NEW))  # what a crash left
    if record is None and present:
        raise FolderError(
            f"Expected {folder} to hold only label maps made by stencilnet, but got {len(present)} PNG files of "
            f"another origin ({shown([p.name for p in present])}). Move them to another folder and try again."
        )
    if record is None or not record.same_source(source):
        for path in present:
            path.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        write_record(folder, source)
        return set()
    return {path.name for path in present if _is_whole(path)}


def _is_whole(path: Path) -> bool:
    """Return whether a PNG is complete to its end; after a power failure a written file can be truncated."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(_END_OF_PNG)))
        return file.read() == _END_OF_PNG


def write_label(path: Path, label: npt.NDArray[np.uint8]) -> None:
    """Write class indices ``(H, W)`` as a PNG with VOC's colours, atomically.

    Raises:
        FolderError: If it cannot be written.
    """
    write_data(path, label_png(label))


def label_name(file_name: str) -> str:
    """Return the name of the label map of an image file."""
    return Path(file_name).with_suffix(".png").name


def label_png(label: npt.NDArray[np.uint8]) -> bytes:
    """Return class indices ``(H, W)`` as a PNG with VOC's colours."""
    image = Image.fromarray(label)
    image.putpalette(list(voc_palette()))
    buffer = BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def write_data(path: Path, data: bytes) -> None:
    """Write a file of a data set atomically, without forcing it to the disk, which would dominate the time.

    Raises:
        FolderError: If it cannot be written.
    """
    with _told(path):
        write_file(path, data, sync=False)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Convert errors of the operating system to errors with a remedy."""
    try:
        yield
    except OSError as error:
        raise FolderError(
            f"Cannot write {path}: {error.strerror or error}. Check the folder's permissions and the free space on its "
            "disk, then run the same command again to resume."
        ) from error


def names_in(folder: Path) -> set[str]:
    """Return the names of all entries of a folder, without opening any; empty if the folder is missing."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return set()


def absent(folder: Path, expected: Collection[str], where: str) -> str | None:
    """Return a text that says which expected files a folder lacks; None if it has all of them.

    Args:
        folder: The folder.
        expected: Names of the expected files.
        where: A clause that says where they are listed, such as ``train.txt lists``.
    """
    if not folder.is_dir():
        return f"there is no folder {folder}"
    lost = sorted(set(expected) - names_in(folder))
    return f"{folder} lacks {len(lost)} of the {len(expected)} files that {where} ({shown(lost)})" if lost else None


def complain(problems: Iterable[str | None], remedy: str) -> None:
    """Raise one error that names every problem; None is not a problem.

    Raises:
        FolderError: If there is a problem.
    """
    found = [problem for problem in problems if problem is not None]
    if found:
        raise FolderError(f"Expected a complete data set, but {'; '.join(found)}. {remedy}")


def read_photo(name: str, path: Path) -> Example:
    """Read an image without labels, ignoring its EXIF orientation."""
    return Example(name=name, image=torch.from_numpy(to_array(read_stored(path))))


def read_labelled(name: str, image_path: Path, label_path: Path, remedy: str) -> Example:
    """Read an image, ignoring its EXIF orientation as the annotations do, and its label map.

    Raises:
        FolderError: If their sizes differ.
        stencilnet.pictures.images.ImageError: If one cannot be read.
    """
    image, label = read_stored(image_path), read_labels(label_path)
    if image.size != label.shape[::-1]:
        raise FolderError(
            f"Expected {image_path} and {label_path} to have one size, but got {image.width}x{image.height} and "
            f"{label.shape[1]}x{label.shape[0]} pixels (width x height). {remedy}"
        )
    return Example(name=name, image=torch.from_numpy(to_array(image)), label=torch.from_numpy(label))


def read_truth(name: str, label_path: Path) -> Example:
    """Read an image's label map only; the example's image is empty.

    Raises:
        stencilnet.pictures.images.ImageError: If it cannot be read.
    """
    return unseen(name, label=torch.from_numpy(read_labels(label_path)))


def replica_file(name: str, root: Path) -> Path:
    """Return the file that marks a data set under the root as a tiny replica."""
    return root / f"replica-{name}.json"


def is_replica(name: str, root: Path) -> bool:
    """Return whether a data set under the root is a tiny replica."""
    return replica_file(name, root).is_file()


def has_replicas(root: Path) -> bool:
    """Return whether any data set under the root is a tiny replica."""
    return any(root.glob(replica_file("*", root).name))


def get_again(names: tuple[str, ...], root: Path) -> str:
    """Return the instruction that makes data sets complete: resume fetching, or make a replica again."""
    if drawn := [name for name in names if is_replica(name, root)]:
        commands = " and ".join(f"`stencil data make {name} --root {root}`" for name in drawn)
        return f"It is a tiny replica: delete it and run {commands}."
    commands = " and ".join(f"`stencil data fetch {name} --root {root}`" for name in names)
    goes_on = "it resumes where it stopped" if len(names) == 1 else "they resume where they stopped"
    return f"Run {commands}: {goes_on}."
