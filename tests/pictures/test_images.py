"""Pictures are compared with hand-computed NumPy values; damaged files come from real encoders."""

import io
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from stencilnet.pictures.images import ImageError, read_image, read_stored, to_array, to_picture, upright_rgb
from stencilnet.pictures.labels import read_labels

ORIENTATION = 0x0112
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: np.rot90(a, 1),
}
"""What each EXIF orientation asks for, in NumPy's words (EXIF 2.32, section 4.6.4, tag 0x0112)."""


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


@pytest.fixture
def file(tmp_path):
    def save(image, name="picture.png", **options):
        path = tmp_path / name
        image.save(path, **options)
        return path

    return save


def read(path):
    image = read_image(path)
    assert image.mode == "RGB"
    return np.asarray(image)


def png(width, height, depth, colour, rows, *extra):
    """A PNG by hand: what Pillow itself would not write."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + b"".join([header, *extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")])


def tiff(bits, photometric, row, *, fill_order=1, sample_format=1, subfile=0):
    """A little-endian TIFF of one row of 2 pixels by hand; the tags are those of TIFF 6.0, section 8."""
    colours = np.arange(3 * 2**bits, dtype="<u2").tobytes() if photometric == 3 else b""
    count = 13 if colours else 12
    place = 8 + 2 + count * 12 + 4
    tags = {
        254: subfile,
        256: 2,
        257: 1,
        258: bits,
        259: 1,
        262: photometric,
        266: fill_order,
        273: place + len(colours),
    }
    tags |= {277: 1, 278: 1, 279: len(row)}
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags.items())
    if colours:
        entries += struct.pack("<HHII", 320, 3, 3 * 2**bits, place)
    entries += struct.pack("<HHIHH", 339, 3, 1, sample_format, 0)
    return b"II*\0" + struct.pack("<IH", 8, count) + entries + struct.pack("<I", 0) + colours + row


class TestReadImage:
    @pytest.mark.parametrize("orientation", UPRIGHT)
    @pytest.mark.parametrize("name", ["picture.png", "picture.tif", "picture.webp"])
    def test_exif_orientation_is_applied(self, file, pixels, orientation, name):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        options = {"lossless": True, "exact": True} if name.endswith("webp") else {}
        path = file(Image.fromarray(pixels), name, exif=exif, **options)
        np.testing.assert_array_equal(read(path), UPRIGHT[orientation](pixels))

    def test_exif_orientation_of_a_phone_jpeg(self, file):
        left_red = np.zeros((16, 32, 3), np.uint8)
        left_red[:, :16, 0] = 255
        exif = Image.Exif()
        exif[ORIENTATION] = 6
        found = read(file(Image.fromarray(left_red), "phone.jpg", exif=exif, quality=95))
        assert found.shape == (32, 16, 3)
        assert found[:12, :, 0].min() > 200
        assert found[20:, :, 0].max() < 50

    def test_plain_colours(self, file, pixels):
        np.testing.assert_array_equal(read(file(Image.fromarray(pixels))), pixels)

    def test_gray(self, file, pixels):
        found = read(file(Image.fromarray(pixels[..., 0])))
        np.testing.assert_array_equal(found, np.repeat(pixels[..., :1], 3, axis=2))

    def test_one_bit(self, file):
        bits = np.array([[True, False, True]])
        np.testing.assert_array_equal(read(file(Image.fromarray(bits)))[..., 1], [[255, 0, 255]])

    def test_palette(self, file):
        image = Image.new("P", (2, 1))
        image.putpalette([10, 20, 30, 200, 100, 50])
        image.putpixel((1, 0), 1)
        np.testing.assert_array_equal(read(file(image)), [[[10, 20, 30], [200, 100, 50]]])

    def test_palette_with_a_transparent_colour_over_white(self, file):
        image = Image.new("P", (2, 1))
        image.putpalette([10, 20, 30, 200, 100, 50])
        image.putpixel((1, 0), 1)
        np.testing.assert_array_equal(read(file(image, transparency=0)), [[[255] * 3, [200, 100, 50]]])

    @pytest.mark.parametrize("name", ["picture.png", "picture.tif"])
    def test_alpha_over_white(self, file, pixels, name):
        alpha = np.linspace(0, 255, 35).round().astype(np.uint8).reshape(5, 7, 1)
        found = read(file(Image.fromarray(np.concatenate([pixels, alpha], axis=2)), name))
        share = alpha / 255
        np.testing.assert_allclose(found, pixels * share + 255 * (1 - share), atol=1)

    def test_gray_alpha_over_white(self, file):
        image = Image.fromarray(np.array([[[0, 0], [0, 51], [0, 255]]], np.uint8), "LA")
        np.testing.assert_allclose(read(file(image))[..., 0], [[255, 204, 0]], atol=1)

    def test_transparent_gray_value_over_white(self, file):
        image = Image.fromarray(np.array([[7, 8]], np.uint8))
        np.testing.assert_array_equal(read(file(image, transparency=7))[..., 0], [[255, 8]])

    def test_cmyk(self, file):
        inks = np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 0, 0, 255], [100, 40, 0, 51]]], np.uint8)
        found = read(file(Image.fromarray(inks, "CMYK"), "print.tif"))
        ink = inks / 255
        np.testing.assert_allclose(found, 255 * (1 - ink[..., :3]) * (1 - ink[..., 3:]), atol=1)

    def test_cmyk_jpeg_is_not_inverted(self, file):
        white = Image.new("CMYK", (16, 16), (0, 0, 0, 0))
        assert read(file(white, "print.jpg")).min() > 250

    @pytest.mark.parametrize("name", ["deep.png", "deep.tif", "deep.pgm"])
    def test_sixteen_bit_gray_is_scaled(self, file, name):
        values = np.array([[0, 257, 1000, 32768, 65278, 65535]], np.uint16)
        found = read(file(Image.fromarray(values), name))
        np.testing.assert_array_equal(found[..., 0], np.round(values / 257).astype(np.uint8))

    def test_sixteen_bit_transparent_value_over_white(self, tmp_path):
        chunk = b"tRNS" + struct.pack(">H", 300)
        clear = struct.pack(">I", 2) + chunk + struct.pack(">I", zlib.crc32(chunk))
        path = tmp_path / "deep.png"
        path.write_bytes(png(2, 1, 16, 0, b"\0" + struct.pack(">HH", 300, 25700), clear))
        np.testing.assert_array_equal(read(path)[..., 0], [[255, 100]])

    def test_twelve_bit_gray_is_scaled_by_its_own_range(self, tmp_path):
        path = tmp_path / "deep.tif"
        path.write_bytes(tiff(12, 1, bytes([0x00, 0x0F, 0xFF])))  # 0 and 4095, packed
        np.testing.assert_array_equal(read(path)[..., 0], [[0, 255]])

    @pytest.mark.parametrize("bits", [1, 8, 16])
    def test_white_is_zero(self, tmp_path, bits):
        path = tmp_path / "scan.tif"
        rows = {1: b"\x40", 8: b"\x00\xff", 16: b"\x00\x00\xff\xff"}[bits]
        path.write_bytes(tiff(bits, 0, rows))
        np.testing.assert_array_equal(read(path)[..., 0], [[255, 0]])

    def test_first_frame_of_an_animation(self, file):
        frames = [Image.new("P", (4, 4), color) for color in (0, 1)]
        for frame in frames:
            frame.putpalette([255, 0, 0, 0, 255, 0])
        path = file(frames[0], "moving.gif", save_all=True, append_images=frames[1:])
        np.testing.assert_array_equal(read(path)[0, 0], [255, 0, 0])


def of_every_kind():
    """Pictures that Pillow can write to a file, by the file's name, with the options of saving them."""
    random = np.random.default_rng(3)
    rgb = Image.fromarray(random.integers(0, 256, (24, 36, 3), dtype=np.uint8))
    rgba = Image.fromarray(random.integers(0, 256, (24, 36, 4), dtype=np.uint8))
    deep = Image.fromarray(random.integers(0, 65536, (24, 36), dtype=np.uint16))
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    yield "turned.jpg", rgb, {"exif": exif}
    yield "turned.png", rgb, {"exif": exif}
    yield "turned.tif", rgb, {"exif": exif}
    yield "turned.webp", rgb, {"exif": exif}
    yield "turned.avif", rgb, {"exif": exif}
    yield "alpha.png", rgba, {}
    yield "turned-alpha.png", rgba, {"exif": exif}
    yield "gray-alpha.png", rgba.convert("LA"), {}
    yield "palette.png", rgb.quantize(9), {}
    yield "palette-alpha.png", rgb.quantize(9), {"transparency": 3}
    yield "deep.png", deep, {}
    yield "turned-deep.png", deep, {"exif": exif}
    yield "deep.pgm", deep, {}
    yield "deep.tif", deep, {}
    yield "bits.png", rgb.convert("1"), {}
    yield "print.jpg", rgb.convert("CMYK"), {"exif": exif}
    yield "print.tif", rgb.convert("CMYK"), {}
    yield "moving.gif", rgb.quantize(9), {"save_all": True, "append_images": [rgb.quantize(4)]}
    yield "photo.jp2", rgb, {}


