"""A disk cache of decoded and resized examples: pictures are decoded once, not once per epoch.

Each example has a file ``<first 2 of its key>/<key>.example``. The key is a hash of its name, its source files, how
they are read, and the size. Layout of the file:

    magic          10 bytes
    checksum       CRC-32 of all that follows, 4 bytes, little-endian like all numbers here
    length         length of the header, 4 bytes
    header         JSON: ``stamp`` (versions of the decoding and resizing libraries, size and time of each source
                   file), ``name``, ``shapes`` of image, label and target (null if absent), ``category``
    pixels         uint8: image, label, target

A damaged file, or one with another stamp (a source file has changed), is written again. Nothing is evicted: delete the
folder when the cache is no longer needed.
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
"""Packages whose other versions may give other pixels."""
_PIXELS = 2
"""Version of our own reading and resizing: increase it whenever either changes a pixel."""
_PARTS = ("image", "label", "target")


class DiskCache:
    """Examples resized to `View.resize` and kept in files, bit-equal to uncached ones.

    Several processes may share a folder: files are written whole or not at all, and processes that write the same file
    write the same bytes. If a write fails (for example, the disk is full), a single warning is logged and examples are
    no longer stored.

    Args:
        source: Examples with an `Examples.origin`.
        view: The view; only `View.resize` is used.
        folder: Folder of the cache; created at the first write.

    Raises:
        ValueError: If the folder is a file, or the examples are not made from files.
    """

    def __init__(self, source: Examples, view: View, folder: Path) -> None:
        if source.origin is None:
            raise ValueError("Expected examples made from files, but got others. Do not cache these on disk.")
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"Expected a folder to cache examples in, but {folder} is a file. Choose another folder.")
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
            return resized(self._source[index], self._view)  # raises the error that explains the file's problem
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
                "Cannot write to the example cache %s (%s). Training continues more slowly without caching further "
                "examples. Free disk space, or set `trainer.cache` to another folder.",
                self._folder,
                error.strerror or error,
            )


def encode(example: Example, stamp: list[str]) -> bytes:
    """Return the bytes of an example's cache file."""
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
    """Return the example from a cache file's bytes; None if they are damaged or have another stamp."""
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
    assert image is not None, "every example has an image"
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
    except OSError:  # absent, or unreadable and then written again
        return None
    return decode(content, stamp)


def _stamp(file: Path) -> str:
    found = file.stat()
    return f"{found.st_size} bytes, {found.st_mtime_ns} ns"
