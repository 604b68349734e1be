"""Examples from user folders: images, images with label maps, pairs, and side-by-side pairs.

Folders may be nested. Files are sorted by path; hidden files and files without a picture's suffix are skipped, and
symbolic links to folders are not followed. Pictures of unsupported formats are skipped with a warning that counts them.
Names are compared in Unicode's normal form NFC, since macOS writes umlauts and accents as two characters (NFD).
"""

import logging
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar, overload

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from stencilnet.pictures.formats import left_out, read_suffixes
from stencilnet.pictures.images import read_image, to_array
from stencilnet.pictures.labels import VOID, read_labels
from stencilnet.tasks.task import Example
from stencilnet.text.fields import Rule
from stencilnet.text.shortening import shorten

logger = logging.getLogger(__name__)

Of = TypeVar("Of")

_SHOWN = 3

_LONGEST = 10_000
"""Largest number of characters of an error."""


class FolderError(ValueError):
    """A folder or its content is not as expected; the message names it, what was expected and found, and the remedy.

    The message is shortened, whatever a file contains.
    """

    def __init__(self, message: str) -> None:
        super().__init__(shorten(message, _LONGEST))


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What determines an example's pixels, known without reading it.

    Attributes:
        files: The files that it is made from.
        how: How they are read; it differs between any two ways that give different pixels.
        halves: Whether the only file holds input and target side by side. Default: false.
    """

    files: tuple[Path, ...]
    how: str
    halves: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Examples(Sequence[Example]):
    """Examples that are read (or drawn) at each access; only their names are in memory.

    Attributes:
        names: The name of each example, known without reading it.
        read: Reads example i, for i in 0 ... ``len(names) - 1``; picklable.
        origin: Returns the origin of example i; picklable. None for examples that are not made from files, which a
            disk cache does not store.
        truth: Reads only the label or category of example i, with an empty image ``(3, 0, 0)``; picklable. None if
            there is neither, or reading only it would save no work.
    """

    names: tuple[str, ...]
    read: Callable[[int], Example]
    origin: Callable[[int], Origin] | None = None
    truth: Callable[[int], Example] | None = None

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> "Examples": ...
    def __getitem__(self, index: int | slice) -> "Example | Examples":
        if isinstance(index, slice):
            return self.take(range(len(self))[index])
        return self.read(range(len(self))[index])

    def take(self, indices: Sequence[int]) -> "Examples":
        """Return the examples at `indices`, in that order; nothing is read."""
        return Examples(
            names=tuple(self.names[i] for i in indices),
            read=partial(_chosen, self.read, tuple(indices)),
            origin=None if self.origin is None else partial(_chosen, self.origin, tuple(indices)),
            truth=None if self.truth is None else partial(_chosen, self.truth, tuple(indices)),
        )


def _chosen(function: Callable[[int], Of], chosen: tuple[int, ...], index: int) -> Of:
    return function(chosen[index])


@dataclass(frozen=True, kw_only=True)
class LabelForm:
    """How a label file's values become class indices.

    Attributes:
        void: Values that count as void, besides 255.
        threshold: If set, the file is a gray map, and class 1 is where its 8-bit value is at least this. Default None.
        widen: Number of pixels by which class 1 is dilated after thresholding, including diagonals. Default 0.
    """

    void: tuple[int, ...] = ()
    threshold: int | None = None
    widen: int = 0


def folder_rule(field: str, folder: str) -> Rule:
    """Return the rule that a source's field names a folder."""
    return field, bool(folder), "to name a folder ('.' is the data root itself), but got an empty string"


def images(folder: Path) -> Examples:
    """Return the images of a folder.

    Raises:
        FolderError: If the folder is missing or has no images.
    """
    found = list_images(folder)
    files = tuple(found.items())
    origin = partial(_origin, tuple((path,) for _, path in files), "image")
    return Examples(names=tuple(found), read=partial(_read_image, files), origin=origin)