class TestUprightRgb:
    @pytest.mark.parametrize(("name", "image", "options"), [pytest.param(*row, id=row[0]) for row in of_every_kind()])
    @pytest.mark.parametrize("loaded", ["lazy", "loaded", "copied"])
    def test_as_its_file_bit_for_bit(self, file, name, image, options, loaded):
        path = file(image, name, **options)
        expected = read_image(path)
        with Image.open(path) as opened:
            if loaded != "lazy":
                opened.load()
            given = opened.copy() if loaded == "copied" else opened
            found = upright_rgb(given)
            assert (found.mode, found.size, found.tobytes()) == ("RGB", expected.size, expected.tobytes())
            assert upright_rgb(found).tobytes() == expected.tobytes()

    @pytest.mark.parametrize(("name", "image", "options"), [pytest.param(*row, id=row[0]) for row in of_every_kind()])
    def test_the_callers_picture_stays(self, file, name, image, options):
        with Image.open(file(image, name, **options)) as given:
            given.load()
            before = given.mode, given.size, dict(given.info), given.tobytes(), dict(given.getexif())
            upright_rgb(given)
            assert before == (given.mode, given.size, dict(given.info), given.tobytes(), dict(given.getexif()))

    def test_a_twelve_bit_tiff(self, tmp_path):
        path = tmp_path / "deep.tif"
        path.write_bytes(tiff(12, 1, bytes([0x00, 0x0F, 0xFF])))
        with Image.open(path) as opened:
            assert upright_rgb(opened).tobytes() == read_image(path).tobytes()

    def test_what_is_right_is_not_copied(self, pixels):
        image = Image.fromarray(pixels)
        assert upright_rgb(image) is image

    def test_a_truncated_file_is_named(self, file, pixels):
        path = file(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)))
        path.write_bytes(path.read_bytes()[:3000])
        with (
            Image.open(path) as opened,
            pytest.raises(ImageError, match=r"Cannot read .*picture\.png: its data cannot"),
        ):
            upright_rgb(opened)

    def test_unknown_ranges_are_refused(self):
        with pytest.raises(ImageError, match="Cannot read the picture: pictures of Pillow mode 'F' have no known"):
            upright_rgb(Image.new("F", (2, 2)))


