"""Colour profiles, made here byte by byte (ICC.1:2001-04), and colours computed from their definitions."""

import logging
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stencilnet.pictures.colours import in_profile, srgb_profile
from stencilnet.pictures.images import read_image, upright_rgb

D50 = (0.9642, 1.0, 0.8249)
P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
"""Display P3's red, green and blue in XYZ, adapted to D50, as in Apple's profile."""


def profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    body, table, start = b"", b"", 132 + 12 * len(tags)
    for name, tag in tags.items():
        table += name + struct.pack(">II", start + len(body), len(tag))
        body += tag + b"\0" * (-len(tag) % 4)
    white = struct.pack(">3i", *(round(value * 65536) for value in D50))
    head = struct.pack(">IIIIII", start + len(body), 0, 0x02400000, 0, 0, 0)[:12] + b"mntr" + space + b"XYZ "
    head = head.ljust(36, b"\0") + b"acsp"
    return (head.ljust(68, b"\0") + white).ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def curve(levels: np.ndarray) -> bytes:
    values = np.round(levels * 65535).astype(">u2")
    return b"curv\0\0\0\0" + struct.pack(">I", len(values)) + values.tobytes()


def linear(share: np.ndarray) -> np.ndarray:
    """sRGB's curve (IEC 61966-2-1)."""
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def rgb_profile(primaries: tuple[tuple[float, ...], ...]) -> bytes:
    tags = {name + b"XYZ": xyz(values) for name, values in zip((b"r", b"g", b"b"), primaries, strict=True)}
    tags |= {name + b"TRC": curve(linear(np.linspace(0, 1, 1024))) for name in (b"r", b"g", b"b")}
    return profile(b"RGB ", {b"wtpt": xyz(D50), **tags})


DISPLAY_P3 = rgb_profile(P3)
LINEAR_GRAY = profile(b"GRAY", {b"wtpt": xyz(D50), b"kTRC": curve(np.array([0, 1]))})


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg", "a.webp", "a.avif"])
def test_display_p3_becomes_srgb(tmp_path: Path, name: str) -> None:
    lossless = {"quality": 100} | ({"lossless": True} if name == "a.webp" else {})
    Image.new("RGB", (8, 8), (255, 60, 40)).save(tmp_path / name, icc_profile=DISPLAY_P3, **lossless)
    found = read_image(tmp_path / name)
    assert "icc_profile" not in found.info
    assert np.abs(np.asarray(found).astype(int) - [255, 16, 0]).max() <= (0 if name in {"a.png", "a.tif"} else 4)
    with Image.open(tmp_path / name) as opened:
        assert upright_rgb(opened).tobytes() == found.tobytes()
    assert upright_rgb(found) is found


def test_srgb_becomes_display_p3_again() -> None:
    stored = Image.fromarray(np.random.default_rng(0).integers(60, 200, (9, 9, 3), dtype=np.uint8))
    stored.info["icc_profile"] = DISPLAY_P3
    srgb = upright_rgb(stored)
    again = in_profile(srgb.copy(), DISPLAY_P3, "a")
    assert again.info["icc_profile"] == DISPLAY_P3
    off = np.abs(np.asarray(again).astype(int) - np.asarray(stored))
    inside = ((np.asarray(srgb) > 0) & (np.asarray(srgb) < 255)).all(axis=-1)
    assert inside.mean() > 0.5
    assert off[inside].max() <= 2  # rounded twice
    assert np.abs(np.asarray(srgb).astype(int) - np.asarray(stored)).max() > 9


def test_what_no_picture_of_rgb_can_have_is_srgb(caplog: pytest.LogCaptureFixture) -> None:
    given = Image.new("RGB", (2, 2), (9, 99, 200))
    for other in (b"", LINEAR_GRAY, srgb_profile()):
        found = in_profile(given.copy(), other, "a")
        assert (found.tobytes(), found.info["icc_profile"]) == (given.tobytes(), srgb_profile())
    assert not caplog.records
    for unusable in (b"no profile", profile(b"Lab ", {b"wtpt": xyz(D50)})):
        found = in_profile(given.copy(), unusable, f"{len(unusable)}.png")
        assert (found.tobytes(), found.info["icc_profile"]) == (given.tobytes(), srgb_profile())
        (told,) = caplog.messages
        assert told.startswith(f"{len(unusable)}.png: its colour profile cannot be used (")
        assert told.endswith("). The output is in sRGB.")
        caplog.clear()


