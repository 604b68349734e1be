"""Only named formats reach a decoder: whatever a file is called, and wherever in the package it is opened."""

import ast
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import AvifImagePlugin, EpsImagePlugin, Image, features

import stencilnet
from stencilnet.data.official.files import read_photo
from stencilnet.pictures import formats, images
from stencilnet.pictures.formats import (
    FORMATS,
    OTHER_SUFFIXES,
    SUFFIXES,
    format_of,
    is_supported,
    left_out,
    open_image,
    read_suffixes,
)
from stencilnet.pictures.images import ImageError, read_image, upright_rgb
from stencilnet.pictures.labels import read_labels

EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 32 32
%%EndComments
(written) (w) file closefile
{ } loop
"""
OTHERS = {
    "PostScript (EPS)": EPS,
    "PDF": b"%PDF-1.7\n",
    "PSD (Photoshop)": b"8BPS\0\x01" + b"\0" * 40,
    "JPEG XL": b"\xff\x0a" + b"\0" * 40,
    "SVG": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "a web page or XML": b"<!DOCTYPE html><html>not found</html>",
    "WMF": b"\xd7\xcd\xc6\x9a" + b"\0" * 40,
    "EMF": b"\x01\0\0\0" + b"\0" * 36 + b" EMF" + b"\0" * 60,
    "ICO": b"\0\0\x01\0\x01\0" + b"\0" * 40,
    "a camera's raw file": b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom",
}
"""The first bytes of files whose formats are not read."""


def opens(tree: ast.AST) -> Iterator[ast.Call]:
    """Calls of `Image.open`, by that name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-2:] == ["Image", "open"]:
            yield node