class TestReadStored:
    @pytest.mark.parametrize(("name", "image", "options"), [pytest.param(*row, id=row[0]) for row in of_every_kind()])
    def test_is_read_image_but_for_the_turn(self, file, name, image, options):
        path = file(image, name, **options)
        options = {key: value for key, value in options.items() if key != "exif"}
        expected = read_image(path if name == "turned.tif" else file(image, f"plain-{name}", **options))
        assert read_stored(path).tobytes() == expected.tobytes()


class TestReadImageErrors:
    def test_missing(self, tmp_path):
        with pytest.raises(ImageError, match=r"Cannot read .*gone\.png: there is no such file\. Give the path"):
            read_image(tmp_path / "gone.png")

    def test_folder(self, tmp_path):
        with pytest.raises(ImageError, match="it is not a file"):
            read_image(tmp_path)

    def test_empty(self, tmp_path):
        path = tmp_path / "empty.jpg"
        path.touch()
        with pytest.raises(ImageError, match=r"empty\.jpg: the file is empty \(0 bytes\)\. Copy or download it again"):
            read_image(path)

    def test_no_picture(self, tmp_path):
        path = tmp_path / "notes.png"
        path.write_text("shopping list")
        with pytest.raises(ImageError, match=r"notes\.png: it is none of AVIF, BMP, .*PNG or JPEG"):
            read_image(path)

    @pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "photo.bmp", "photo.tif", "photo.webp"])
    def test_truncated(self, file, name):
        noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        path = file(Image.fromarray(noise), name)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(
            ImageError, match=re.escape(str(path)) + ": its data cannot be decoded .*copy or download it again"
        ):
            read_image(path)

    def test_zero_size(self, tmp_path):
        path = tmp_path / "none.png"
        path.write_bytes(png(0, 0, 8, 0, b""))
        with pytest.raises(ImageError, match=r"none\.png"):
            read_image(path)

    @pytest.mark.parametrize("side", [12_000, 60_000])
    def test_too_large(self, tmp_path, side):
        path = tmp_path / "bomb.png"
        path.write_bytes(png(side, side, 8, 0, b"\0" * 1000))
        with pytest.raises(ImageError, match=r"bomb\.png: the picture is too large .*MAX_IMAGE_PIXELS"):
            read_image(path)

    @pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
    def test_too_large_where_warnings_pass(self, tmp_path):
        path = tmp_path / "bomb.png"
        path.write_bytes(png(12_000, 12_000, 8, 0, b"\0" * 1000))
        with pytest.raises(ImageError, match=r"bomb\.png: the picture is too large \(12000x12000 pixels"):
            read_image(path)

    def test_the_preview_in_a_raw_file_is_not_taken_for_the_photo(self, tmp_path):
        path = tmp_path / "photo.nef"
        path.write_bytes(tiff(8, 1, b"\x01\x02", subfile=1))
        with pytest.raises(ImageError, match=r"photo\.nef: it is a camera's raw file, and only its small preview"):
            read_image(path)
        path.write_bytes(tiff(8, 1, b"\x01\x02"))
        assert read_image(path).size == (2, 1)

    def test_unknown_range(self, file):
        path = file(Image.fromarray(np.ones((2, 2), np.float32)), "depth.tif")
        with pytest.raises(ImageError, match=r"depth\.tif: pictures of Pillow mode 'F' have no known range"):
            read_image(path)

    def test_beyond_sixteen_bits(self, file):
        path = file(Image.fromarray(np.array([[0, 70_000]], np.int32)), "depth.tif")
        with pytest.raises(ImageError, match="at most 16 bits, but got values from 0 to 70000"):
            read_image(path)

    def test_is_a_value_error(self):
        assert issubclass(ImageError, ValueError)


