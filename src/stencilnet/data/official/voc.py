"""PASCAL VOC 2012 in its official layout, and train_aug, its training set joined with SBD (Everingham et al. 2010).

Under the data root: ``VOCdevkit/VOC2012`` with ``JPEGImages/*.jpg``, ``SegmentationClass/*.png`` (palette PNGs, 255 is
void) and ``ImageSets/Segmentation/*.txt``; for train_aug also ``SegmentationClassAug/*.png`` and ``train_aug.txt``,
which `stencilnet.data.official.train_aug` makes.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from stencilnet.data.folders import Examples, FolderError, Origin, shown
from stencilnet.data.official.files import absent, complain, get_again, read_labelled, read_truth
from stencilnet.tasks.task import Example
from stencilnet.text.fields import check_fields
from stencilnet.text.shortening import brief

SPLITS = ("train", "val", "trainval", "train_aug")


@dataclass(frozen=True, kw_only=True)
class VocSource:
    """VOC 2012's photos with label maps of 21 classes (`stencilnet.data.official.VOC_CLASSES`).

    Raises:
        ValueError: If the split does not exist.
    """

    kind: Literal["voc"] = "voc"
    """Kind of the source."""
    split: Literal["train", "val", "trainval", "train_aug"]
    """An official split, or ``train_aug``: VOC's train and SBD without VOC's val (10,582 images)."""

    def __post_init__(self) -> None:
        check_fields(("split", self.split in SPLITS, f"to be one of {', '.join(SPLITS)}, but got {self.split!r}"))

    def open(self, root: Path) -> Examples:
        """List the images, without reading them or their labels.

        Raises:
            FolderError: If a listed image or label map is missing, or train_aug is not made or has images of val.
        """
        problems, names = survey(root, self.split)
        complain(problems, remedy(root, self.split))
        where = (root, self.split, names)
        origin, truth = partial(_origin, *where), partial(_truth, *where)
        return Examples(names=names, read=partial(_read, *where), origin=origin, truth=truth)


def voc_folder(root: Path) -> Path:
    """Return VOC 2012's folder under the data root."""
    return root / "VOCdevkit" / "VOC2012"


def list_file(root: Path, split: str) -> Path:
    """Return the file that lists the images of a split."""
    return voc_folder(root) / "ImageSets" / "Segmentation" / f"{split}.txt"


def labels_folder(root: Path, split: str) -> Path:
    """Return the folder of the label maps of a split."""
    return voc_folder(root) / ("SegmentationClassAug" if split == "train_aug" else "SegmentationClass")


def read_names(path: Path) -> tuple[str, ...]:
    """Return the names in a list of images, which has one per line, without suffixes.

    Raises:
        FolderError: If the list is missing, empty or invalid.
    """
    try:
        names = tuple(line.strip() for line in path.read_text("ascii").splitlines() if line.strip())
    except (OSError, ValueError) as error:
        problem = "there is no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise FolderError(f"cannot read the list of images {path}: {problem}") from error
    strange = [name for name in names if not name.replace("_", "").isalnum()]
    if not names or strange or len(set(names)) < len(names):
        problem = f"an invalid name {brief(strange[0])}" if strange else "a name twice" if names else "an empty file"
        raise FolderError(f"expected {path} to hold the name of an image in each line, but got {problem}")
    return names


def remedy(root: Path, split: str) -> str:
    """Return the instruction that makes a split complete."""
    return get_again(("voc2012", "sbd") if split == "train_aug" else ("voc2012",), root)


def survey(root: Path, split: str) -> tuple[list[str], tuple[str, ...]]:
    """Return texts on what is absent or incomplete in a split, and the names of its images if known."""
    listed = list_file(root, split)
    if split == "train_aug" and not listed.is_file():
        return [f"train_aug is not made yet: there is no file {listed}"], ()
    try:
        names = read_names(listed)
        held = set(read_names(list_file(root, "val"))) if split == "train_aug" else set()
    except FolderError as error:
        return [str(error)], ()
    leaked = sorted(held & set(names))
    found = [
        absent(voc_folder(root) / "JPEGImages", [f"{name}.jpg" for name in names], f"{listed.name} lists"),
        absent(labels_folder(root, split), [f"{name}.png" for name in names], f"{listed.name} lists"),
        f"{listed} names {len(leaked)} images of val ({shown(leaked)}): remove it, so that it is made again"
        if leaked
        else None,
    ]
    return [problem for problem in found if problem is not None], names


def _files(root: Path, split: str, name: str) -> tuple[Path, Path]:
    return voc_folder(root) / "JPEGImages" / f"{name}.jpg", labels_folder(root, split) / f"{name}.png"


def _origin(root: Path, split: str, names: tuple[str, ...], index: int) -> Origin:
    return Origin(files=_files(root, split, names[index]), how="as stored")


def _truth(root: Path, split: str, names: tuple[str, ...], index: int) -> Example:
    _, label = _files(root, split, names[index])
    return read_truth(names[index], label)


def _read(root: Path, split: str, names: tuple[str, ...], index: int) -> Example:
    photo, label = _files(root, split, names[index])
    again = f"Delete both, since one of them is not official. {remedy(root, split)}"
    return read_labelled(names[index], photo, label, again)
