"""Images sorted into one folder per class: the layout of torchvision's ``ImageFolder``."""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch

from stencilnet.data.folders import Examples, FolderError, Origin, folder_rule, list_images, normal, shown, unseen
from stencilnet.pictures.images import read_image, to_array
from stencilnet.tasks.task import Example
from stencilnet.text.fields import check_fields


@dataclass(frozen=True, kw_only=True)
class ClassFoldersSource:
    """The images of a folder with one subfolder per class; classes are numbered by the sorted names of the subfolders.

    Raises:
        ValueError: If `folder` is empty.
    """

    kind: Literal["class_folders"] = "class_folders"
    """Kind of the source."""
    folder: str
    """Parent of the class folders, absolute or relative to the data root."""

    def __post_init__(self) -> None:
        check_fields(folder_rule("folder", self.folder))

    def open(self, root: Path) -> Examples:
        """List the images; see `class_folders` for errors."""
        return class_folders(root / self.folder)

    def classes(self, root: Path) -> tuple[str, ...]:
        """Return the class names, in the order of their numbers.

        Raises:
            FolderError: If the folder is missing or has no subfolder.
        """
        return class_names(root / self.folder)


def class_names(folder: Path) -> tuple[str, ...]:
    """Return the sorted names of the class folders in NFC, without hidden ones.

    Raises:
        FolderError: If the folder is missing or has no subfolder.
    """
    if not folder.is_dir():
        found = "it is a file" if folder.exists() else "there is no such folder"
        raise FolderError(f"Expected a folder of class folders at {folder}, but {found}. Correct the path.")
    names = sorted({normal(path.name) for path in folder.iterdir() if path.is_dir() and path.name[0] != "."})
    if not names:
        raise FolderError(
            f"Expected the folder {folder} to hold a folder of images for each class, but it holds no folder. "
            "Sort the images into folders named after their classes."
        )
    return tuple(names)


def class_folders(folder: Path) -> Examples:
    """Return the images in every class folder and its subfolders, with the class number as `Example.category`.

    Reading an example raises `stencilnet.pictures.images.ImageError` if its file cannot be read.

    Raises:
        FolderError: If the folder is missing or has no subfolder, an image lies outside the class folders, or a class
            has no image.
    """
    classes = class_names(folder)
    numbers = {name: number for number, name in enumerate(classes)}
    found = list_images(folder)
    stray = [name for name in found if "/" not in name]
    if stray:
        raise FolderError(
            f"Expected every image in {folder} to lie in a class folder, but {len(stray)} lie outside "
            f"({shown(stray)}). Move them into their class folders."
        )
    counts = Counter(name.partition("/")[0] for name in found)
    empty = [name for name in classes if not counts[name]]
    if empty:
        raise FolderError(
            f"Expected every class folder in {folder} to hold images, but {len(empty)} of {len(classes)} hold none "
            f"({shown(empty)}). Add images, or remove the folders."
        )
    files = tuple((name, path, numbers[name.partition("/")[0]]) for name, path in found.items())
    return Examples(
        names=tuple(found), read=partial(_read, files), origin=partial(_origin, files), truth=partial(_truth, files)
    )


def check_classes(found: tuple[str, ...], named: tuple[str, ...], folder: Path) -> None:
    """Check that the class folders are the classes that a task names.

    Args:
        found: Names of the folders, sorted.
        named: The task's classes, in order.
        folder: Where the folders are, for the message.

    Raises:
        FolderError: If they differ; the error names missing and unknown classes.
    """
    named = tuple(map(normal, named))
    if found == named:
        return
    missing, extra = sorted(set(named) - set(found)), sorted(set(found) - set(named))
    differing = [
        *([f"{len(missing)} missing ({shown(missing)})"] if missing else []),
        *([f"{len(extra)} unknown ({shown(extra)})"] if extra else []),
    ] or ["they are in another order: classes are sorted by name"]
    raise FolderError(
        f"Expected the folders in {folder} to be the task's {len(named)} classes, but {' and '.join(differing)}. "
        "Rename folders or classes until they are the same, or leave `classes` out."
    )


def _origin(files: tuple[tuple[str, Path, int], ...], index: int) -> Origin:
    _, path, category = files[index]
    return Origin(files=(path,), how=f"image of class {category}")


def _truth(files: tuple[tuple[str, Path, int], ...], index: int) -> Example:
    name, _, category = files[index]
    return unseen(name, category=category)


def _read(files: tuple[tuple[str, Path, int], ...], index: int) -> Example:
    name, path, category = files[index]
    return Example(name=name, image=torch.from_numpy(to_array(read_image(path))), category=category)
