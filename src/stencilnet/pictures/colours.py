"""Colour profiles: pictures are converted to sRGB, in which networks see them, and back on request."""

import logging
from collections.abc import Callable
from functools import cache, lru_cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

logger = logging.getLogger(__name__)

_MODES = {"RGB ": "RGB", "CMYK": "CMYK", "GRAY": "L"}
"""Colour spaces of ICC profiles that are converted, and Pillow's modes of their pixels."""

_SAME = 2
"""Largest difference in levels by which a profile still counts as sRGB: slightly different ones are in use."""

_Convert = Callable[[Image.Image], Image.Image]


@cache
def srgb_profile() -> bytes:
    """Return an ICC profile of sRGB; its date is fixed, so that equal pictures are equal files."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    data[24:36] = b"\x07\xd0\0\x01\0\x01" + bytes(6)  # 2000-01-01
    return bytes(data)


def in_srgb(image: Image.Image, what: str) -> Image.Image:
    """Return a picture converted from its colour profile to sRGB.

    A profile that cannot be used is ignored, with a warning once for each picture's name.

    Args:
        image: A picture of mode RGB, L or CMYK.
        what: Name of the picture for messages.

    Returns:
        A picture of mode RGB or L; `image` itself if it has no profile that changes its colours.
    """
    profile = image.info.get("icc_profile")
    if not profile:
        return image
    try:
        mode, convert = _converter(bytes(profile))
        if image.mode != mode and (mode, image.mode) != ("RGB", "L"):
            raise ValueError(f"it is for pictures of mode {mode}, and this one is {image.mode}")
        return convert(image)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        _warn(what, str(error), "Its colours are taken for sRGB")
        return image


def in_profile(image: Image.Image, profile: bytes, what: str) -> Image.Image:
    """Return a picture converted from sRGB to a colour profile, which it carries then.

    It carries the profile of sRGB if the other is empty, is not of RGB, or cannot be used, such as a scanner's; the
    latter with a warning once for each picture's name.

    Args:
        image: A picture of mode RGB, in sRGB. It may be changed.
        profile: An ICC profile, or nothing.
        what: Name of the picture for messages.
    """
    try:
        back = _way_back(profile) if profile else None
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        _warn(what, str(error), "The output is in sRGB")
        back = None
    if back is not None:
        image = back(image)
    image.info["icc_profile"] = srgb_profile() if back is None else profile
    return image


@lru_cache(maxsize=16)
def _way_back(profile: bytes) -> _Convert | None:
    """Return the function that converts a picture from sRGB to a profile of RGB; None if the profile is another one.

    Raises:
        PyCMSError, OSError, TypeError: If the profile is damaged, or only converts from it.
        ValueError: If it is for another colour space than `_MODES` has.
    """
    mode, convert = _converter(profile)
    if mode != "RGB":
        return None
    opened = ImageCms.ImageCmsProfile(BytesIO(profile))
    transform = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), opened, "RGB", "RGB")
    return (lambda image: image) if convert is _same else transform.apply


def _same(image: Image.Image) -> Image.Image:
    return image


@lru_cache(maxsize=16)
def _converter(profile: bytes) -> tuple[str, _Convert]:
    """Return the mode of the pictures that a profile is for, and the function that converts them to sRGB.

    Raises:
        PyCMSError, OSError, TypeError: If the profile is damaged.
        ValueError: If it is for another colour space.
    """
    opened = ImageCms.ImageCmsProfile(BytesIO(profile))
    space = opened.profile.xcolor_space
    if space not in _MODES:
        raise ValueError(f"its colour space is {space!r}")
    mode = _MODES[space]
    # Gray is exact by a table of its 256 levels; lcms would interpolate between 33 of them.
    flags = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
    transform = ImageCms.buildTransform(opened, ImageCms.createProfile("sRGB"), mode, "RGB", flags=flags)
    if mode == "L":
        levels = transform.apply(Image.fromarray(np.arange(256, dtype=np.uint8)[None])).getchannel("G").tobytes()
        return mode, lambda image: image.point(levels)
    if mode == "RGB" and _changes_little(transform):
        return mode, _same
    return mode, lambda image: transform.apply(image.convert(mode))


def _changes_little(transform: ImageCms.ImageCmsTransform) -> bool:
    axis = np.linspace(0, 255, 18).astype(np.uint8)
    cube = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(18, -1, 3)
    change = np.asarray(transform.apply(Image.fromarray(cube))).astype(int) - cube
    return int(np.abs(change).max()) <= _SAME


@lru_cache(maxsize=1024)
def _warn(what: str, reason: str, instead: str) -> None:
    logger.warning("%s: its colour profile cannot be used (%s). %s.", what, reason.strip(), instead)
