"""`make_replica`: put a tiny replica where the real data set would lie, and never over anything."""

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
        places: Where it lies under the data root: what is moved there as a whole.
        derived: What is made of it later, which must not be there either.
        counts: Number of images in each folder that no list counts.
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
    """Make a tiny replica of a data set in its official layout; the same bytes every time.

    It is as the set's archives unpack: label maps of COCO and train_aug are derived by
    `stencilnet.data.official.SetLayout.prepare`, as for the real sets. A file ``replica-NAME.json`` beside it, there
    before any of it, tells it from the real one.

    Args:
        name: Name of the data set, a key of `REPLICAS`.
        root: The data root; made if it is not there.

    Raises:
        FolderError: If something lies already where the replica would, or a file cannot be written.
        ValueError: If there is no such data set, or SciPy is missing.
    """
    if name not in REPLICAS:
        raise ValueError(f"Expected argument `name` to be one of {', '.join(REPLICAS)}, but got {name!r}.")
    replica, marker = REPLICAS[name], replica_file(name, root)
    taken = [place for place in (*replica.places, *replica.derived, marker.name) if _exists(root / place)]
    if taken:
        ours = f"a replica of {name}, or what an interrupted `make` left of it: it has the marker {marker.name}"
        raise FolderError(
            f"Expected nothing at {', '.join(str(root / place) for place in taken)}, where the replica of {name} would "
            f"lie, but there is {ours if marker.name in taken else 'something already'}. A replica is never written "
            f"over a data set: name another --root, or remove {'all of these' if len(taken) > 1 else 'that'} first."
        )
    try:
        root.mkdir(parents=True, exist_ok=True)
        # drawn aside, so that what is in place is whole
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
            "folder's permissions and the room on its disk, and that nobody else writes there."
        ) from error


def _exists(path: Path) -> bool:
    if path.is_dir() and not path.is_symlink():
        return any(path.iterdir())
    return os.path.lexists(path)
