"""Writes answers as picture files: what each format holds of palette, transparency, colour profile and metadata."""

from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from stencilnet.pictures.deep import Deep
from stencilnet.pictures.deep_output import encode_deep

_INDEXED = frozenset({"PNG", "BMP", "TIFF", "GIF"})
"""Formats that support a palette; in others, pictures are written with the palette's colours."""

_ALPHA = frozenset({"PNG", "TIFF", "WEBP", "AVIF", "JPEG2000"})
"""Formats that support transparency; in others, pictures are composited over white."""


def write_picture(image: Image.Image | Deep, file: BinaryIO, name: str, exif: bytes = b"") -> None:
    """Write a task's answer as a picture.

    Args:
        image: The answer: RGB, RGBA, indexed or 16-bit gray; or an array of RGB with 16 bits.
        file: A file that is open in binary mode.
        name: The format, one of `stencilnet.pictures.formats.FORMATS`, or for an array one of `DEEP_FORMATS` of
            `stencilnet.pictures.deep_output`.
        exif: Metadata to write; none by default.

    Raises:
        OSError, ValueError: If Pillow cannot write it.
    """
    if isinstance(image, np.ndarray):
        file.write(encode_deep(image, name, exif))
        return
    options: dict[str, Any] = {"icc_profile": image.info.get("icc_profile")} | ({"exif": exif} if exif else {})
    if name == "GIF":
        options["optimize"] = False  # optimising would renumber the indices
    if name == "WEBP":
        options["lossless"] = image.mode == "P"  # classes have few colours, which must not mix
    if image.mode == "P" and name not in _INDEXED:
        image = image.convert("RGB")
    if image.mode == "RGBA" and name not in _ALPHA:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    image.save(file, format=name, **options)