def labelled(image_folder: Path, label_folder: Path, form: LabelForm | None = None) -> Examples:
    """Return the images of one folder with the label maps of another, matched by path without suffix.

    Reading an example raises `FolderError` if the two sizes differ (an EXIF orientation is applied first), and
    `stencilnet.pictures.images.ImageError` if a file cannot be read.

    Raises:
        FolderError: If a folder is missing or empty, or a file of one has no match in the other.
    """
    matched = _match(image_folder, label_folder)
    form = form or LabelForm()
    names = tuple(name for name, _, _ in matched)
    origin = partial(_origin, tuple(files for _, *files in matched), f"image and labels, {form}")
    truth = partial(_read_truth, matched, form)
    return Examples(names=names, read=partial(_read_labelled, matched, form), origin=origin, truth=truth)


def pairs(input_folder: Path, target_folder: Path) -> Examples:
    """Return the images of one folder with the target images of another, matched by path without suffix.

    Reading an example raises `FolderError` if the two sizes differ (an EXIF orientation is applied first), and
    `stencilnet.pictures.images.ImageError` if a file cannot be read.

    Raises:
        FolderError: If a folder is missing or empty, or a file of one has no match in the other.
    """
    matched = _match(input_folder, target_folder)
    origin = partial(_origin, tuple(files for _, *files in matched), "image and target")
    return Examples(names=tuple(name for name, _, _ in matched), read=partial(_read_pair, matched), origin=origin)


def side_by_side(folder: Path, input_side: Literal["left", "right"] = "left") -> Examples:
    """Return the pairs of a folder whose images contain input and target side by side (Isola et al. 2017, pix2pix).

    Reading an example raises `FolderError` if an image's width is odd, and `stencilnet.pictures.images.ImageError` if a
    file cannot be read.

    Args:
        folder: The folder of the double images.
        input_side: Half that is the input; the other half is the target.

    Raises:
        FolderError: If the folder is missing or has no images.
    """
    found = list_images(folder)
    files = tuple(found.items())
    origin = partial(_origin, tuple((path,) for _, path in files), f"halves, input {input_side}", halves=True)
    return Examples(names=tuple(found), read=partial(_read_halves, files, input_side), origin=origin)


def list_images(folder: Path) -> dict[str, Path]:
    """Return the images of a folder and its subfolders by their relative paths in NFC, sorted.

    Pictures of unsupported formats are skipped and counted in a logged warning.

    Raises:
        FolderError: If the folder is missing or has no images, or two names look the same (NFC and NFD).
    """
    if not folder.is_dir():
        found = "it is a file" if folder.exists() else "there is no such folder"
        raise FolderError(f"Expected a folder of images at {folder}, but {found}. Correct the path.")
    files = [path for path in folder.rglob("*") if path.is_file() and not _hidden(path, folder)]
    suffixes = read_suffixes()
    found_images = _by_name(folder, (path for path in files if path.suffix.lower() in suffixes))
    others = left_out(files)
    if not found_images:
        raise FolderError(
            f"Expected images ({', '.join(sorted(suffixes))}) in the folder {folder}, but got none among its "
            f"{len(files)} files{f' ({others})' if others else ''}. Correct the path or convert the files."
        )
    if others:
        logger.warning("%s: %s. Save them as PNG or JPEG to use them.", folder, others)
    return found_images


def normal(name: str) -> str:
    """Return a file's name in the form in which names are compared: Unicode's NFC."""
    return unicodedata.normalize("NFC", name)


