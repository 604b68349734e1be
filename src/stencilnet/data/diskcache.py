"""A cache on disk of decoded and resized examples: pictures are decoded once, not once an epoch.

A file an example, ``<first 2 of its key>/<key>.example``; the key is of its files, how they are read, and the size:

    magic          10 bytes
    checksum       CRC-32 of all that follows, 4 bytes, little-endian as all numbers here
    length         of the header, 4 bytes
    header         JSON: ``stamp`` (size and time of each source file, versions of what decodes and
                   resizes), ``name``, ``shapes`` of image, label and target (null where there is none), ``category``
    pixels         uint8: image, label, target

A file whose stamp is another one (the source has changed) or that is damaged is written anew. Nothing is evicted: a
cache that is no longer wanted is a folder to delete.
"""

import hashlib
import json
import logging
import math
import zlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stencilnet.data.folders import Examples, Origin
from stencilnet.data.transforms import View, resized
from stencilnet.storage import write_file
from stencilnet.tasks.task import Example
from stencilnet.text.strict_json import dumps

logger = logging.getLogger(__name__)

_MAGIC = b"stencilex1"
_DECODERS = ("pillow", "torch", "torchvision")
"""Another version of these may give other pixels."""
_PIXELS = 1
"""Version of our own reading and resizing: raise it whenever either changes a pixel."""
_PARTS = ("image", "label", "target")


class DiskCache:
    """Examples at a view's stored size, kept in files; equal to the last bit to those made anew.

    Several processes may share a folder: files come whole or not at all, and two that write the same one write the
    same bytes. Where nothing can be written (a full disk), one warning says so and examples are made anew.

    Args:
        source: Examples that know their files.
        view: Of it only `View.resize` matters.
        folder: Where the files go; made at the first write.

    Raises:
        ValueError: If the folder is a file, or the examples are no files.
    """

    def __init__(self, source: Examples, view: View, folder: Path) -> None:
        if source.origin is None:
            raise ValueError("Expected examples that are made of files to cache on disk. Leave others without a cache.")
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"Expected a folder to cache examples in, but {folder} is a file. Name another.")
        self._source = source
        self._origin: Callable[[int], Origin] = source.origin
        self._view = view
        self._folder = folder
        self._writes = True
        self._versions = [f"pixels {_PIXELS}", *(f"{name} {version(name)}" for name in _DECODERS)]

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Example:
        origin = self._origin(index)
        path = self._path(self._source.names[index], origin)
        try:
            stamp = [*self._versions, *(_stamp(file) for file in origin.files)]
        except OSError:
            return resized(self._source[index], self._view)  # which says what is wrong with the file
        kept = _read(path, stamp)
        if kept is not None:
            return kept
        example = resized(self._source[index], self._view)
        if self._writes:
            self._write(path, encode(example, stamp))
        return example

    def _path(self, name: str, origin: Origin) -> Path:
        files = [str(file.absolute()) for file in origin.files]
        what = dumps([name, origin.how, files, self._view.resize])
        key = hashlib.blake2b(what.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
        return self._folder / key[:2] / f"{key}.example"

    def _write(self, path: Path, content: bytes) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, content, sync=False)
        except OSError as error:
            self._writes = False
            logger.warning(
                "Cannot write to the cache of examples %s (%s): going on without it, more slowly. What is in it is "
                "still used. Make room, or set `trainer.cache` to another folder.",
                self._folder,
                error.strerror or error,
            )


def encode(example: Example, stamp: list[str]) -> bytes:
    """Return an example as the bytes of its file."""
    parts = {"image": example.image, "label": example.label, "target": example.target}
    pixels = b"".join(part.contiguous().numpy().tobytes() for part in parts.values() if part is not None)
    header = {
        "stamp": stamp,
        "name": example.name,
        "category": example.category,
        "shapes": {name: None if part is None else list(part.shape) for name, part in parts.items()},
    }
    text = dumps(header).encode()
    rest = len(text).to_bytes(4, "little") + text + pixels
    return _MAGIC + zlib.crc32(rest).to_bytes(4, "little") + rest


def decode(content: bytearray, stamp: list[str]) -> Example | None:
    """Return the example of a file's bytes; None if they are damaged, or made under another stamp."""
    body = len(_MAGIC) + 4
    checksum = zlib.crc32(memoryview(content)[body:]).to_bytes(4, "little")
    if not content.startswith(_MAGIC + checksum) or len(content) < body + 4:
        return None
    end = body + 4 + int.from_bytes(content[body : body + 4], "little")
    header: dict[str, Any] = json.loads(content[body + 4 : end])
    if header["stamp"] != stamp:
        return None
    parts: dict[str, Tensor | None] = {}
    for name in _PARTS:
        shape = header["shapes"][name]
        if shape is None:
            parts[name] = None
            continue
        count = math.prod(shape)
        parts[name] = torch.frombuffer(content, dtype=torch.uint8, count=count, offset=end).view(shape)
        end += count
    image = parts["image"]
    assert image is not None, "every example has one"
    return Example(
        name=header["name"],
        image=image,
        label=parts["label"],
        target=parts["target"],
        category=header["category"],
    )


def _read(path: Path, stamp: list[str]) -> Example | None:
    try:
        content = bytearray(path.read_bytes())
    except OSError:  # not there; or unreadable, and then it is made anew
        return None
    return decode(content, stamp)


def _stamp(file: Path) -> str:
    found = file.stat()
    return f"{found.st_size} bytes, {found.st_mtime_ns} ns"
