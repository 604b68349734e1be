"""MS COCO in its official layout: photos, and 81-class label maps drawn from the instance outlines (Lin et al. 2014).

Under the data root: ``coco/train2017/*.jpg``, ``coco/annotations/instances_train2017.json`` and the derived
``coco/labels/train2017/*.png``; the same for ``val2017``, ``train2014`` and ``val2014``.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from stencilnet.data.folders import Examples, FolderError, Origin
from stencilnet.data.official.annotations import listed_quickly, made_from
from stencilnet.data.official.files import (
    absent,
    complain,
    get_again,
    label_name,
    read_labelled,
    read_photo,
    read_record,
    read_truth,
)
from stencilnet.tasks.task import Example
from stencilnet.text.fields import check_fields

YEARS = ("2014", "2017")
SPLITS = ("train", "val")


@dataclass(frozen=True, kw_only=True)
class Split:
    """The paths of one split.

    Attributes:
        images: Folder of the photos.
        labels: Folder of the label maps.
        annotations: The instances JSON.
    """

    images: Path
    labels: Path
    annotations: Path


def split_of(root: Path, year: str, split: str) -> Split:
    """Return the paths of a split under the data root."""
    name, coco = f"{split}{year}", root / "coco"
    return Split(
        images=coco / name, labels=coco / "labels" / name, annotations=coco / "annotations" / f"instances_{name}.json"
    )


@dataclass(frozen=True, kw_only=True)
class CocoSource:
    """MS COCO's photos, with or without label maps of 81 classes (`stencilnet.data.official.COCO_CLASSES`).

    An image without annotations is all background; crowds are void. Examples are sorted by file name.

    Raises:
        ValueError: If a setting is invalid.
    """

    kind: Literal["coco"] = "coco"
    """Kind of the source."""
    year: Literal["2014", "2017"] = "2017"
    """Edition of the data set."""
    split: Literal["train", "val"]
    """Split of the data set."""
    labels: bool = True
    """Whether to load label maps with the photos. They must exist in any case: the list of photos is made with them."""

    def __post_init__(self) -> None:
        check_fields(
            ("year", self.year in YEARS, f"to be '2014' or '2017', but got {self.year!r}"),
            ("split", self.split in SPLITS, f"to be 'train' or 'val', but got {self.split!r}"),
        )

    def open(self, root: Path) -> Examples:
        """List the images, without reading them or the annotations.

        Raises:
            FolderError: If a listed image is missing, or a label map is missing or made from other annotations.
        """
        where = split_of(root, self.year, self.split)
        problems, files = survey(where)
        complain(problems, remedy(root, self.year))
        read = partial(_read_labelled, where, remedy(root, self.year)) if self.labels else partial(_read, where.images)
        truth = partial(_read_truth, where.labels, files) if self.labels else None
        origin = partial(_origin, where, self.labels, files)
        return Examples(names=files, read=partial(read, files), origin=origin, truth=truth)


def remedy(root: Path, year: str) -> str:
    """Return the instruction that makes a split complete."""
    return get_again((f"coco{year}",), root)


def survey(where: Split) -> tuple[list[str], tuple[str, ...]]:
    """Return texts on what is absent or incomplete in a split, and the file names of its images if known."""
    problems: list[str] = []
    files: tuple[str, ...] = ()
    if not where.annotations.is_file():
        problems.append(f"there is no file {where.annotations}")
    try:
        record = read_record(where.labels)
        if record is None or not record.files:
            state = "not made yet" if record is None else "incomplete"
            problems.append(f"the label maps of {where.annotations.name} in {where.labels} are {state}")
            files = listed_quickly(where.annotations) if where.annotations.is_file() else ()
        elif where.annotations.is_file() and not made_from(record, where.annotations):
            problems.append(
                f"the label maps in {where.labels} are made from other annotations than {where.annotations}"
            )
            files = listed_quickly(where.annotations)
        else:
            files = record.files
            lost = absent(where.labels, [label_name(name) for name in files], "belong to its images")
            problems.extend([] if lost is None else [lost])
    except FolderError as error:
        problems.append(str(error).rstrip("."))
    lost = absent(where.images, files, f"{where.annotations.name} lists")
    problems.extend([] if lost is None else [lost])
    return problems, files


def _origin(where: Split, labels: bool, files: tuple[str, ...], index: int) -> Origin:
    photo, label = where.images / files[index], where.labels / label_name(files[index])
    return Origin(files=(photo, label) if labels else (photo,), how="as stored")


def _read(images: Path, files: tuple[str, ...], index: int) -> Example:
    return read_photo(files[index], images / files[index])


def _read_truth(labels: Path, files: tuple[str, ...], index: int) -> Example:
    return read_truth(files[index], labels / label_name(files[index]))


def _read_labelled(where: Split, again: str, files: tuple[str, ...], index: int) -> Example:
    name = files[index]
    label = where.labels / label_name(name)
    return read_labelled(name, where.images / name, label, f"Delete both, since one of them is not official. {again}")