def _by_name(folder: Path, files: Iterable[Path]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for path in files:
        name = normal(path.relative_to(folder).as_posix())
        if name in named:
            raise FolderError(
                f"Expected files of different names in the folder {folder}, but two are called {name}: one is written "
                "in Unicode's form NFC, one in NFD. Rename one of them."
            )
        named[name] = path
    return dict(sorted(named.items()))


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _by_stem(folder: Path) -> dict[str, tuple[str, Path]]:
    """Return the name and the file of each image by its path without suffix."""
    stems: dict[str, tuple[str, Path]] = {}
    for name, path in list_images(folder).items():
        stem = name[: -len(path.suffix)]
        if stem in stems:
            raise FolderError(
                f"Expected files of different names in the folder {folder}, but {stems[stem][0]} and {name} differ "
                "only in their suffixes, so the match is ambiguous. Keep one of them in the folder."
            )
        stems[stem] = name, path
    return stems


Matched = tuple[tuple[str, Path, Path], ...]
"""Name and the two files of each example."""


def _match(first: Path, second: Path) -> Matched:
    ours, theirs = _by_stem(first), _by_stem(second)
    missing = [
        f"{len(alone)} of the {len(of)} in {here} have no match in {there} ({shown(sorted(alone))})"
        for here, there, of, alone in (
            (first, second, ours, ours.keys() - theirs.keys()),
            (second, first, theirs, theirs.keys() - ours.keys()),
        )
        if alone
    ]
    if missing:
        raise FolderError(
            f"Expected files with the same names (without suffix) in {first} and {second}, but "
            f"{'; '.join(missing)}. Add or remove files until the two folders match."
        )
    return tuple((*ours[stem], theirs[stem][1]) for stem in ours)


def shown(names: Sequence[str]) -> str:
    """Return the first few names."""
    return ", ".join(map(shorten, names[:_SHOWN])) + (", ..." if len(names) > _SHOWN else "")


def _origin(files: Sequence[Sequence[Path]], how: str, index: int, *, halves: bool = False) -> Origin:
    return Origin(files=tuple(files[index]), how=how, halves=halves)


def _read_image(files: tuple[tuple[str, Path], ...], index: int) -> Example:
    name, path = files[index]
    return Example(name=name, image=torch.from_numpy(to_array(read_image(path))))


def _read_labelled(files: Matched, form: LabelForm, index: int) -> Example:
    name, image_path, label_path = files[index]
    image = read_image(image_path)
    label = _label(label_path, form)
    check_sizes(image_path, image.size, label_path, (label.shape[1], label.shape[0]))
    return Example(name=name, image=torch.from_numpy(to_array(image)), label=torch.from_numpy(label))


def _read_truth(files: Matched, form: LabelForm, index: int) -> Example:
    name, _, label_path = files[index]
    return unseen(name, label=torch.from_numpy(_label(label_path, form)))


def unseen(name: str, *, label: Tensor | None = None, category: int | None = None) -> Example:
    """Return an example whose photo was not read: its image is empty."""
    return Example(name=name, image=torch.empty(3, 0, 0, dtype=torch.uint8), label=label, category=category)


def _read_pair(files: Matched, index: int) -> Example:
    name, input_path, target_path = files[index]
    image, target = read_image(input_path), read_image(target_path)
    check_sizes(input_path, image.size, target_path, target.size)
    return Example(name=name, image=torch.from_numpy(to_array(image)), target=torch.from_numpy(to_array(target)))


def _read_halves(files: tuple[tuple[str, Path], ...], side: Literal["left", "right"], index: int) -> Example:
    name, path = files[index]
    both = torch.from_numpy(to_array(read_image(path)))
    width = both.shape[2]
    check_even(path, width)
    left, right = both[:, :, : width // 2].contiguous(), both[:, :, width // 2 :].contiguous()
    image, target = (left, right) if side == "left" else (right, left)
    return Example(name=name, image=image, target=target)


def check_even(path: Path, width: int) -> None:
    """Check the width of an image that contains two images side by side.

    Raises:
        FolderError: If it is odd.
    """
    if width % 2:
        raise FolderError(
            f"Expected {path} to contain two images of one size side by side, but its width of {width} pixels is odd. "
            "Make both halves equally wide."
        )


def check_sizes(first: Path, size: tuple[int, int], second: Path, other: tuple[int, int]) -> None:
    """Check that two files of an example have one size, (width, height) in pixels.

    Raises:
        FolderError: If they differ.
    """
    if size != other:
        raise FolderError(
            f"Expected {first} and {second} to have one size, but got {size[0]}x{size[1]} and {other[0]}x{other[1]} "
            "pixels (width x height, after EXIF orientation). Resize or rotate one of them to match the other."
        )


def _label(path: Path, form: LabelForm) -> npt.NDArray[np.uint8]:
    if form.threshold is not None:
        marked = np.asarray(read_image(path).convert("L")) >= form.threshold
        return np.array(Image.fromarray(marked.astype(np.uint8)).filter(ImageFilter.MaxFilter(2 * form.widen + 1)))
    label = read_labels(path)
    label[np.isin(label, form.void)] = VOID
    return label
