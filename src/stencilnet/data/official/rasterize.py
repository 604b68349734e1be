"""Rasterising COCO's outlines to label maps: one PNG of class indices per image, made once.

Crowd regions become void (255). Where objects overlap, the smaller one is in front (COCO's instances have no depth
order); of two equally large objects, the one with the larger annotation id.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from warnings import catch_warnings, filterwarnings

import numpy as np
import numpy.typing as npt

from stencilnet.data.folders import FolderError
from stencilnet.data.official.annotations import Outline, Outlined, read_annotations, record_of
from stencilnet.data.official.files import ProgressCallback, begin, label_name, write_label, write_record
from stencilnet.data.official.names import COCO_INDEX
from stencilnet.pictures.labels import VOID

_CHUNK = 64
_REPORT = 50


def rasterize(annotations: Path, folder: Path, progress: ProgressCallback, workers: int = 1) -> int:
    """Make the label map of every image in an annotation file; resumes an interrupted call.

    Files are written atomically, and the folder's record marks the label maps as complete after the last one.

    Args:
        annotations: COCO's instances JSON.
        folder: Folder of the label maps, ``NAME.png`` for ``NAME.jpg``.
        progress: Called after every few images.
        workers: Number of worker processes; 1, the default, works in this process.

    Returns:
        The number of images.

    Raises:
        FolderError: If the annotations are invalid, a file cannot be written, or a process is killed.
        ValueError: If pycocotools is missing.
    """
    _pycocotools()
    source = record_of(annotations)
    images = read_annotations(annotations)
    done = begin(folder, source)
    todo = [image for image in images if label_name(image.file_name) not in done]
    what = f"label maps of {folder.name}"
    count = len(images) - len(todo)
    progress(what, count, len(images))
    for finished in _all(todo, partial(_make, folder), workers):
        count += finished
        if count % _REPORT == 0 or count == len(images):
            progress(what, count, len(images))
    write_record(folder, replace(source, files=tuple(image.file_name for image in images)))
    return len(images)


def paint(image: Outlined) -> npt.NDArray[np.uint8]:
    """Draw a label map.

    Args:
        image: An image with its outlines.

    Returns:
        Class indices ``(H, W)``: 0 background, 1-80 COCO's categories in the order of their ids, 255 crowd.

    Raises:
        ValueError: If pycocotools is missing.
    """
    codes = _pycocotools()
    label = np.zeros((image.height, image.width), np.uint8)
    merged = [(outline, _merged(codes, outline, image.height, image.width)) for outline in image.outlines]
    order = sorted(merged, key=lambda pair: (not pair[0].crowd, -int(codes.area(pair[1])), pair[0].identity))
    with catch_warnings():
        # pycocotools' arrays do not support NumPy 2's copy keyword
        filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        for outline, code in order:
            label[codes.decode(code).view(bool)] = VOID if outline.crowd else COCO_INDEX[outline.category]
    return label


def _merged(codes: Any, outline: Outline, height: int, width: int) -> Any:
    """Return pycocotools' run-length encoding of the pixels that an outline covers."""
    if not isinstance(outline.shape, Sequence):
        return codes.frPyObjects(dict(outline.shape), height, width)
    # pycocotools would read four numbers as a box
    polygons = [polygon for polygon in outline.shape if len(polygon) >= 6]
    if not polygons:
        return codes.encode(np.zeros((height, width), np.uint8, order="F"))
    return codes.merge(codes.frPyObjects(polygons, height, width))


def _make(folder: Path, image: Outlined) -> int:
    write_label(folder / label_name(image.file_name), paint(image))
    return 1


def _all(images: Sequence[Outlined], make: Callable[[Outlined], int], workers: int) -> Iterator[int]:
    if workers <= 1 or len(images) <= _CHUNK:
        yield from map(make, images)
        return
    # not fork: the caller may have threads
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            yield from pool.map(make, images, chunksize=_CHUNK)
        except BrokenProcessPool as error:
            raise FolderError(
                f"A process that draws label maps was killed, probably for lack of memory ({workers} are running). "
                "Close other programs and run the same command again to resume."
            ) from error


def _pycocotools() -> Any:
    try:
        import pycocotools.mask
    except ImportError as error:
        raise ValueError(
            "Drawing COCO's label maps needs pycocotools, which is not installed. Run: pip install 'stencilnet[data]'"
        ) from error
    return pycocotools.mask