def encoded(name, options):
    noise = np.random.default_rng(2).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, name, **options)
    return buffer.getvalue()


EXIF = Image.Exif()
EXIF[ORIENTATION] = 6
WHOLE = [
    encoded("JPEG", {"exif": EXIF}),
    encoded("PNG", {"exif": EXIF}),
    encoded("TIFF", {"compression": "tiff_lzw"}),
    encoded("GIF", {}),
    encoded("BMP", {}),
    encoded("WEBP", {}),
    encoded("PPM", {}),
    encoded("AVIF", {"exif": EXIF}),
    encoded("JPEG2000", {}),
]


def mode_or_error(path):
    try:
        return read_image(path).mode
    except ImageError as error:
        return str(error)


@given(
    whole=st.sampled_from(WHOLE),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
    length=st.floats(0.1, 1),
)
@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_bytes_give_a_picture_or_one_clear_error(tmp_path, whole, changes, length):
    data = bytearray(whole[: int(len(whole) * length)])
    for place, value in changes:
        # Squared: headers break more readers than pixels do.
        data[int(place**2 * len(data))] = value
    path = tmp_path / "damaged"
    path.write_bytes(data)
    found = mode_or_error(path)
    assert found == "RGB" or found.startswith(f"Cannot read {path}: ")


def bmp(bits, grays, rows):
    """A bitmap of 8 pixels a row by hand, with a palette of gray."""
    palette = b"".join(bytes([gray, gray, gray, 0]) for gray in grays)
    place = 54 + len(palette)
    start = b"BM" + struct.pack("<IHHI", place + len(rows), 0, 0, place)
    height = len(rows) // bits
    return (
        start + struct.pack("<IiiHHIIiiII", 40, 8, -height, 1, bits, 0, len(rows), 0, 0, len(grays), 0) + palette + rows
    )


