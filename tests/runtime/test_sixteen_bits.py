"""Answers of 16 bits per channel: the photo bit for bit where a task returns it, and those of 8 bits if rounded."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from stencilnet.bundle import TaskRecord
from stencilnet.delta import Replace, TaskDelta
from stencilnet.masks import array_of
from stencilnet.models import MultiTaskNet, UNet, save
from stencilnet.pictures.deep import Deep
from stencilnet.pictures.deep_output import encode_deep
from stencilnet.runtime import Engine, answering
from stencilnet.runtime.answering import Form
from stencilnet.runtime.files import run_files

HEIGHT, WIDTH = 40, 48
RAMP = (np.arange(HEIGHT * WIDTH, dtype=np.uint16) * 34).reshape(HEIGHT, WIDTH)
PHOTO: Deep = np.ascontiguousarray(np.dstack([RAMP, RAMP[::-1], RAMP[:, ::-1]]))
RECORDS = {
    "same": TaskRecord(kind="restoration", channels=3, method="piggyback", settings={"residual": True}),
    "clean": TaskRecord(kind="restoration", channels=3, method="piggyback"),
    "colour": TaskRecord(kind="colorization", channels=2, method="piggyback"),
    "style": TaskRecord(kind="style", channels=3, method="piggyback", settings={"style": "painted:bands"}),
    "facing": TaskRecord(kind="normals", channels=3, method="piggyback"),
    "paint": TaskRecord(kind="edges2photo", channels=3, method="piggyback"),
    "shapes": TaskRecord(kind="segmentation", channels=3, method="piggyback", settings={"classes": ["a", "b", "c"]}),
    "small-style": TaskRecord(
        kind="style",
        channels=3,
        method="piggyback",
        settings={"style": "painted:bands"},
        recipe={"view": {"resize": 16}},
    ),
    "small-gray": TaskRecord(kind="colorization", channels=2, method="piggyback", recipe={"view": {"resize": 16}}),
}
"""``same`` returns its photo, and the chroma of ``small-gray`` is none: their heads are all zeros."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    net = MultiTaskNet(UNet(width=4, channels=1))
    state, generator = net.state, torch.Generator().manual_seed(0)
    for name, record in RECORDS.items():
        head = net.fresh_head(record.channels, generator)
        scale = 0 if name in ("same", "small-gray") else 1
        state = state.add(name, TaskDelta({key: Replace(array_of(scale * tensor)) for key, tensor in head.items()}))
    folder = tmp_path_factory.mktemp("bundles") / "bundle"
    save(net.with_state(state, RECORDS), folder)
    return folder


@pytest.fixture(scope="module", params=["onnx", "torch"])
def engine(bundle: Path, request: pytest.FixtureRequest) -> Engine:
    return Engine(bundle, backend=request.param)


def written(folder: Path) -> Iterator[tuple[Path, Deep]]:
    """Files of 16 bits, and their pixels."""
    for name, suffix in (("PNG", "png"), ("TIFF", "tif")):
        (folder / f"rgb.{suffix}").write_bytes(encode_deep(PHOTO, name))
        yield folder / f"rgb.{suffix}", PHOTO
        Image.fromarray(RAMP).save(folder / f"gray.{suffix}")
        yield folder / f"gray.{suffix}", np.dstack([RAMP] * 3)


def test_what_returns_its_photo_returns_all_bits(engine: Engine, tmp_path: Path) -> None:
    for file, pixels in written(tmp_path):
        found = engine.run(file, "same", bits=16)
        assert isinstance(found, np.ndarray)
        assert found.dtype == np.uint16
        np.testing.assert_array_equal(found, pixels)
        assert len(np.unique(found)) > 256
        np.testing.assert_array_equal(engine.run(pixels, "same", bits=16), pixels)


def test_strips_have_all_bits(bundle: Path) -> None:
    np.testing.assert_array_equal(Engine(bundle, tile=16).run(PHOTO, "same", bits=16), PHOTO)


