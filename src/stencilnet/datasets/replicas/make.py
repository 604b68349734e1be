"""`make_replica` puts a tiny replica where the real data set would be, and never overwrites anything."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from stencilnet.data.folders import FolderError
from stencilnet.data.official.files import replica_file, write_data
from stencilnet.data.official.layouts import PAINTINGS
from stencilnet.datasets.replicas import coco, pairs, photos
from stencilnet.datasets.replicas.pictures import DrawnFiles
from stencilnet.datasets.replicas.voc import sbd_files, voc_files
from stencilnet.text.strict_json import dumps


@dataclass(frozen=True, kw_only=True)
class Replica:
    """How a replica is made.

    Attributes:
        draw: Yields its files.
        places: Its files and folders under the data root, each moved there as a whole.
        derived: Files and folders derived from it later, which must not exist before.
        counts: Number of images in each folder whose images no file lists.
    """

    draw: Callable[[], DrawnFiles]
    places: tuple[str, ...]
    derived: tuple[str, ...] = ()
    counts: tuple[tuple[str, int], ...] = ()


def _coco(year: str) -> Replica:
    splits = (f"train{year}", f"val{year}")
    return Replica(
        draw=partial(coco.coco_files, year),
        places=(
            *(f"coco/{split}" for split in splits),
            *(f"coco/annotations/instances_{split}.json" for split in splits),
        ),
        derived=tuple(f"coco/labels/{split}" for split in splits),
    )


REPLICAS: dict[str, Replica] = {
    "coco2017": _coco("2017"),
    "coco2014": _coco("2014"),
    "voc2012": Replica(draw=voc_files, places=("VOCdevkit/VOC2012",)),
    "sbd": Replica(draw=sbd_files, places=("benchmark_RELEASE",)),
    "edges2handbags": Replica(draw=pairs.handbag_files, places=("edges2handbags",), counts=tuple(pairs.COUNTS.items())),
    "styles": Replica(draw=pairs.style_files, places=tuple(f"styles/{name}" for name in PAINTINGS)),
    "camvid": Replica(draw=photos.camvid_files, places=("camvid",)),
    "bsds500": Replica(draw=photos.bsds_files, places=("bsds500",)),
    "classes": Replica(draw=photos.class_files, places=photos.CLASS_SETS),
}
"""The replicas by the names of the data sets."""


def make_replica(name: str, root: Path) -> None:
    """Make a tiny replica of a data set in its official layout, with the same bytes every time.

    It has the files of the set's archives: label maps of COCO and train_aug are derived by
    `stencilnet.data.official.SetLayout.prepare`, as for the real sets. A file ``replica-NAME.json`` next to it, written
    first, distinguishes it from the real set.

    Args:
        name: Name of the data set, a key of `REPLICAS`.
        root: The data root; created if missing.

    Raises:
        FolderError: If something already exists where the replica would be, or a file cannot be written.
        ValueError: If the data set does not exist, or SciPy is missing.
    """
    if name not in REPLICAS:
        raise ValueError(f"Expected argument `name` to be one of {', '.join(REPLICAS)}, but got {name!r}.")
    replica, marker = REPLICAS[name], replica_file(name, root)
    taken = [place for place in (*replica.places, *replica.derived, marker.name) if _exists(root / place)]
    if taken:
        ours = f"a replica of {name}, or what an interrupted `make` left of it: it has the marker {marker.name}"
        raise FolderError(
            f"Expected nothing at {', '.join(str(root / place) for place in taken)}, where the replica of {name} would "
            f"be, but there is {ours if marker.name in taken else 'something already'}. A replica never overwrites a "
            f"data set: choose another --root, or remove {'all of these' if len(taken) > 1 else 'that'} first."
        )
    try:
        root.mkdir(parents=True, exist_ok=True)
        # made in a temporary folder, so that everything in place is complete
        with TemporaryDirectory(prefix=".replica-", dir=root) as drawn:
            for path, data in replica.draw():
                (Path(drawn) / path).parent.mkdir(parents=True, exist_ok=True)
                (Path(drawn) / path).write_bytes(data)
            write_data(marker, dumps(dict(replica.counts)).encode())
            for place in replica.places:
                (root / place).parent.mkdir(parents=True, exist_ok=True)
                os.rename(Path(drawn) / place, root / place)
    except OSError as error:
        raise FolderError(
            f"Cannot make the replica of {name} under {root}: {error.strerror or error} ({error.filename}). Check the "
            "folder's permissions and the free space on its disk, and that no other process writes there."
        ) from error


def _exists(path: Path) -> bool:
    if path.is_dir() and not path.is_symlink():
        return any(path.iterdir())
    return os.path.lexists(path)