@pytest.mark.parametrize("read", [read_image, read_labels])
@pytest.mark.parametrize(("bits", "grays"), [(8, (0, 255)), (4, range(16))])
def test_bitmaps_that_pillow_misreads_are_refused(tmp_path, read, bits, grays):
    """Two grays of 8 bits are read as one bit a pixel: all black, and no error."""
    path = tmp_path / "label.bmp"
    path.write_bytes(bmp(bits, grays, bytes([0, 1, 0, 1, 1, 0, 1, 0][:bits])))
    with pytest.raises(ImageError, match=r"label\.bmp: Pillow misreads bitmaps with this gray palette\. Save it as"):
        read(path)


@pytest.mark.parametrize(("bits", "grays"), [(8, range(256)), (8, range(3)), (8, (9, 0))])
def test_bitmaps_with_other_gray_palettes(tmp_path, bits, grays):
    path = tmp_path / "label.bmp"
    path.write_bytes(bmp(bits, grays, bytes([0, 1, 0, 1, 1, 0, 1, 0])))
    np.testing.assert_array_equal(read_labels(path), [[0, 1, 0, 1, 1, 0, 1, 0]])


class TestReadLabels:
    INDICES = np.array([[0, 1, 2], [11, 254, 255]], np.uint8)

    def test_gray_png(self, file):
        found = read_labels(file(Image.fromarray(self.INDICES)))
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, self.INDICES)

    def test_palette_png_by_index(self, file):
        image = Image.fromarray(self.INDICES)
        image.putpalette([200, 0, 0] * 256)
        np.testing.assert_array_equal(read_labels(file(image)), self.INDICES)

    @pytest.mark.parametrize("bits", [1, 2, 4])
    def test_palette_png_of_few_bits(self, file, bits):
        indices = np.arange(2**bits, dtype=np.uint8).reshape(1, -1)
        image = Image.fromarray(indices)
        image.putpalette([9, 9, 9] * 2**bits)
        path = file(image, bits=bits)
        assert path.read_bytes()[24] == bits
        np.testing.assert_array_equal(read_labels(path), indices)

    def test_one_bit_gray(self, file):
        np.testing.assert_array_equal(read_labels(file(Image.fromarray(np.array([[True, False]])))), [[1, 0]])

    def test_sixteen_bit_gray(self, file):
        np.testing.assert_array_equal(read_labels(file(Image.fromarray(np.array([[3, 255]], np.uint16)))), [[3, 255]])

    def test_can_be_written_to(self, file):
        read_labels(file(Image.fromarray(self.INDICES)))[0, 0] = 1

    def test_exif_orientation_is_applied(self, file):
        exif = Image.Exif()
        exif[ORIENTATION] = 8
        np.testing.assert_array_equal(
            read_labels(file(Image.fromarray(self.INDICES), exif=exif)), np.rot90(self.INDICES)
        )

    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
    def test_colours_are_refused(self, file, mode):
        message = f"one class index per pixel, but got a picture of mode {mode}. Save each pixel's class index"
        with pytest.raises(ImageError, match=re.escape(message)):
            read_labels(file(Image.new(mode, (2, 2)), "label.png"))

    def test_jpeg_is_refused(self, file):
        with pytest.raises(
            ImageError, match=r"label\.jpg: JPEG may change values, so class indices do not survive it\. S"
        ):
            read_labels(file(Image.fromarray(self.INDICES), "label.jpg"))

    @pytest.mark.parametrize(
        ("name", "found"), [("a.webp", "WEBP"), ("a.avif", "AVIF"), ("a.jp2", "JPEG2000"), ("a.mpo", "JPEG")]
    )
    def test_other_lossy_formats_are_refused(self, file, name, found):
        with pytest.raises(ImageError, match=f"{name}: {found} may change values"):
            read_labels(file(Image.fromarray(np.resize(self.INDICES, (16, 16))), name))

    def test_lossy_tiffs_are_refused(self, file):
        path = file(Image.fromarray(np.resize(self.INDICES, (16, 16))), "a.tif", compression="jpeg")
        with pytest.raises(ImageError, match="JPEG may change values"):
            read_labels(path)

    @pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
    @pytest.mark.parametrize("palette", [False, True])
    def test_lossless_tiffs(self, file, compression, palette):
        image = Image.fromarray(self.INDICES)
        if palette:
            image.putpalette([200, 0, 0] * 256)
        np.testing.assert_array_equal(read_labels(file(image, "a.tif", compression=compression)), self.INDICES)

    @pytest.mark.parametrize("name", ["a.bmp", "a.gif", "a.pgm"])
    @pytest.mark.parametrize("palette", [False, True])
    def test_other_lossless_formats(self, file, name, palette):
        image = Image.fromarray(self.INDICES)
        if palette and name != "a.pgm":
            image.putpalette([value * 7 % 256 for value in range(768)])
        options = {"optimize": False} if name == "a.gif" else {}
        np.testing.assert_array_equal(read_labels(file(image, name, **options)), self.INDICES)

    @pytest.mark.parametrize("order", [1, 2])
    @pytest.mark.parametrize("bits", [2, 4])
    @pytest.mark.parametrize("photometric", [0, 1])
    def test_gray_tiffs_of_few_bits_are_refused(self, tmp_path, bits, photometric, order):
        path = tmp_path / "label.tif"
        path.write_bytes(tiff(bits, photometric, b"\x10", fill_order=order))
        with pytest.raises(ImageError, match="fewer than 8 bits does not say whether its values are indices or shades"):
            read_labels(path)

    @pytest.mark.parametrize(("bits", "row"), [(2, b"\x60"), (4, b"\x12"), (8, b"\x01\x02")])
    def test_palette_tiffs_of_few_bits(self, tmp_path, bits, row):
        path = tmp_path / "label.tif"
        path.write_bytes(tiff(bits, 3, row))
        np.testing.assert_array_equal(read_labels(path), [[1, 2]])

    @pytest.mark.parametrize(("bits", "row"), [(1, b"\x40"), (8, b"\x01\x02"), (16, b"\x01\x00\x02\x00")])
    def test_inverted_gray_is_refused(self, tmp_path, bits, row):
        path = tmp_path / "label.tif"
        path.write_bytes(tiff(bits, 0, row))
        with pytest.raises(
            ImageError, match=r"label\.tif: its gray is inverted \(0 is white\), .*8-bit gray or palette"
        ):
            read_labels(path)

    @pytest.mark.parametrize("data", [b"P4\n2 1\n\x40", b"P1\n2 1\n0 1\n"])
    def test_portable_bitmaps_are_refused(self, tmp_path, data):
        path = tmp_path / "label.pbm"
        path.write_bytes(data)
        with pytest.raises(ImageError, match="its gray is inverted"):
            read_labels(path)

    @pytest.mark.parametrize("data", [b"P5\n2 1\n20\n\x01\x02", b"P2\n2 1\n20\n1 2\n", b"P2\n2 1\n300\n1 2\n"])
    def test_scaled_graymaps_are_refused(self, tmp_path, data):
        path = tmp_path / "label.pgm"
        path.write_bytes(data)
        with pytest.raises(ImageError, match=r"its largest value is (20|300), not 255, which makes its values shades"):
            read_labels(path)

    @pytest.mark.parametrize(
        "data", [b"P5\n2 1\n255\n\x01\x02", b"P2\n2 1\n255\n1 2\n", b"P5\n2 1\n65535\n\0\x01\0\x02"]
    )
    def test_whole_graymaps(self, tmp_path, data):
        path = tmp_path / "label.pgm"
        path.write_bytes(data)
        np.testing.assert_array_equal(read_labels(path), [[1, 2]])

    def test_signed_values_are_refused_if_negative(self, tmp_path):
        path = tmp_path / "label.tif"
        path.write_bytes(tiff(8, 1, b"\x01\xff", sample_format=2))
        with pytest.raises(ImageError, match=r"class indices in 0-255 .* but got values from -1 to 1"):
            read_labels(path)
        path.write_bytes(tiff(8, 1, b"\x01\x7f", sample_format=2))
        np.testing.assert_array_equal(read_labels(path), [[1, 127]])

    def test_gamma_and_significant_bits_of_a_png_change_nothing(self, tmp_path):
        def chunk(kind, data):
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        path = tmp_path / "label.png"
        extra = chunk(b"gAMA", struct.pack(">I", 45455)), chunk(b"sBIT", b"\x04")
        path.write_bytes(png(2, 1, 8, 0, b"\0\x01\x81", *extra))
        np.testing.assert_array_equal(read_labels(path), [[1, 129]])

    @pytest.mark.parametrize("bits", [2, 4])
    def test_gray_of_few_bits_is_refused(self, tmp_path, bits):
        path = tmp_path / "label.png"
        path.write_bytes(png(2, 1, bits, 0, b"\0\x10"))
        with pytest.raises(ImageError, match="fewer than 8 bits does not say whether its values are indices or shades"):
            read_labels(path)

    def test_large_values_are_refused(self, file):
        path = file(Image.fromarray(np.array([[3, 256]], np.uint16)))
        with pytest.raises(ImageError, match=r"class indices in 0-255 .* but got values from 3 to 256"):
            read_labels(path)

    def test_missing(self):
        with pytest.raises(ImageError, match="there is no such file"):
            read_labels(Path("/nowhere/label.png"))


