"""The layout of each public data set under the data root: what is missing, and how derived files are made."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stencilnet.data.folders import FolderError
from stencilnet.data.official import coco, voc
from stencilnet.data.official.files import ProgressCallback, is_replica, names_in, replica_file
from stencilnet.data.official.rasterize import rasterize
from stencilnet.data.official.train_aug import build_train_aug, is_built, sbd_problems
from stencilnet.text.shortening import brief
from stencilnet.text.strict_json import loads

HANDBAGS = {"train": 138567, "val": 200}
"""Number of images in each folder of edges2handbags (Isola et al. 2017)."""
PAINTINGS = ("starry_night.jpg", "the_scream.jpg")
"""The paintings of the paper's style tasks, Table 1."""

_MANY = 1000
_WORKERS = 8


@dataclass(frozen=True, kw_only=True)
class SetLayout:
    """Layout of a data set under the data root.

    Attributes:
        name: Name of the set.
        missing: Returns what is absent or incomplete under a root, one text per item; empty if the set is ready to use.
            It is fast, since it only compares file names.
        prepare: Makes the derived files (label maps, train_aug), if the set has any. It is resumable, and does nothing
            if they are complete.
    """

    name: str
    missing: Callable[[Path], tuple[str, ...]]
    prepare: Callable[[Path, ProgressCallback], None]


def _coco_missing(year: str, root: Path) -> tuple[str, ...]:
    return tuple(line for split in coco.SPLITS for line in coco.survey(coco.split_of(root, year, split))[0])


def _coco_prepare(year: str, root: Path, progress: ProgressCallback) -> None:
    for split in coco.SPLITS:
        where = coco.split_of(root, year, split)
        problems, files = coco.survey(where)
        if problems:
            workers = min(_WORKERS, os.cpu_count() or 1) if len(files) > _MANY else 1
            rasterize(where.annotations, where.labels, progress, workers)


def _voc_missing(root: Path) -> tuple[str, ...]:
    lines = [line for split in ("train", "val") for line in voc.survey(root, split)[0]]
    # trainval has the images of train and val
    both = voc.list_file(root, "trainval")
    return (*lines, *([] if both.is_file() else [f"there is no file {both}"]))


def _sbd_missing(root: Path) -> tuple[str, ...]:
    problems = sbd_problems(root)
    if not problems and not _voc_missing(root):
        try:
            built = is_built(root)
        except FolderError as error:
            return (str(error),)
        problems += [] if built else ["train_aug of VOC 2012 and SBD is not made yet, or is from other lists"]
    return tuple(problems)


def _prepare_train_aug(root: Path, progress: ProgressCallback) -> None:
    """Join VOC 2012 and SBD if both are complete; the set that is fetched last does it."""
    if not _voc_missing(root) and not sbd_problems(root):
        build_train_aug(root, progress)


def _handbags_missing(root: Path) -> tuple[str, ...]:
    folder, lines = root / "edges2handbags", []
    try:
        expected = _replica_counts(root) if is_replica("edges2handbags", root) else HANDBAGS
    except FolderError as error:
        return (str(error),)
    for split, count in expected.items():
        found = sum(name.endswith("_AB.jpg") for name in names_in(folder / split))
        if not (folder / split).is_dir():
            lines.append(f"there is no folder {folder / split}")
        elif found < count:
            lines.append(f"{folder / split} holds {found} of the {count} images N_AB.jpg")
    return tuple(lines)


def _replica_counts(root: Path) -> dict[str, int]:
    """Return the number of images in each folder of a replica of edges2handbags."""
    path = replica_file("edges2handbags", root)
    try:
        told = loads(path.read_bytes())
        return {split: int(told[split]) for split in HANDBAGS}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FolderError(
            f"Cannot read {path}, which marks edges2handbags next to it as a tiny replica: {brief(error)}. "
            f"Delete it and {root / 'edges2handbags'}, and run `stencil data make edges2handbags --root {root}`."
        ) from error


def _styles_missing(root: Path) -> tuple[str, ...]:
    files = [root / "styles" / name for name in PAINTINGS]
    return tuple(f"there is no file {path}" for path in files if not path.is_file())


def _nothing(root: Path, progress: ProgressCallback) -> None:
    """Nothing is derived."""


LAYOUTS: dict[str, SetLayout] = {
    layout.name: layout
    for layout in (
        *(
            SetLayout(name=f"coco{year}", missing=partial(_coco_missing, year), prepare=partial(_coco_prepare, year))
            for year in ("2017", "2014")
        ),
        SetLayout(name="voc2012", missing=_voc_missing, prepare=_prepare_train_aug),
        SetLayout(name="sbd", missing=_sbd_missing, prepare=_prepare_train_aug),
        SetLayout(name="edges2handbags", missing=_handbags_missing, prepare=_nothing),
        SetLayout(name="styles", missing=_styles_missing, prepare=_nothing),
    )
}
"""The data sets by name."""
