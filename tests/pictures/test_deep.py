"""Pictures of 16 bits per channel: read from files that other programs wrote, and written for those that read them."""

from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image, ImageCms

from stencilnet.pictures import deep as deep_files
from stencilnet.pictures.colours import srgb_profile
from stencilnet.pictures.deep import Deep
from stencilnet.pictures.deep_output import encode_deep, resized_deep, to_deep, with_opacity
from stencilnet.pictures.images import ImageError, Photo, read_photo

RGB: Deep = np.random.default_rng(0).integers(0, 65536, (6, 9, 3), dtype=np.uint16)
GRAY = RGB[..., 0]
UPRIGHT = {2: RGB[:, ::-1], 3: RGB[::-1, ::-1], 6: np.rot90(RGB, -1), 8: np.rot90(RGB)}
"""What some EXIF orientations ask for (EXIF 2.32, section 4.6.4)."""


def png(layout: str, pixels: np.ndarray) -> bytes:
    """A PNG by FFmpeg."""
    encoder = av.CodecContext.create("png", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.height, encoder.width = pixels.shape[:2]
    encoder.pix_fmt, encoder.time_base = layout, 1
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=layout)
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def tiff(pixels: np.ndarray, **options: object) -> bytes:
    """A TIFF by tifffile."""
    file = BytesIO()
    order = str(options.pop("byteorder", "<"))
    with tifffile.TiffWriter(file, byteorder=order) as writer:
        writer.write(pixels, metadata=None, **options)
    return file.getvalue()


