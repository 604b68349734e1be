"""train_aug: VOC 2012's training set joined with SBD's annotations of VOC 2011 (Hariharan et al. 2011).

The set is VOC 2012 train and all of SBD (its train and val), without VOC 2012 val: 10,582 images. Label maps are VOC's
own for its 1,464 images of train (with void borders), and SBD's, which have no void, for the others. The photos are VOC
2012's, which include all of SBD's.
"""

import hashlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stencilnet.data.folders import FolderError
from stencilnet.data.official.files import (
    ProgressCallback,
    Record,
    absent,
    begin,
    complain,
    write_data,
    write_label,
    write_record,
)
from stencilnet.data.official.names import VOC_CLASSES
from stencilnet.data.official.voc import labels_folder, list_file, read_names, remedy, survey, voc_folder
from stencilnet.pictures.labels import VOID, read_labels

OFFICIAL_LISTS = {"VOC train": 1464, "VOC val": 1449, "SBD train": 8498, "SBD val": 2857}
"""Number of images in each of the official lists."""
OFFICIAL_COUNT = 10582
"""Number of images of train_aug with the official lists."""

_REPORT = 50
_logger = logging.getLogger(__name__)


def sbd_folder(root: Path) -> Path:
    """Return SBD's folder under the data root."""
    return root / "benchmark_RELEASE" / "dataset"


def train_aug_names(root: Path) -> tuple[str, ...]:
    """Return the sorted names of train_aug's images; log a warning if lists of official length do not give 10,582.

    Raises:
        FolderError: If a list is missing or invalid.
    """
    lists = {
        **{f"VOC {split}": read_names(list_file(root, split)) for split in ("train", "val")},
        **{f"SBD {split}": read_names(sbd_folder(root) / f"{split}.txt") for split in ("train", "val")},
    }
    joined = {*lists["VOC train"], *lists["SBD train"], *lists["SBD val"]} - set(lists["VOC val"])
    official = {name: len(names) for name, names in lists.items()} == OFFICIAL_LISTS
    if official and len(joined) != OFFICIAL_COUNT:
        _logger.warning(
            "The lists of VOC 2012 and SBD under %s are as long as the official ones, but train_aug has %d images "
            "instead of %d. Check that they are from the same release.",
            *(root, len(joined), OFFICIAL_COUNT),
        )
    return tuple(sorted(joined))


def build_train_aug(root: Path, progress: ProgressCallback) -> int:
    """Make ``SegmentationClassAug/*.png`` and, last, ``ImageSets/Segmentation/train_aug.txt``.

    It resumes an interrupted call; files are written atomically.

    Args:
        root: The data root, with VOC 2012 and SBD under it.
        progress: Called after every few images.

    Returns:
        The number of images.

    Raises:
        FolderError: If a part of VOC 2012 or SBD is absent or damaged, or a file cannot be written.
        ValueError: If SciPy is missing.
    """
    _loadmat()
    problems, own = survey(root, "train")
    complain([*problems, *survey(root, "val")[0], *sbd_problems(root)], remedy(root, "train_aug"))
    names = train_aug_names(root)
    listed = f"{list_file(root, 'train').name} and SBD's lists name"
    photos = absent(voc_folder(root) / "JPEGImages", [f"{name}.jpg" for name in names], listed)
    complain([photos], remedy(root, "train_aug"))
    if is_built(root):
        return len(names)
    list_file(root, "train_aug").unlink(missing_ok=True)
    folder, text = labels_folder(root, "train_aug"), "".join(f"{name}\n" for name in names).encode()
    # the record depends on which label maps are VOC's own
    source = text + "".join(own).encode()
    record = Record(source="VOC 2012 and SBD", size=len(source), sha256=hashlib.sha256(source).hexdigest())
    done = begin(folder, record)
    taken = set(own)
    for count, name in enumerate(names, start=1):
        if f"{name}.png" not in done:
            _write(root, name, taken, folder)
        if count % _REPORT == 0 or count == len(names):
            progress("label maps of train_aug", count, len(names))
    write_record(folder, record)
    write_data(list_file(root, "train_aug"), text)
    return len(names)


def is_built(root: Path) -> bool:
    """Return whether train_aug is complete and made from the current lists.

    Raises:
        FolderError: If a list is missing or invalid.
    """
    problems, names = survey(root, "train_aug")
    return not problems and sorted(names) == sorted(train_aug_names(root))


def sbd_problems(root: Path) -> list[str]:
    """Return texts on what SBD lacks."""
    problems: list[str | None] = []
    for split in ("train", "val"):
        path = sbd_folder(root) / f"{split}.txt"
        try:
            names = read_names(path)
        except FolderError as error:
            problems.append(str(error))
        else:
            listed = f"SBD's {path.name} lists"
            problems.append(absent(sbd_folder(root) / "cls", [f"{name}.mat" for name in names], listed))
    return [problem for problem in problems if problem is not None]


def _write(root: Path, name: str, own: set[str], folder: Path) -> None:
    if name in own:
        label = read_labels(labels_folder(root, "train") / f"{name}.png")
    else:
        label = read_mat(sbd_folder(root) / "cls" / f"{name}.mat")
    write_label(folder / f"{name}.png", label)


def read_mat(path: Path) -> npt.NDArray[np.uint8]:
    """Read the class indices of one of SBD's MATLAB files, ``GTcls.Segmentation``.

    Args:
        path: A file of SBD's folder ``cls``.

    Returns:
        Class indices ``(H, W)``.

    Raises:
        FolderError: If the file is damaged or is not a label map.
        ValueError: If SciPy is missing.
    """
    loadmat = _loadmat()
    try:
        label = np.asarray(loadmat(path)["GTcls"]["Segmentation"][0, 0])
    except Exception as error:  # SciPy raises almost anything on damaged bytes
        raise FolderError(
            f"Cannot read {path}: it is damaged or not a label map of SBD ({error!r}). Unpack or download SBD again."
        ) from error
    if label.ndim != 2 or label.dtype != np.uint8 or not np.isin(label, [*range(len(VOC_CLASSES)), VOID]).all():
        raise FolderError(
            f"Expected {path} to hold class indices in 0-{len(VOC_CLASSES) - 1} (H, W) uint8, but got {label.dtype} of "
            f"shape {label.shape} with values up to {label.max(initial=0)}. Unpack or download SBD again."
        )
    return label


def _loadmat() -> Any:
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise ValueError(
            "Reading SBD's label maps (MATLAB files) needs SciPy, which is not installed. Run: pip install "
            "'stencilnet[data]'"
        ) from error
    return loadmat
