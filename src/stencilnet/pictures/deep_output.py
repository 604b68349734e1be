"""Pictures of 16 bits per channel that were computed: made of floats, resized, and written as PNG and TIFF.

Pillow writes no RGB of 16 bits, but the chunks and tags around the pixels.
"""

import struct
import zlib
from io import BytesIO
from types import MappingProxyType

import numpy as np
from PIL import Image, TiffImagePlugin, TiffTags
from PIL.PngImagePlugin import putchunk

from stencilnet.pictures.colours import srgb_profile
from stencilnet.pictures.deep import TOP, Deep
from stencilnet.pictures.images import Floats, finite


def to_deep(array: Floats) -> Deep:
    """Convert ``(3, H, W)``, float RGB in [0, 1], to a picture of 16 bits per channel.

    Values outside [0, 1] are clamped.

    Raises:
        ValueError: If a value is not finite.
    """
    return np.ascontiguousarray(_levels(array).transpose(1, 2, 0))


def to_deep_gray(array: Floats) -> Image.Image:
    """Convert a map ``(H, W)``, floats in [0, 1], to a gray picture of 16 bits (mode ``I;16``).

    Values outside [0, 1] are clamped.

    Raises:
        ValueError: If a value is not finite.
    """
    return Image.fromarray(_levels(array))


def _levels(array: Floats) -> Deep:
    levels: Deep = np.rint(finite(array).clip(0, 1) * np.float32(TOP)).astype(np.uint16)
    return levels


def resized_deep(picture: Deep, size: tuple[int, int]) -> Deep:
    """Return a picture at another size, width and height, by bicubic interpolation."""
    planes = (Image.fromarray(plane.astype(np.float32)) for plane in np.moveaxis(picture, 2, 0))
    enlarged = (np.asarray(plane.resize(size, Image.Resampling.BICUBIC)) for plane in planes)
    return np.dstack([np.rint(plane.clip(0, TOP)).astype(np.uint16) for plane in enlarged])


def with_opacity(picture: Deep, alpha: Image.Image) -> Deep:
    """Return RGB ``(H, W, 3)`` with an opacity of mode L as its fourth channel."""
    return np.dstack([picture, np.asarray(alpha) * np.uint16(TOP // 255)])


def encode_deep(picture: Deep, name: str, exif: bytes = b"") -> bytes:
    """Return a picture of 16 bits per channel as a file's bytes, with the profile of sRGB.

    Args:
        picture: RGB, with opacity or without.
        name: The format, one of `DEEP_FORMATS`.
        exif: Metadata to write; none by default.
    """
    return _ENCODERS[name](picture, exif)


def _png(picture: Deep, exif: bytes) -> bytes:
    """Return a PNG (W3C, PNG 3rd edition) whose rows are stored as differences from the row above (filter Up)."""
    height, width, channels = picture.shape
    rows = picture.astype(">u2").view(np.uint8).reshape(height, -1)
    filtered = np.full((height, rows.shape[1] + 1), 2, np.uint8)  # a row's first byte is its filter's number
    filtered[:, 1:] = np.diff(rows, axis=0, prepend=np.uint8(0))
    file = BytesIO()
    file.write(b"\x89PNG\r\n\x1a\n")
    putchunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0))
    putchunk(file, b"iCCP", b"sRGB\0\0" + zlib.compress(srgb_profile()))
    if exif:
        putchunk(file, b"eXIf", exif.removeprefix(b"Exif\0\0"))
    putchunk(file, b"IDAT", zlib.compress(filtered.tobytes()))
    putchunk(file, b"IEND", b"")
    return file.getvalue()


def _tiff(picture: Deep, exif: bytes) -> bytes:
    """Return an uncompressed TIFF 6.0 of one strip, little-endian."""
    height, width, channels = picture.shape
    pixels = picture.astype("<u2").tobytes()
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[TiffImagePlugin.IMAGEWIDTH], tags[TiffImagePlugin.IMAGELENGTH] = width, height
    tags[TiffImagePlugin.BITSPERSAMPLE] = (16,) * channels
    tags[TiffImagePlugin.SAMPLESPERPIXEL] = channels
    tags[TiffImagePlugin.COMPRESSION], tags[TiffImagePlugin.PHOTOMETRIC_INTERPRETATION] = 1, 2  # none, RGB
    if channels == 4:
        tags[TiffImagePlugin.EXTRASAMPLES] = 2  # opacity that RGB is not multiplied by
    tags[TiffImagePlugin.ROWSPERSTRIP], tags[TiffImagePlugin.STRIPBYTECOUNTS] = height, len(pixels)
    tags[TiffImagePlugin.STRIPOFFSETS] = 0  # behind the tags, where Pillow moves it
    tags[TiffImagePlugin.ICCPROFILE] = srgb_profile()
    found = Image.Exif()
    found.load(exif)
    for tag in found:
        tags[tag] = found.get_ifd(tag) if tag in TiffTags.TAGS_V2_GROUPS else found[tag]
    file = BytesIO()
    tags.save(file)
    return file.getvalue() + pixels


_ENCODERS = MappingProxyType({"PNG": _png, "TIFF": _tiff})

DEEP_FORMATS = frozenset(_ENCODERS)
"""The formats that RGB of 16 bits is written in, by Pillow's names."""
