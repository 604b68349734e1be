"""One picture in every form that it may be given in, and what is read beside its colours."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from stencilnet.pictures.images import ImageError, Photo, name_of, read_photo


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An upright photo that is stored turned, with transparency, and says where it was taken."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 4), dtype=np.uint8)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Artist] = "A. Nonymous"
    exif[ExifTags.Base.Software] = "an editor"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] = 200
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.MakerNote] = b"serial number 17"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (35.0, 39.0, 0.0)
    Image.fromarray(pixels).save(tmp_path / "photo.png", exif=exif)
    return tmp_path / "photo.png"


def same(found: Photo, expected: Photo) -> bool:
    assert found.alpha is not None
    assert expected.alpha is not None
    return (found.rgb.tobytes(), found.rgb.size, found.alpha.tobytes(), found.exif) == (
        expected.rgb.tobytes(),
        expected.rgb.size,
        expected.alpha.tobytes(),
        expected.exif,
    )


def test_every_form_gives_the_same(file: Path) -> None:
    expected, data = read_photo(file, metadata=True), file.read_bytes()
    assert expected.rgb.size == (5, 7)
    with file.open("rb") as opened, Image.open(file) as picture:
        for source in (str(file), data, bytearray(data), memoryview(data), io.BytesIO(data), opened, picture):
            assert same(read_photo(source, metadata=True), expected)
        assert not opened.closed


def test_an_open_file_is_read_from_its_position(file: Path) -> None:
    stream = io.BytesIO(b"head" + file.read_bytes())
    stream.seek(4)
    assert read_photo(stream).rgb.size == (5, 7)


def test_an_array() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    for array in (pixels, np.asfortranarray(pixels), pixels[:, ::-1]):
        np.testing.assert_array_equal(np.asarray(read_photo(array).rgb), array)


@pytest.mark.parametrize(
    "array", [np.zeros((2, 2, 3), np.float32), np.zeros((2, 2), np.uint8), np.zeros((0, 2, 3), np.uint8)]
)
def test_other_arrays_are_refused(array: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"Expected an array to be an RGB picture .* of uint8 or uint16, but got"):
        read_photo(array)


@pytest.mark.parametrize(("source", "got"), [(7, "int"), (None, "NoneType"), (io.StringIO("x"), "str from reading a")])
def test_what_is_no_picture_is_refused(source: object, got: str) -> None:
    with pytest.raises(TypeError, match=f"Expected a picture as a path, bytes, .*but got {got}"):
        read_photo(source)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", r"the file is empty \(0 bytes\)"),
        (b"%PDF-1.7", "it is PDF, which is not read"),
        (b"shopping list", "it is none of AVIF"),
    ],
)
def test_bytes_that_are_no_picture(data: bytes, found: str) -> None:
    with pytest.raises(ImageError, match=f"^Cannot read the picture: {found}"):
        read_photo(data)


def test_names() -> None:
    assert [name_of(source) for source in ("a.png", Path("b.png"), b"", Image.new("L", (1, 1)))] == [
        *("a.png", "b.png"),
        *("The picture", "The picture"),
    ]


def test_opacity_is_upright(file: Path) -> None:
    with Image.open(file) as stored:
        expected = np.rot90(np.asarray(stored)[..., 3], -1)
    found = read_photo(file).alpha
    assert found is not None
    np.testing.assert_array_equal(np.asarray(found), expected)


def test_a_transparent_level_of_sixteen_bits(tmp_path: Path) -> None:
    Image.fromarray(np.array([[300, 25700]], np.uint16)).save(tmp_path / "a.png", transparency=300)
    found = read_photo(tmp_path / "a.png")
    assert found.alpha is not None
    assert found.alpha.tobytes() == b"\0\xff"
    np.testing.assert_array_equal(np.asarray(found.rgb)[0, :, 0], [255, 100])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "L"])
def test_what_is_opaque_has_no_alpha(mode: str) -> None:
    assert read_photo(Image.new(mode, (2, 2), "white")).alpha is None


def test_what_is_kept_of_the_metadata(file: Path) -> None:
    assert read_photo(file).exif == b""
    kept = Image.Exif()
    kept.load(read_photo(file, metadata=True).exif)
    assert dict(kept) == {ExifTags.Base.Artist: "A. Nonymous", ExifTags.IFD.Exif: kept[ExifTags.IFD.Exif]}
    assert kept.get_ifd(ExifTags.IFD.Exif) == {ExifTags.Base.ISOSpeedRatings: 200}
    assert kept.get_ifd(ExifTags.IFD.GPSInfo) == {}
    assert read_photo(Image.new("RGB", (2, 2)), metadata=True).exif == b""
