"""The picture formats that are read, recognised by content when a file is opened, by suffix when a folder is listed.

Pillow supports more: it passes PostScript to Ghostscript, which a malicious file can make write other files or never
end. Only the formats in `FORMATS` are decoded, whatever a file's name.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from PIL import Image, ImageFile, features
from PIL.TiffImagePlugin import BITSPERSAMPLE, PLANAR_CONFIGURATION, TiffImageFile

FORMATS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
        "PNG": (".png", ".apng"),
        "BMP": (".bmp",),
        "TIFF": (".tif", ".tiff"),
        "WEBP": (".webp",),
        "GIF": (".gif",),
        "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
        "AVIF": (".avif", ".avifs"),
        "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    }
)
"""The formats that are read, by Pillow's names, and their file suffixes."""

SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)
"""Suffixes of pictures that are read, in lower case; matched without regard to case."""

_HEIC, _HEIC_SUFFIXES, _HEIC_READER = "HEIC (HEIF)", frozenset({".heic", ".heif", ".hif"}), "pillow_heif"

OTHER_SUFFIXES = _HEIC_SUFFIXES | frozenset(
    {
        *{".jxl", ".jxr", ".wdp", ".hdp"},
        *{".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".srf", ".orf", ".rw2", ".raf", ".pef"},
        *{".srw", ".rwl", ".3fr", ".fff", ".iiq", ".x3f", ".erf", ".mrw", ".dcr", ".kdc"},
        *{".svg", ".svgz", ".eps", ".epsf", ".ps", ".ai", ".wmf", ".emf", ".cdr"},
        *{".psd", ".psb", ".xcf", ".kra", ".ora", ".exr", ".hdr", ".pfm", ".pam", ".dds", ".tga", ".pcx", ".dcx"},
        *{".dib", ".ico", ".icns", ".cur", ".qoi", ".sgi", ".ras", ".xbm", ".xpm", ".pict", ".pct", ".fpx", ".djvu"},
        *{".fit", ".fits", ".dcm", ".dicom", ".jls", ".jng", ".mng", ".bpg", ".flif"},
        *{".pdf", ".rgb", ".rgba", ".bw", ".icb", ".vda", ".vst", ".im", ".msp", ".palm", ".blp"},
    }
)
"""Suffixes of picture formats that are not read, HEIC's where pillow-heif is missing. Listing a folder skips such files
and reports how many; they are also no names of folders."""

VIDEO_SUFFIXES = frozenset(
    {
        ".mp4",
        ".m4v",
        ".mov",
        ".mkv",
        ".webm",
        ".avi",
        ".mpg",
        ".mpeg",
        ".ts",
        ".mts",
        ".m2ts",
        ".3gp",
        ".flv",
        ".wmv",
        ".ogv",
    }
)
"""Suffixes of videos, which `stencilnet.pictures.video` reads."""

_CODECS = MappingProxyType({"WEBP": "webp", "AVIF": "avif", "JPEG2000": "jpg_2000"})
"""Formats that a build of Pillow may lack, and the Pillow features that they need."""

_SUBFILE_TYPE = 254
"""TIFF's tag NewSubfileType; bit 0 marks a picture as a reduced version of another one in the file."""
_DNG_VERSION = 50706

_HEAD = 1024
"""Number of bytes at the start of a file that are examined to recognise its format."""

_SIGNATURES = (
    (0, b"%!", "PostScript (EPS)"),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript (EPS)"),
    (0, b"%PDF", "PDF"),
    (0, b"8BPS", "PSD (Photoshop)"),
    (0, b"gimp xcf", "XCF (GIMP)"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"II\xbc", "JPEG XR"),
    (0, b"\0\0\x01\0", "ICO"),
    (0, b"\xd7\xcd\xc6\x9a", "WMF"),
    (40, b" EMF", "EMF"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"DDS ", "DDS"),
    (0, b"qoif", "QOI"),
    (0, b"SIMPLE  =", "FITS"),
    (0, b"\x89HDF", "HDF5"),
    (0, b"FUJIFILMCCD-RAW", "a camera's raw file"),
    (4, b"ftypcrx", "a camera's raw file"),
    (4, b"ftyphei", _HEIC),
    (4, b"ftyphev", _HEIC),
    (0, b"\0\0\0\x0cjP  ", "JPEG2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG2000"),
    (8, b"WEBP", "WEBP"),
)
"""Signatures of formats: offset in the file, bytes, and name (Pillow's if it is one of `FORMATS`)."""


def open_image(file: Path | BinaryIO) -> ImageFile.ImageFile:
    """Open a picture with Pillow, with only the decoders of `FORMATS` enabled, and HEIC's where it is installed.

    Raises:
        PIL.UnidentifiedImageError: If the file has none of these formats.
        OSError: If it cannot be read. Damaged files can raise almost any exception.
    """
    head = head_of(file) if isinstance(file, Path) else file.read(_HEAD)
    if _told_by(head) == _HEIC and find_spec(_HEIC_READER):
        from pillow_heif import HeifImageFile  # not registered with Pillow: that would concern the whole process

        opened: ImageFile.ImageFile = HeifImageFile(file)  # type: ignore[no-untyped-call]
        return opened
    return Image.open(file, formats=tuple(FORMATS))


def head_of(file: Path | bytes) -> bytes:
    """Return the first bytes of a file, or of its content."""
    if isinstance(file, bytes):
        return file[:_HEAD]
    with file.open("rb") as opened:
        return opened.read(_HEAD)


def read_suffixes() -> frozenset[str]:
    """Return the suffixes of pictures that are read here: `SUFFIXES`, and HEIC's where pillow-heif is installed."""
    return SUFFIXES | _HEIC_SUFFIXES if find_spec(_HEIC_READER) else SUFFIXES


def format_of(path: Path) -> str | None:
    """Return the format in `FORMATS` that has the file's suffix, or None."""
    suffix = path.suffix.lower()
    return next((name for name, suffixes in FORMATS.items() if suffix in suffixes), None)


def is_supported(name: str) -> bool:
    """Return whether this build of Pillow supports a format in `FORMATS`."""
    return name not in _CODECS or bool(features.check(_CODECS[name]))


def unread(file: Path | bytes) -> str | None:
    """Return why a file, or its content, cannot be read, judging by its first bytes; None if they do not explain it.

    The text completes a sentence that begins with the file's name and a colon, and ends with the remedy.
    """
    found = _told_by(head_of(file))
    if found == _HEIC:
        if find_spec(_HEIC_READER):
            return None
        return f"it is {found}. Run: pip install 'stencilnet[heic]'. Or save it as PNG or JPEG."
    if found is None or (found in FORMATS and is_supported(found)):
        return None
    if found in FORMATS:
        return f"it is {found}, which this build of Pillow does not read. Install Pillow 11.3 or newer from PyPI."
    return f"it is {found}, which is not read (only {', '.join(sorted(FORMATS))} are). Save it as PNG or JPEG."


def _told_by(head: bytes) -> str | None:
    found = next((name for place, sign, name in _SIGNATURES if head.startswith(sign, place)), None)
    if found is None and head.startswith(b"ftyp", 4):
        brands = head[8 : int.from_bytes(head[:4])]
        return "AVIF" if b"avi" in brands else _HEIC if b"mif1" in brands or b"msf1" in brands else None
    if found is None and head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return "SVG" if b"<svg" in head else "a web page or XML"
    return found


def left_out(files: Iterable[Path]) -> str:
    """Return a text that says how many files have the suffix of a format that is not read; empty if none has.

    For example ``3 files were left out, of formats that are not read: .heic (2), .psd (1)``.
    """
    others = OTHER_SUFFIXES - read_suffixes()
    counts = Counter(suffix for file in files if (suffix := file.suffix.lower()) in others)
    if not counts:
        return ""
    listed = ", ".join(f"{suffix} ({count})" for suffix, count in sorted(counts.items()))
    total = counts.total()
    return f"{total} {'file was' if total == 1 else 'files were'} left out, of formats that are not read: {listed}"


def misread(opened: ImageFile.ImageFile, file: Path | bytes) -> str | None:
    """Return why Pillow would misread the picture without an error; None if it reads it correctly."""
    if isinstance(opened, TiffImageFile):
        tags = opened.tag_v2
        if _DNG_VERSION in tags or int(tags.get(_SUBFILE_TYPE, 0)) & 1:
            return "it is a camera's raw file, and only its small preview can be read. Save it as PNG or JPEG."
        planes = tags.get(PLANAR_CONFIGURATION) == 2 and opened.tile[0].codec_name == "raw"
        if planes and set(tags.get(BITSPERSAMPLE, ())) == {16}:
            return "Pillow misreads uncompressed planes of 16 bits. Save it with interleaved channels, or as PNG."
    if opened.format == "BMP" and opened.tile[0].codec_name == "raw":
        header = head_of(file)
        old = int.from_bytes(header[14:18], "little") == 12  # OS/2's header: sides of 2 bytes, not 4
        bits = int.from_bytes(header[24:26] if old else header[28:30], "little")
        # Pillow reads one bit per pixel for two grays and eight for more, whatever the header says.
        if bits != {"1": 1, "L": 8}.get(opened.mode, bits):
            return "Pillow misreads bitmaps with this gray palette. Save it as PNG in the program that made it."
    return None