@pytest.mark.parametrize("task", [name for name in RECORDS if name != "shapes"])
def test_eight_bits_are_those_of_16_rounded(task: str, engine: Engine, tmp_path: Path) -> None:
    for file, _ in written(tmp_path):
        deep, found = engine.run(file, task, bits=16), engine.run(file, task)
        assert isinstance(deep, np.ndarray)
        off = np.abs(deep / 257 - np.asarray(found)).max()
        assert off <= (2 if task == "small-style" else 0.501)  # 8 bits are rounded before they are resized, and after
        assert len(np.unique(deep)) > len(np.unique(found))


def test_a_resized_network_leaves_the_brightness_of_all_bits(engine: Engine) -> None:
    gray = np.dstack([RAMP] * 3)
    found = engine.run(gray, "small-gray", bits=16)
    assert np.abs(found.astype(int) - gray).max() <= 1


def test_answers_in_bands_are_the_whole(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = ["same", "small-gray", "small-style"]
    whole = [engine.run(PHOTO, task, bits=16) for task in tasks]
    monkeypatch.setattr(answering, "_BAND", 7 * 3 * WIDTH)
    for task, expected in zip(tasks, whole, strict=True):
        off = engine.run(PHOTO, task, bits=16).astype(int) - np.asarray(expected)
        assert np.abs(off).max() <= (1 if task == "small-gray" else 0)  # a resized band may round otherwise


def test_photos_of_8_bits_and_transparent_ones(engine: Engine) -> None:
    plain = Image.fromarray((PHOTO >> 8).astype(np.uint8))
    np.testing.assert_array_equal(engine.run(plain, "same", bits=16), np.asarray(plain) * np.uint16(257))
    plain.putalpha(128)
    found = engine.run(plain, "same", bits=16)
    assert isinstance(found, np.ndarray)
    assert (found.shape, set(found[..., 3].ravel().tolist())) == ((HEIGHT, WIDTH, 4), {128 * 257})


def test_folders_of_every_kind_of_photo(engine: Engine, tmp_path: Path) -> None:
    expected = dict(written(tmp_path))
    Image.fromarray((PHOTO >> 8).astype(np.uint8)).save(tmp_path / "plain.webp", lossless=True)
    expected[tmp_path / "plain.webp"] = (PHOTO >> 8) * np.uint16(257)
    data = (tmp_path / "rgb.png").read_bytes()
    (tmp_path / "bad.png").write_bytes(data[: len(data) - 500])
    sources = [*expected, tmp_path / "bad.png"]
    planned = {source: tmp_path / "out" / f"{source.name}.tif" for source in sources}
    results = dict(run_files(engine, "same", planned, drawing=False, form=Form(bits=16)))
    assert f"Cannot read {tmp_path / 'bad.png'}: " in str(results.pop(tmp_path / "bad.png"))
    assert results == dict.fromkeys(expected)
    for source, pixels in expected.items():
        np.testing.assert_array_equal(tifffile.imread(planned[source]), pixels)


def test_less_than_16_bits_are_said(engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "a.tif"
    tifffile.imwrite(file, PHOTO, photometric="rgb", tile=(16, 16))
    engine.run(file, "same")
    assert caplog.messages == []
    for _ in range(2):
        engine.run(file, "same", bits=16)
    reason = "PyAV cannot read this kind of file"
    assert caplog.messages == [f"{file}: its pixels of 16 bits are read with 8 bits, since {reason}."]


def test_what_has_no_16_bits_is_refused_before_any_work(engine: Engine, tmp_path: Path) -> None:
    refused = r"Expected 8 bits for segmentation tasks, but got 16\. Only pictures in RGB and gray maps have 16 bits"
    with pytest.raises(ValueError, match=refused):
        engine.run(PHOTO, "shapes", bits=16)
    with pytest.raises(ValueError, match=refused):
        next(run_files(engine, "shapes", {}, drawing=False, form=Form(bits=16)))
    with pytest.raises(ValueError, match="Expected `bits` to be 8 or 16, but got 12"):
        engine.run(PHOTO, "same", bits=12)
    with pytest.raises(ValueError, match="Expected the profile srgb with 16 bits, but got original"):
        engine.run(PHOTO, "same", bits=16, profile="original")
    planned = {tmp_path / "none.png": tmp_path / "out.jp2"}
    with pytest.raises(ValueError, match=r"Cannot write .*out\.jp2 with 16 bits\. Choose \.png or \.tif for -o"):
        next(run_files(engine, "same", planned, drawing=False, form=Form(bits=16)))