class TestArrays:
    @pytest.mark.parametrize("size", [(7, 5), (1, 1)])
    def test_to_array(self, size):
        pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
        found = to_array(Image.fromarray(pixels))
        assert found.dtype == np.uint8
        assert found.flags.c_contiguous
        assert found.flags.writeable
        np.testing.assert_array_equal(found, np.moveaxis(pixels, 2, 0))

    def test_to_array_refuses_other_modes(self):
        with pytest.raises(
            ValueError, match=r"a picture of mode RGB, but got L.* convert other pictures with `upright_rgb`"
        ):
            to_array(Image.new("L", (2, 2)))

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_round_trip(self, pixels, dtype):
        picture = to_picture(to_array(Image.fromarray(pixels)).astype(dtype) / 255)
        assert picture.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(picture), pixels)

    def test_rounds_and_ends(self):
        levels = np.array([-0.5, 0.4 / 255, 0.6 / 255, 1.5], np.float32)
        picture = to_picture(np.broadcast_to(levels, (3, 1, 4)))
        np.testing.assert_array_equal(np.asarray(picture)[0, :, 0], [0, 0, 1, 255])

    def test_to_picture_refuses_integers(self):
        with pytest.raises(TypeError, match=r"floats in .* but got uint8\. Divide 8-bit values by 255"):
            to_picture(np.zeros((3, 2, 2), np.uint8))

    @pytest.mark.parametrize("shape", [(1, 3, 4, 4), (1, 4, 4), (3, 0, 4)])
    def test_to_picture_refuses_shapes(self, shape):
        with pytest.raises(ValueError, match=re.escape(f"one RGB image (3, H, W), but got shape {shape}")):
            to_picture(np.zeros(shape))

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_to_picture_refuses_what_is_not_finite(self, value):
        with pytest.raises(ValueError, match="NaN or infinity"):
            to_picture(np.full((3, 2, 2), value))
