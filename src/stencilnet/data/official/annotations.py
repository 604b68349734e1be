"""COCO's instances JSON, checked: the images, and the outlines of the objects in each (Lin et al. 2014)."""

import hashlib
import math
import mmap
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Never

from stencilnet.data.folders import FolderError
from stencilnet.data.official.files import Record
from stencilnet.data.official.names import COCO_CATEGORIES
from stencilnet.text.shortening import brief
from stencilnet.text.strict_json import loads

_BLOCK = 1 << 22
_FILE_NAME = re.compile(rb'"file_name":\s*"([^"\\]+)"')


@dataclass(frozen=True, kw_only=True)
class Outline:
    """One annotated object, or a crowd of objects.

    Attributes:
        identity: The annotation's id.
        category: COCO's category id.
        crowd: Whether it is a region of objects that are not annotated separately.
        shape: Polygons ``[[x, y, x, y, ...], ...]``, or an uncompressed run-length encoding ``{"counts", "size"}``.
    """

    identity: int
    category: int
    crowd: bool
    shape: Sequence[Sequence[float]] | Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Outlined:
    """An image and the outlines of its objects."""

    file_name: str
    height: int
    width: int
    outlines: tuple[Outline, ...]


def record_of(path: Path) -> Record:
    """Return the record of an annotation file: name, size, SHA-256 and modification time.

    Raises:
        FolderError: If it is missing or cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        found = path.stat()
    except OSError as error:
        raise FolderError(f"Cannot read the annotations {path}: {error.strerror}. {_REMEDY}") from error
    return Record(source=path.name, size=found.st_size, sha256=digest.hexdigest(), modified=found.st_mtime_ns)


def made_from(record: Record, path: Path) -> bool:
    """Return whether a record describes this annotation file, which is read only if its modification time differs.

    Raises:
        FolderError: If it is missing or cannot be read.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise FolderError(f"Cannot read the annotations {path}: {error.strerror}. {_REMEDY}") from error
    if found.st_size != record.size or found.st_mtime_ns == record.modified:
        return found.st_size == record.size
    return record.same_source(_record_at(path, found.st_mtime_ns))


@cache
def _record_at(path: Path, modified: int) -> Record:  # noqa: ARG001 (part of the cache key)
    """Hash an annotation file once: a copied data set has other times, and is opened for many tasks."""
    return record_of(path)


