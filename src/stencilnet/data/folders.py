"""Examples from one's own folders: images, images with label maps, pairs, and side-by-side pairs.

Folders may be nested. Files are taken in the order of their paths; hidden files and files that are no pictures by
their names are left out, and symbolic links to folders are not followed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar, overload

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageFilter

from stencilnet.tasks.images import SUFFIXES, read_image, read_labels, to_tensor
from stencilnet.tasks.task import VOID, Example
from stencilnet.text.shortening import shorten

Of = TypeVar("Of")

_SHOWN = 3

_LONGEST = 10_000
"""Most characters of an error: torch raises one of a loader's process again with its traceback in front."""


class FolderError(ValueError):
    """A folder, or what is in it, that does not fit; says which, what was expected and found, and the remedy.

    Its text is short, whatever a file holds.
    """

    def __init__(self, message: str) -> None:
        super().__init__(shorten(message, _LONGEST))


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What decides an example's pixels, known without reading it.

    Attributes:
        files: The files that it is made of.
        how: How they are read: two ways that give other pixels differ in it.
    """

    files: tuple[Path, ...]
    how: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Examples(Sequence[Example]):
    """Examples that are read (or drawn) anew each time they are asked for; only their names are in memory.

    Attributes:
        names: The name of each example, known without reading it.
        read: Reads example i, for i in 0 ... ``len(names) - 1``; can be pickled.
        origin: Where example i is from; can be pickled. None for examples that are no files: nothing is kept of them
            in a cache on disk.
    """

    names: tuple[str, ...]
    read: Callable[[int], Example]
    origin: Callable[[int], Origin] | None = None

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
        """Return a part of the examples, in the order of `indices`; nothing is read."""
        return Examples(
            names=tuple(self.names[i] for i in indices),
            read=partial(_chosen, self.read, tuple(indices)),
            origin=None if self.origin is None else partial(_chosen, self.origin, tuple(indices)),
        )


def _chosen(function: Callable[[int], Of], chosen: tuple[int, ...], index: int) -> Of:
    return function(chosen[index])


@dataclass(frozen=True, kw_only=True)
class LabelForm:
    """How a label file's values become class indices.

    Attributes:
        void: Values that count as void (255, which always does).
        threshold: If given, the file is a gray map, and class 1 is where its 8-bit value is at least this.
        widen: By how many pixels class 1 is widened after thresholding, diagonals included.
    """

    void: tuple[int, ...] = ()
    threshold: int | None = None
    widen: int = 0


def images(folder: Path) -> Examples:
    """Return the images of a folder.

    Raises:
        FolderError: If the folder is missing or holds no image.
    """
    found = list_images(folder)
    files = tuple(found.items())
    origin = partial(_origin, tuple((path,) for _, path in files), "image")
    return Examples(names=tuple(found), read=partial(_read_image, files), origin=origin)


def labelled(image_folder: Path, label_folder: Path, form: LabelForm | None = None) -> Examples:
    """Return the images of one folder with the label maps of another; the paths match but for their suffixes.

    Reading an example raises `FolderError` if the two sizes differ (an EXIF orientation is applied first), and
    `stencilnet.tasks.images.ImageError` if a file cannot be read.

    Raises:
        FolderError: If a folder is missing or empty, or a file of one has no match in the other.
    """
    matched = _match(image_folder, label_folder)
    form = form or LabelForm()
    names = tuple(name for name, _, _ in matched)
    origin = partial(_origin, tuple(files for _, *files in matched), f"image and labels, {form}")
    return Examples(names=names, read=partial(_read_labelled, matched, form), origin=origin)


def pairs(input_folder: Path, target_folder: Path) -> Examples:
    """Return the images of one folder with the target images of another; the paths match but for their suffixes.

    Reading an example raises `FolderError` if the two sizes differ (an EXIF orientation is applied first), and
    `stencilnet.tasks.images.ImageError` if a file cannot be read.

    Raises:
        FolderError: If a folder is missing or empty, or a file of one has no match in the other.
    """
    matched = _match(input_folder, target_folder)
    origin = partial(_origin, tuple(files for _, *files in matched), "image and target")
    return Examples(names=tuple(name for name, _, _ in matched), read=partial(_read_pair, matched), origin=origin)


def side_by_side(folder: Path, input_side: Literal["left", "right"] = "left") -> Examples:
    """Return the pairs of a folder whose images hold input and target side by side (Isola et al. 2017, pix2pix).

    Reading an example raises `FolderError` if an image's width is odd, and `stencilnet.tasks.images.ImageError` if a
    file cannot be read.

    Args:
        folder: The folder of the double images.
        input_side: Which half is the input; the other is the target.

    Raises:
        FolderError: If the folder is missing or holds no image.
    """
    found = list_images(folder)
    files = tuple(found.items())
    origin = partial(_origin, tuple((path,) for _, path in files), f"halves, input {input_side}")
    return Examples(names=tuple(found), read=partial(_read_halves, files, input_side), origin=origin)


def list_images(folder: Path) -> dict[str, Path]:
    """Return the images of a folder and the folders in it, by their paths relative to it, sorted by these.

    Raises:
        FolderError: If the folder is missing or holds no image.
    """
    if not folder.is_dir():
        found = "it is a file" if folder.exists() else "there is no such folder"
        raise FolderError(f"Expected a folder of images at {folder}, but {found}. Correct the path.")
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file() and not _hidden(p, folder)}
    found_images = {name: files[name] for name in sorted(files) if files[name].suffix.lower() in SUFFIXES}
    if not found_images:
        raise FolderError(
            f"Expected images ({', '.join(sorted(SUFFIXES))}) in the folder {folder}, but got none among its "
            f"{len(files)} files. Correct the path or convert the files."
        )
    return found_images


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _by_stem(folder: Path) -> dict[str, str]:
    """Return the name of each image by its path without suffix."""
    stems: dict[str, str] = {}
    for name in list_images(folder):
        stem = name[: -len(Path(name).suffix)]
        if stem in stems:
            raise FolderError(
                f"Expected files of different names in the folder {folder}, but {stems[stem]} and {name} differ by "
                "their suffixes only, so matches are not clear. Keep one of them in the folder."
            )
        stems[stem] = name
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
            f"Expected files of the same names, but for the suffix, in {first} and {second}, but "
            f"{'; '.join(missing)}. Add or remove files until the two folders match."
        )
    return tuple((ours[stem], first / ours[stem], second / theirs[stem]) for stem in ours)


def shown(names: Sequence[str]) -> str:
    """Return the first few names."""
    return ", ".join(map(shorten, names[:_SHOWN])) + (", ..." if len(names) > _SHOWN else "")


def _origin(files: Sequence[Sequence[Path]], how: str, index: int) -> Origin:
    return Origin(files=tuple(files[index]), how=how)


def _read_image(files: tuple[tuple[str, Path], ...], index: int) -> Example:
    name, path = files[index]
    return Example(name=name, image=to_tensor(read_image(path)))


def _read_labelled(files: Matched, form: LabelForm, index: int) -> Example:
    name, image_path, label_path = files[index]
    image = read_image(image_path)
    label = _label(label_path, form)
    _check_sizes(image_path, image.size, label_path, (label.shape[1], label.shape[0]))
    return Example(name=name, image=to_tensor(image), label=torch.from_numpy(label))


def _read_pair(files: Matched, index: int) -> Example:
    name, input_path, target_path = files[index]
    image, target = read_image(input_path), read_image(target_path)
    _check_sizes(input_path, image.size, target_path, target.size)
    return Example(name=name, image=to_tensor(image), target=to_tensor(target))


def _read_halves(files: tuple[tuple[str, Path], ...], side: Literal["left", "right"], index: int) -> Example:
    name, path = files[index]
    both = to_tensor(read_image(path))
    width = both.shape[2]
    if width % 2:
        raise FolderError(
            f"Expected {path} to hold two images of one size side by side, but its width of {width} pixels is odd. "
            "Make both halves equally wide."
        )
    left, right = both[:, :, : width // 2].contiguous(), both[:, :, width // 2 :].contiguous()
    image, target = (left, right) if side == "left" else (right, left)
    return Example(name=name, image=image, target=target)


def _check_sizes(first: Path, size: tuple[int, int], second: Path, other: tuple[int, int]) -> None:
    if size != other:
        raise FolderError(
            f"Expected {first} and {second} to have one size, but got {size[0]}x{size[1]} and {other[0]}x{other[1]} "
            "pixels (width x height, after their EXIF orientation). Resize or rotate one of them to fit the other."
        )


def _label(path: Path, form: LabelForm) -> npt.NDArray[np.uint8]:
    if form.threshold is not None:
        marked = np.asarray(read_image(path).convert("L")) >= form.threshold
        return np.array(Image.fromarray(marked.astype(np.uint8)).filter(ImageFilter.MaxFilter(2 * form.widen + 1)))
    label = read_labels(path)
    label[np.isin(label, form.void)] = VOID
    return label
