"""The metadata that an output may take over from its photo: who took it, when, and with what; never where."""

from PIL import ExifTags, Image

_KEPT = (
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.Copyright,
)
"""Tags of the main directory. Others describe the file that was read: its size, orientation, thumbnail, strips."""

_LEFT_OUT = frozenset(
    {
        ExifTags.Base.MakerNote,  # a maker's own format, which may hold anything, and breaks if it is moved
        ExifTags.Base.ColorSpace,
        ExifTags.Base.ExifImageWidth,
        ExifTags.Base.ExifImageHeight,
        ExifTags.IFD.Interop,
    }
)
"""Tags of the EXIF directory that are not kept; all others say how the photo was taken."""


def kept_exif(image: Image.Image) -> bytes:
    """Return description, camera, date, exposure, author and copyright of a picture, as EXIF; empty if it has none.

    The position (GPS), XMP, IPTC, comments and thumbnails are not among them.
    """
    found, kept = image.getexif(), Image.Exif()
    for tag in _KEPT:
        if tag in found:
            kept[tag] = found[tag]
    taken = {tag: value for tag, value in found.get_ifd(ExifTags.IFD.Exif).items() if tag not in _LEFT_OUT}
    if taken:
        kept.get_ifd(ExifTags.IFD.Exif).update(taken)
    return kept.tobytes() if len(kept) or taken else b""