def listed_quickly(path: Path) -> tuple[str, ...]:
    """Return the file names of the images in an annotation file, without checking the rest of it.

    Raises:
        FolderError: If the file is empty, is truncated, or lists no images.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            # in the official files the images precede the annotations, which are a thousand times longer
            before = text.find(b'"annotations"')
            found = _FILE_NAME.findall(text, 0, before) if before > 0 else []
            found = found or _FILE_NAME.findall(text)
            whole = text[-64:].rstrip().endswith(b"}")
    except (OSError, ValueError) as error:
        raise FolderError(f"Cannot read the annotations {path}: {error}. {_REMEDY}") from error
    if not whole or not found:
        problem = "it is truncated" if not whole else "it lists no images"
        raise FolderError(f"Cannot read the annotations {path}: {problem}. {_REMEDY}")
    return tuple(name.decode() for name in found)


def read_annotations(path: Path) -> list[Outlined]:
    """Read and fully check an annotation file; COCO's training set takes half a minute and 4 GB of memory.

    Raises:
        FolderError: If the file is missing, corrupt or truncated, has categories other than COCO's 80, or has an
            invalid outline or one of an image or category that it does not list.
    """
    try:
        content = loads(path.read_bytes())
    except OSError as error:
        raise FolderError(f"Cannot read the annotations {path}: {error.strerror}. {_REMEDY}") from error
    except ValueError as error:
        raise FolderError(
            f"Cannot read the annotations {path}: corrupt or truncated JSON ({error}). {_REMEDY}"
        ) from error
    wanted = ("images", "annotations", "categories")
    lists = [content.get(key) if isinstance(content, dict) else None for key in wanted]
    lost = [key for key, found in zip(wanted, lists, strict=True) if not isinstance(found, list)]
    if lost:
        _refuse(path, f"to hold lists of images, annotations and categories, but got no {' and no '.join(lost)}")
    images, annotations, categories = (found or [] for found in lists)
    known = _categories(path, categories)
    sizes = _images(path, images)
    outlines: dict[int, list[Outline]] = {identity: [] for identity in sizes}
    for place, annotation in enumerate(annotations):
        image, outline = _outline(path, place, annotation, known, sizes)
        outlines[image].append(outline)
    return sorted(_joined(sizes, outlines), key=lambda image: image.file_name)


_Sizes = dict[int, tuple[str, int, int]]
"""File name, height and width by image id."""


def _joined(sizes: _Sizes, outlines: Mapping[int, list[Outline]]) -> Iterator[Outlined]:
    for identity, (name, height, width) in sizes.items():
        yield Outlined(file_name=name, height=height, width=width, outlines=tuple(outlines[identity]))


def _categories(path: Path, categories: list[Any]) -> set[int]:
    found = {}
    for category in categories:
        if not isinstance(category, dict) or not _is_int(category.get("id")):
            _refuse(path, f"to list categories with id and name, but got {brief(category)}")
        found[category["id"]] = category.get("name")
    for identity, name in found.items():
        if COCO_CATEGORIES.get(identity) != name:
            official = COCO_CATEGORIES.get(identity, "no category")
            _refuse(
                path,
                f"to have COCO's 80 categories, but its category {identity} is {brief(name)} (COCO's: {official!r})",
            )
    return set(found)


def _images(path: Path, images: list[Any]) -> _Sizes:
    sizes: _Sizes = {}
    names = set()
    for image in images:
        fields: Any = image if isinstance(image, dict) else {}
        name, identity, height, width = (fields.get(key) for key in ("file_name", "id", "height", "width"))
        plain = isinstance(name, str) and Path(name).name == name and name.endswith(".jpg")
        if not plain or not all(_is_int(n) and n >= 0 for n in (identity, height, width)) or not height or not width:
            _refuse(path, f"to list images with id, file_name (*.jpg), height and width, but got {brief(image)}")
        if identity in sizes or name in names:
            _refuse(path, f"to list every image once, but it lists image {identity} ({name}) twice")
        names.add(name)
        sizes[identity] = (name, height, width)
    if not sizes:
        _refuse(path, "to list images, but got none")
    return sizes


def _outline(path: Path, place: int, annotation: Any, known: set[int], sizes: _Sizes) -> tuple[int, Outline]:
    fields: Any = annotation if isinstance(annotation, dict) else {}
    identity, image, category = fields.get("id"), fields.get("image_id"), fields.get("category_id")
    if not all(_is_int(number) for number in (identity, image, category)) or fields.get("iscrowd") not in (0, 1):
        wanted = "with id, image_id, category_id and iscrowd (0 or 1)"
        _refuse(path, f"to list annotations {wanted}, but number {place} is {brief(annotation, 200)}")
    if category not in known:
        _refuse(path, f"to have a category {category}, which annotation {identity} names, but got {len(known)} others")
    if image not in sizes:
        _refuse(path, f"to list an image {image}, which annotation {identity} names, but it does not")
    shape = fields.get("segmentation")
    _, height, width = sizes[image]
    problem = _problem_of_code(shape, height, width) if isinstance(shape, dict) else _problem(shape, height, width)
    if problem is not None:
        _refuse(
            path, f"to outline objects by polygons or uncompressed run lengths, but annotation {identity} {problem}"
        )
    return image, Outline(identity=identity, category=category, crowd=fields["iscrowd"] == 1, shape=shape)


def _problem(polygons: Any, height: int, width: int) -> str | None:
    """Return what is wrong with an outline of polygons, some of which would crash pycocotools; None if it is valid.

    Polygons without area are valid: the official files have them. They cover no pixel.
    """
    if not isinstance(polygons, list) or not polygons:
        return "has no outline"
    reach = 2 * max(height, width)
    for polygon in polygons:
        # with 60 million numbers, every check costs time
        if not isinstance(polygon, list) or len(polygon) % 2 or not set(map(type, polygon)) <= {int, float}:
            return "has a polygon that is not a list of pairs of numbers"
        if polygon and not (-reach <= min(polygon) and max(polygon) <= reach and math.isfinite(sum(polygon))):
            return f"has a polygon far outside its image of {width}x{height} pixels"
    return None


def _problem_of_code(code: Mapping[str, Any], height: int, width: int) -> str | None:
    counts = code.get("counts")
    if code.get("size") != [height, width]:
        return f"has run lengths of size {brief(code.get('size'))} in an image of height {height} and width {width}"
    if not isinstance(counts, list) or not all(_is_int(n) and n >= 0 for n in counts):
        return "has run lengths that are not a list of non-negative integers"
    if sum(counts) != height * width:
        return f"has run lengths of {sum(counts)} pixels in an image of {height * width} pixels"
    return None


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_REMEDY = "Copy or unpack the official annotation file again."


def _refuse(path: Path, expected: str) -> Never:
    raise FolderError(f"Expected the annotations {path} {expected}. {_REMEDY}")