def test_every_open_names_its_formats() -> None:
    found = {
        f"{path}:{call.lineno}": call
        for path in Path(stencilnet.__path__[0]).rglob("*.py")
        for call in opens(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found
    assert [place for place, call in found.items() if "formats" not in {key.arg for key in call.keywords}] == []


def test_nothing_opens_pictures_in_another_way() -> None:
    """Names under which Pillow's `open`, or another decoder, would escape the test above."""
    for path in Path(stencilnet.__path__[0]).rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not [name for name in ("import Image as", "PIL.Image import", "imread", "decode_image") if name in text]


@pytest.fixture
def ghostscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in the place of Ghostscript; the file that it leaves says that it was called."""
    called, program = tmp_path / "called", tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch '{called}'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)  # looked for anew
    return called


@pytest.mark.parametrize("read", [read_image, read_labels, lambda path: read_photo("photo", path)])
def test_postscript_never_reaches_ghostscript(ghostscript: Path, tmp_path: Path, read: object) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(EPS)
    with pytest.raises(ImageError, match=r"photo\.jpg: it is PostScript \(EPS\), which is not read \(only AVIF, .*PNG"):
        read(path)  # type: ignore[operator]
    assert not ghostscript.exists()


def test_an_opened_postscript_picture_never_reaches_ghostscript(ghostscript: Path, tmp_path: Path) -> None:
    """Pillow has only looked at its first bytes; reading its pixels would start Ghostscript."""
    path = tmp_path / "photo.jpg"
    path.write_bytes(EPS)
    with Image.open(path) as image, pytest.raises(ImageError, match=r"photo\.jpg: it is EPS, which is not read"):
        upright_rgb(image)
    assert not ghostscript.exists()


def test_a_picture_of_any_format_is_taken_once_its_pixels_are_read(tmp_path: Path) -> None:
    path = tmp_path / "photo.tga"
    Image.new("RGB", (4, 4), (9, 8, 7)).save(path)
    with Image.open(path) as image:
        with pytest.raises(ImageError, match=r"it is TGA, which is not read .* call the picture's load\(\) first"):
            upright_rgb(image)
        image.load()
        assert upright_rgb(image).getpixel((0, 0)) == (9, 8, 7)


def test_the_stand_in_is_called_by_a_plain_open(ghostscript: Path, tmp_path: Path) -> None:
    """The test above would find a call."""
    path = tmp_path / "photo.jpg"
    path.write_bytes(EPS)
    with Image.open(path) as image, pytest.raises(OSError):  # noqa: PT011 (no matter how it fails)
        image.load()
    assert ghostscript.exists()


@pytest.mark.parametrize("name", OTHERS)
def test_other_formats_are_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(OTHERS[name])
    with pytest.raises(ImageError) as raised:
        read_image(path)
    assert str(raised.value) == (
        f"Cannot read {path}: it is {name}, which is not read (only AVIF, BMP, GIF, JPEG, JPEG2000, PNG, PPM, TIFF, "
        "WEBP are). Save it as PNG or JPEG."
    )


def test_heic_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda _: None)
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(ImageError) as raised:
        read_image(path)
    assert str(raised.value) == (
        f"Cannot read {path}: it is HEIC (HEIF). Run: pip install 'stencilnet[heic]'. Or save it as PNG or JPEG."
    )


def test_heic_is_read_where_its_reader_is_installed(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    path, known = tmp_path / "photo.jpg", set(Image.OPEN)
    heif.from_pillow(Image.new("RGB", (40, 24), (200, 30, 90))).save(path, format="HEIF")
    for source in (path, path.read_bytes()):
        found = np.asarray(images.read_photo(source).rgb).astype(int)
        assert found.shape == (24, 40, 3)
        assert np.abs(found - [200, 30, 90]).max() <= 8
    assert set(Image.OPEN) == known
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(ImageError, match=r"Cannot read .*photo\.jpg"):
        read_image(path)
    assert ".heic" in read_suffixes()
    assert left_out([Path("a.heic")]) == ""


def test_whatever_pillow_writes_is_no_name_of_a_folder() -> None:
    """A suffix that is neither read nor known would make `-o out.tga` a folder."""
    Image.init()
    data = {".bufr", ".grib", ".h5", ".hdf"}  # no pictures: Pillow writes them by other packages
    written = {suffix for suffix, name in Image.EXTENSION.items() if name in Image.SAVE} - data
    assert written <= SUFFIXES | OTHER_SUFFIXES


Image.init()


@pytest.mark.parametrize("name", sorted(set(Image.OPEN) - set(FORMATS)))
def test_no_other_plugin_sees_a_file(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_words: object) -> None:
        raise AssertionError(name)

    monkeypatch.setitem(Image.OPEN, name, (refuse, lambda _prefix: True))
    path = tmp_path / f"photo{next(iter(s for s, n in Image.EXTENSION.items() if n == name), '.png')}"
    path.write_bytes(b"nothing" * 9)
    with pytest.raises(ImageError, match="it is none of"):
        read_image(path)


def test_suffixes_are_those_of_the_formats() -> None:
    Image.init()
    known = {suffix: {"MPO": "JPEG"}.get(name, name) for suffix, name in Image.EXTENSION.items()}
    assert {suffix: known[suffix] for suffix in SUFFIXES} == {s: format_of(Path(f"a{s.upper()}")) for s in SUFFIXES}
    assert set(FORMATS) <= set(Image.OPEN)
    assert not SUFFIXES & OTHER_SUFFIXES
    assert format_of(Path("a.heic")) is None


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_every_suffix_is_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"photo{suffix.upper()}"
    Image.new("RGB", (40, 24), (200, 30, 90)).save(path)
    found = np.asarray(read_image(path)).astype(int)
    assert found.shape == (24, 40, 3)
    assert np.abs(found - [200, 30, 90]).max() <= 4


@pytest.mark.filterwarnings("ignore:image file could not be identified because AVIF")
def test_a_build_without_avif_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "photo.avif"
    Image.new("RGB", (8, 8)).save(path)
    monkeypatch.setattr(AvifImagePlugin, "SUPPORTED", False)
    monkeypatch.setattr(features, "check", lambda feature: feature != "avif")
    assert not is_supported("AVIF")
    with pytest.raises(
        ImageError, match=r"avif: it is AVIF, which this build of Pillow does not read\. Install Pillow"
    ):
        read_image(path)


def test_a_damaged_file_of_a_format_that_is_read_is_not_called_another(tmp_path: Path) -> None:
    path = tmp_path / "photo.avif"
    Image.effect_noise((64, 64), 50).convert("RGB").save(path)
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(ImageError, match="damaged or of another format"):
        read_image(path)


def test_open_image_is_lazy_and_plain(tmp_path: Path) -> None:
    Image.new("L", (5, 4)).save(tmp_path / "a.png")
    with open_image(tmp_path / "a.png") as image:
        assert (image.format, image.mode, image.size) == ("PNG", "L", (5, 4))


def test_left_out_counts_other_pictures_only() -> None:
    names = ["a.jxl", "b.JXL", "c.psd", "d.jpg", "notes.txt", "e"]
    assert left_out(map(Path, names)) == ("3 files were left out, of formats that are not read: .jxl (2), .psd (1)")
    assert left_out([Path("a.svg")]) == "1 file was left out, of formats that are not read: .svg (1)"
    assert left_out([Path("d.jpg"), Path("notes.txt")]) == ""