def test_transparency_is_put_over_white_in_srgb(tmp_path: Path) -> None:
    pixels = np.array([[[255, 60, 40, 255], [255, 60, 40, 0], [255, 60, 40, 51]]], np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png", icc_profile=DISPLAY_P3)
    expected = [[255, 16, 0], [255, 255, 255], [255, 207, 204]]
    np.testing.assert_allclose(np.asarray(read_image(tmp_path / "a.png"))[0], expected, atol=1)


def test_gray_by_its_own_curve(tmp_path: Path) -> None:
    levels = np.arange(256, dtype=np.uint8)[None]
    Image.fromarray(levels).save(tmp_path / "a.png", icc_profile=LINEAR_GRAY)
    found = np.asarray(read_image(tmp_path / "a.png")).astype(int)
    assert (found == found[..., :1]).all()
    light = linear(np.arange(256) / 255)  # of every level of the result
    expected = np.abs(light[:, None] - levels / 255).argmin(axis=0)
    assert np.abs(found[0, :, 0] - expected).max() <= 1
    deep = Image.fromarray(levels.astype(np.uint16) * 257)
    deep.save(tmp_path / "deep.png", icc_profile=LINEAR_GRAY)
    assert read_image(tmp_path / "deep.png").tobytes() == read_image(tmp_path / "a.png").tobytes()


def test_gray_with_a_profile_of_colours(tmp_path: Path) -> None:
    Image.new("L", (2, 2), 77).save(tmp_path / "a.png", icc_profile=DISPLAY_P3)
    assert read_image(tmp_path / "a.png").getpixel((0, 0)) == (77, 77, 77)  # both have one curve and one white


def test_cmyk_by_a_profile(tmp_path: Path) -> None:
    """A profile of two levels a channel: the paper's white, and black wherever there is ink."""
    grid = np.zeros((16, 3), np.uint8)
    grid[0] = 255, 128, 128  # Lab of white; all other corners are black
    grid[1:] = 0, 128, 128
    head = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + struct.pack(">9i", *(np.eye(3, dtype=int) * 65536).ravel().tolist())
    ramp = bytes(range(256))
    a2b = head + ramp * 4 + grid.tobytes() + ramp * 3
    data = bytearray(profile(b"CMYK", {b"wtpt": xyz(D50), b"A2B0": a2b}))
    data[12:16], data[20:24] = b"prtr", b"Lab "
    inks = np.array([[[0, 0, 0, 0], [255, 0, 0, 0]]], np.uint8)
    Image.fromarray(inks, "CMYK").save(tmp_path / "a.tif", icc_profile=bytes(data))
    np.testing.assert_allclose(np.asarray(read_image(tmp_path / "a.tif"))[0], [[255] * 3, [0] * 3], atol=2)
    Image.fromarray(inks, "CMYK").save(tmp_path / "plain.tif")
    assert read_image(tmp_path / "plain.tif").getpixel((1, 0)) == (0, 255, 255)


def test_srgb_changes_nothing_and_copies_nothing() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8))
    image.info["icc_profile"] = srgb_profile()
    assert upright_rgb(image) is image
    assert srgb_profile()[24:36] == bytes([7, 208, 0, 1, 0, 1, *[0] * 6])


@pytest.mark.parametrize(
    ("mode", "given", "reason"),
    [
        ("RGB", b"no profile", "cannot open profile from string"),
        ("RGB", DISPLAY_P3[:200], ""),
        ("RGB", LINEAR_GRAY, "it is for pictures of mode L, and this one is RGB"),
        ("CMYK", DISPLAY_P3, "it is for pictures of mode RGB, and this one is CMYK"),
        ("RGB", DISPLAY_P3.replace(b"RGB ", b"Lab "), "its colour space is 'Lab '"),
    ],
)
def test_a_profile_that_cannot_be_used_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: str, given: bytes, reason: str
) -> None:
    path = tmp_path / "a.tif"
    Image.new(mode, (4, 4), "green").save(path, icc_profile=given)
    Image.new(mode, (4, 4), "green").save(tmp_path / "plain.tif")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert read_image(path).tobytes() == read_image(tmp_path / "plain.tif").tobytes()
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"{path}: its colour profile cannot be used ({reason}")
    assert line.endswith("). Its colours are taken for sRGB.")