def with_exif(name: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return encode_deep(RGB, name, exif.tobytes())


def opaque(pixels: Deep) -> Deep:
    return with_opacity(pixels, Image.new("L", pixels.shape[1::-1], 255))


FILES = {
    "png": png("rgb48be", RGB),
    "png, opaque": png("rgba64be", opaque(RGB)),
    "tiff": tiff(RGB, photometric="rgb"),
    "tiff, big-endian": tiff(RGB, photometric="rgb", byteorder=">"),
    "tiff, compressed": tiff(RGB, photometric="rgb", compression="zlib", predictor=True, rowsperstrip=4),
    "tiff, opaque": tiff(opaque(RGB), photometric="rgb", extrasamples=["unassalpha"]),
}


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_rgb_keeps_all_bits(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(data)
    for source in (data, tmp_path / "a"):
        found = read_photo(source, deep=True)
        np.testing.assert_array_equal(found.deep, RGB)
        np.testing.assert_array_equal(np.asarray(found.rgb), RGB >> 8)
        assert read_photo(source) == Photo(rgb=found.rgb)


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm", "jp2"])
def test_gray_keeps_all_bits(suffix: str, tmp_path: Path) -> None:
    Image.fromarray(GRAY).save(tmp_path / f"a.{suffix}")
    found = read_photo(tmp_path / f"a.{suffix}", deep=True)
    np.testing.assert_array_equal(found.deep, np.dstack([GRAY] * 3))
    np.testing.assert_array_equal(np.asarray(found.rgb)[..., 0], np.rint(GRAY / 257))
    assert read_photo(tmp_path / f"a.{suffix}").deep is None


def test_gray_whose_zero_is_white() -> None:
    found = read_photo(tiff(65535 - GRAY, photometric="miniswhite"), deep=True).deep
    np.testing.assert_array_equal(found, np.dstack([GRAY] * 3))


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("name", ["PNG", "TIFF"])
def test_rgb_is_upright(name: str, orientation: int) -> None:
    found = read_photo(with_exif(name, orientation), deep=True)
    np.testing.assert_array_equal(found.deep, UPRIGHT[orientation])


@pytest.mark.parametrize("order", ["<", ">"])  # as libraries return them, by the file's byte order
def test_arrays_keep_all_bits_and_are_not_shared(order: str) -> None:
    given = RGB.astype(f"{order}u2")
    found = read_photo(given, deep=True)
    given[:] = 0
    np.testing.assert_array_equal(found.deep, RGB)
    np.testing.assert_array_equal(np.asarray(found.rgb), np.rint(RGB / 257))
    assert read_photo(RGB).deep is None


def test_eight_bits_are_no_more() -> None:
    file = BytesIO()
    Image.fromarray((RGB >> 8).astype(np.uint8)).save(file, "PNG")
    assert read_photo(file.getvalue(), deep=True).deep is None


def other_profile() -> bytes:
    return srgb_profile().replace(b"rXYZ", b"-XYZ").replace(b"gXYZ", b"rXYZ").replace(b"-XYZ", b"gXYZ")


SHALLOW = {
    "it is transparent": png("rgba64be", np.dstack([RGB, GRAY])),
    "its colours are converted from their profile": tiff(RGB, photometric="rgb", iccprofile=other_profile()),
    "PyAV cannot read this kind of file": tiff(RGB, photometric="rgb", tile=(16, 16)),
}


@pytest.mark.parametrize(("reason", "data"), SHALLOW.items(), ids=SHALLOW)
def test_what_is_read_with_8_bits_says_why(reason: str, data: bytes) -> None:
    found = read_photo(data, deep=True)
    assert (found.deep, found.shallow) == (None, reason)
    assert found.rgb.tobytes() == read_photo(data).rgb.tobytes()
    assert read_photo(data).shallow == ""


def test_a_profile_of_srgb_keeps_all_bits() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = tiff(RGB, photometric="rgb", iccprofile=profile)
    np.testing.assert_array_equal(read_photo(data, deep=True).deep, RGB)


def test_without_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deep_files, "find_spec", lambda _: None)
    found = read_photo(FILES["png"], deep=True)
    assert (found.deep, found.shallow) == (None, "PyAV is not installed (pip install 'stencilnet[video]')")


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_damaged_files_are_refused(data: bytes) -> None:
    with pytest.raises(ImageError, match="Cannot read the picture: "):
        read_photo(data[: len(data) // 2], deep=True)


def test_planes_that_pillow_misreads_are_refused() -> None:
    planes = np.moveaxis(RGB, -1, 0)
    with pytest.raises(ImageError, match="Pillow misreads uncompressed planes of 16 bits"):
        read_photo(tiff(planes, photometric="rgb", planarconfig="separate"))
    found = read_photo(tiff(planes, photometric="rgb", planarconfig="separate", compression="zlib"))
    np.testing.assert_array_equal(np.asarray(found.rgb), RGB >> 8)


@pytest.mark.parametrize("pixels", [RGB, np.dstack([RGB, GRAY])], ids=["rgb", "rgba"])
def test_other_programs_read_what_is_written(pixels: Deep, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "A. Nonymous"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] = 200
    for name in ("PNG", "TIFF"):
        (tmp_path / name).write_bytes(encode_deep(pixels, name, exif.tobytes()))
        with Image.open(tmp_path / name) as written:
            np.testing.assert_array_equal(np.asarray(written), pixels >> 8)
            assert written.info["icc_profile"] == srgb_profile()
            assert written.getexif()[ExifTags.Base.Artist] == "A. Nonymous"
            assert written.getexif().get_ifd(ExifTags.IFD.Exif) == {ExifTags.Base.ISOSpeedRatings: 200}
        with av.open(tmp_path / name, format={"PNG": "png_pipe", "TIFF": "tiff_pipe"}[name]) as opened:
            (frame,) = opened.decode(video=0)
            np.testing.assert_array_equal(frame.to_ndarray(), pixels)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "TIFF"), pixels)


def test_floats_become_the_nearest_levels() -> None:
    levels = np.arange(65536, dtype=np.uint16).reshape(1, 256, 256).repeat(3, axis=0)
    floats = np.divide(levels, 65535, dtype=np.float32)
    np.testing.assert_array_equal(to_deep(floats), levels.transpose(1, 2, 0))
    assert to_deep(np.full((3, 1, 1), -1, np.float32)).max() == 0
    assert to_deep(np.full((3, 1, 1), 2, np.float32)).min() == 65535
    with pytest.raises(ValueError, match="to be finite, but got NaN or infinity"):
        to_deep(np.full((3, 1, 1), np.nan, np.float32))


def test_other_sizes_are_those_of_floats() -> None:
    planes = [Image.fromarray(RGB[..., channel].astype(np.float32)) for channel in range(3)]
    expected = np.dstack([np.asarray(plane.resize((20, 15), Image.Resampling.BICUBIC)) for plane in planes])
    found = resized_deep(RGB, (20, 15)).astype(float)
    assert np.abs(found - expected.clip(0, 65535)).max() <= 0.51
