"""RGB of 16 bits per channel, for which Pillow has no mode: PyAV (the extra `video`) reads it from PNG and TIFF."""

from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageFile, ImageOps

Deep: TypeAlias = npt.NDArray[np.uint16]
"""A picture of 16 bits per channel: RGB ``(H, W, 3)``, or with opacity ``(H, W, 4)``; 65535 is 1."""

TOP = 65535
"""The largest value of 16 bits."""

_DECODERS = MappingProxyType({"PNG": "png", "TIFF": "tiff"})
"""Formats whose RGB is read with 16 bits, and FFmpeg's names of their decoders."""

_LAYOUTS = frozenset({"rgb48be", "rgb48le", "rgba64be", "rgba64le"})
"""FFmpeg's names of RGB of 16 bits per channel."""


class DeepFile(NamedTuple):
    """A file of RGB with 16 bits, or its bytes; FFmpeg's name of its decoder, and its EXIF orientation."""

    file: Path | bytes
    codec: str
    orientation: int


def deep_file(image: Image.Image, file: Path | bytes) -> DeepFile | None:
    """Return what is needed to read a file with 16 bits; None if it is not RGB of 16 bits, of which Pillow reads 8.

    Args:
        image: The file as Pillow has opened it, before its pixels are loaded: then Pillow forgets how they are stored,
            and turns a TIFF.
        file: The file, or its bytes.
    """
    codec = _DECODERS.get(image.format or "")
    if codec is None or image.mode not in ("RGB", "RGBA") or not isinstance(image, ImageFile.ImageFile):
        return None
    if not any(";16" in str(tile[3]) for tile in image.tile):  # Pillow's name of the stored form, such as RGB;16B
        return None
    return DeepFile(file, codec, image.getexif().get(ExifTags.Base.Orientation, 1))


def read_deep(stored: DeepFile, rgb: Image.Image) -> Deep | str:
    """Read RGB of 16 bits.

    FFmpeg misreads some TIFF files without an error, such as those in tiles, so its pixels count only if their upper
    bits are what Pillow has read.

    Args:
        stored: The file.
        rgb: What Pillow has read, upright.

    Returns:
        The upright picture ``(H, W, 3)``; or why it cannot be had, as a clause.

    Raises:
        OSError: If the file cannot be read any more.
    """
    if find_spec("av") is None:
        return "PyAV is not installed (pip install 'stencilnet[video]')"
    file = stored.file
    found = _decoded(file if isinstance(file, bytes) else file.read_bytes(), stored.codec)
    if found is not None:
        found = np.dstack([_turned(found[..., channel], stored.orientation) for channel in range(3)])
    if found is None or not np.array_equal((found >> 8).astype(np.uint8), np.asarray(rgb)):
        return "PyAV cannot read this kind of file"
    return found


def _decoded(data: bytes, codec: str) -> Deep | None:
    import av  # where it is needed: it is an extra

    decoder = av.CodecContext.create(codec, "r")
    assert isinstance(decoder, av.VideoCodecContext)  # codecs of pictures are those of video
    try:
        frames = [*decoder.decode(av.Packet(data)), *decoder.decode(None)]
        known = bool(frames) and frames[0].format.name in _LAYOUTS
        return np.asarray(frames[0].to_ndarray(), np.uint16) if known else None
    except (av.FFmpegError, ValueError):
        return None


def _turned(plane: Deep, orientation: int) -> Deep:
    stored = Image.fromarray(plane)
    stored.getexif()[ExifTags.Base.Orientation] = orientation
    return np.asarray(ImageOps.exif_transpose(stored))
