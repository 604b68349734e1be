"""Tiny replicas of VOC 2012 and SBD that fit each other: each labels a part of the same photos."""

from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

from stencilnet.data.official.files import label_png
from stencilnet.datasets.replicas.pictures import DrawnFiles, borders, jpeg, photo
from stencilnet.pictures.labels import VOID
from stencilnet.scenes import Fine, Scene

INDEX = {
    Fine.BOAT: 4,
    Fine.CAR: 7,
    Fine.PARASOL: 9,
    Fine.FENCE: 11,
    Fine.ANIMAL: 12,
    Fine.PERSON: 15,
    Fine.TREE: 16,
    Fine.BUSH: 16,
    Fine.BALLOON: 20,
}
"""VOC's class index for classes of the scenes; other classes are background."""

VOC_LISTS = {"train": range(8), "val": range(8, 13)}
"""Numbers of the scenes of each of VOC's splits."""
SBD_LISTS = {"train": (0, 3, 9, 13, 14, 15, 16, 17), "val": (5, 11, 18, 19)}
"""Numbers of the scenes of each of SBD's splits: some are in VOC's train, some in its val, others in neither."""

_PHOTOS = 20
_SEED = 2012
_HEADER = b"MATLAB 5.0 MAT-file, Platform: GLNXA64, Created on: Mon Nov  7 00:00:00 2011".ljust(116)


def voc_files() -> DrawnFiles:
    """Yield the files of VOC 2012; its photos include those of SBD."""
    folder = "VOCdevkit/VOC2012"
    held = {number for numbers in VOC_LISTS.values() for number in numbers}
    for number in range(_PHOTOS):
        scene = photo(_SEED, number)
        yield f"{folder}/JPEGImages/{_name(number)}.jpg", jpeg(scene.image)
        if number in held:
            label = _classes(scene)
            label[borders(label)] = VOID
            yield f"{folder}/SegmentationClass/{_name(number)}.png", label_png(label)
    for split, numbers in {**VOC_LISTS, "trainval": sorted(held)}.items():
        yield f"{folder}/ImageSets/Segmentation/{split}.txt", _list(numbers)


def sbd_files() -> DrawnFiles:
    """Yield the files of SBD."""
    folder = "benchmark_RELEASE/dataset"
    for split, numbers in SBD_LISTS.items():
        for number in numbers:
            scene, name = photo(_SEED, number), _name(number)
            yield f"{folder}/img/{name}.jpg", jpeg(scene.image)
            yield f"{folder}/cls/{name}.mat", _class_mat(_classes(scene))
            yield f"{folder}/inst/{name}.mat", _instance_mat(_classes(scene))
        yield f"{folder}/{split}.txt", _list(numbers)


def _name(number: int) -> str:
    return f"{2007 + number % 5}_{32 + 7 * number:06d}"


def _list(numbers: Any) -> bytes:
    return "".join(f"{_name(number)}\n" for number in numbers).encode()


def _classes(scene: Scene) -> npt.NDArray[np.uint8]:
    table = np.zeros(len(Fine), np.uint8)
    for kind, index in INDEX.items():
        table[kind] = index
    return table[scene.labels]


def _class_mat(label: npt.NDArray[np.uint8]) -> bytes:
    present = np.setdiff1d(label, [0]).astype(np.uint8)
    edges = _cells([borders((label == index).astype(np.uint8)) for index in range(1, 21)])
    return _mat("GTcls", {"Boundaries": edges, "Segmentation": label, "CategoriesPresent": present.reshape(-1, 1)})


def _instance_mat(label: npt.NDArray[np.uint8]) -> bytes:
    """Return an instance file in which each class is one object."""
    present = np.setdiff1d(label, [0]).astype(np.uint8)
    numbered = np.zeros_like(label)
    for place, index in enumerate(present, start=1):
        numbered[label == index] = place
    edges = _cells([borders((label == index).astype(np.uint8)) for index in present])
    return _mat("GTinst", {"Segmentation": numbered, "Boundaries": edges, "Categories": present.reshape(-1, 1)})


def _cells(edges: list[npt.NDArray[np.bool_]]) -> npt.NDArray[np.object_]:
    """Return a column of sparse matrices, SBD's format of borders."""
    from scipy.sparse import csc_matrix

    column = np.empty((len(edges), 1), object)
    for row, edge in enumerate(edges):
        column[row, 0] = csc_matrix(edge)
    return column


def _mat(name: str, content: dict[str, Any]) -> bytes:
    from scipy.io import savemat

    buffer = BytesIO()
    savemat(buffer, {name: content}, do_compression=True)
    # the header's text contains the time; readers ignore it
    return _HEADER + buffer.getvalue()[len(_HEADER) :]
