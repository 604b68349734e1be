"""Many pictures, many tasks, few modules; and the fast precision beside the exact one."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stencilnet.bundle import TaskRecord
from stencilnet.delta import BitMask, Entry, Replace, Select, TaskDelta
from stencilnet.inference import forward
from stencilnet.masks import array_of
from stencilnet.models import MultiTaskNet, UNet, acceleration, save
from stencilnet.models.acceleration import has_fast_bf16
from stencilnet.pictures.images import ImageError
from stencilnet.runtime import Engine

RECORDS = {
    "clean": TaskRecord(kind="restoration", channels=3, method="piggyback"),
    "colour": TaskRecord(kind="colorization", channels=2, method="piggyback"),
    "sharp": TaskRecord(kind="restoration", channels=3, method="piggyback"),
    "label": TaskRecord(kind="classification", channels=2, method="piggyback", settings={"classes": ["a", "b"]}),
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = torch.Generator().manual_seed(0)
    net = MultiTaskNet(UNet(width=2, channels=1))
    state = net.state
    for name, record in RECORDS.items():
        entries: dict[str, Entry] = {
            key: Select(BitMask.pack(torch.rand(state.shared[key].shape, generator=generator) > 0.4))
            for key in net.layout.masked
        }
        head = net.fresh_head(record.channels, generator)
        state = state.add(name, TaskDelta(entries | {key: Replace(array_of(tensor)) for key, tensor in head.items()}))
    folder = tmp_path_factory.mktemp("written") / "bundle"
    save(net.with_state(state, RECORDS), folder)
    return folder


def picture(size: tuple[int, int], seed: int = 0) -> Image.Image:
    width, height = size
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def as_bytes(images: list[Image.Image]) -> list[tuple[str, tuple[int, int], bytes]]:
    return [(image.mode, image.size, image.tobytes()) for image in images]


@pytest.mark.parametrize("active", [1, 2, 8])
def test_many_are_as_one_by_one(bundle: Path, tmp_path: Path, active: int, monkeypatch: pytest.MonkeyPatch) -> None:
    images: list[Image.Image | str | Path] = [picture((33 + 7 * (i % 3), 40), seed=i) for i in range(9)]
    picture((20, 30), seed=99).save(tmp_path / "photo.png")
    images[4] = tmp_path / "photo.png"
    tasks = ["clean", "colour", "sharp"] * 3
    alone = Engine(bundle, backend="torch")
    expected = as_bytes([alone.run(image, task) for image, task in zip(images, tasks, strict=True)])
    switched: list[str] = []
    switch: Callable[..., None] = MultiTaskNet.switch
    monkeypatch.setattr(
        MultiTaskNet, "switch", lambda net, module, task: (switched.append(task), switch(net, module, task))
    )
    engine = Engine(bundle, active=active, backend="torch")
    assert as_bytes(engine.run_many(images, tasks)) == expected
    assert len(switched) == max(0, 3 - active)
    assert engine.run_many([], []) == []


def test_many_refuse_before_any_runs(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, image = Engine(bundle), picture((8, 8))
    ran: list[str] = []
    monkeypatch.setattr(Engine, "run", lambda _engine, _image, task: ran.append(task))
    with pytest.raises(ValueError, match=r"as many tasks as images \(2\), but got 1"):
        engine.run_many([image, image], ["clean"])
    with pytest.raises(ValueError, match="Expected `task` to be one of clean, colour, sharp, label, but got 'gogh'"):
        engine.run_many([image, image], ["clean", "gogh"])
    with pytest.raises(ValueError, match="gives a label, not a picture"):
        engine.run_many([image, image], ["clean", "label"])
    assert ran == []


def test_a_bad_file_among_many_is_named(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"none\.png"):
        Engine(bundle).run_many([picture((8, 8)), tmp_path / "none.png"], ["clean", "clean"])


def test_exact_is_the_default(bundle: Path) -> None:
    assert Engine(bundle).precision == "float32"
    assert Engine(bundle, precision="bf16").precision == "bf16"


@pytest.mark.parametrize("compiles", [True, False])
@pytest.mark.parametrize("bf16", [True, False])
def test_auto_is_what_the_device_has(bundle: Path, monkeypatch: pytest.MonkeyPatch, compiles: bool, bf16: bool) -> None:
    monkeypatch.setattr(forward, "can_compile", lambda _device: compiles)
    monkeypatch.setattr(forward, "has_fast_bf16", lambda _device: bf16)
    expected = ("bf16" if bf16 else "float32") + (" compiled" if compiles else "")
    assert Engine(bundle, precision="auto", backend="torch").precision == expected


@pytest.mark.parametrize(("bf16", "backend"), [(True, "torch"), (False, "onnx")])
def test_auto_is_pytorch_where_the_processor_has_bf16(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, bf16: bool, backend: str
) -> None:
    monkeypatch.setattr(acceleration, "has_fast_bf16", lambda _device: bf16)
    monkeypatch.setattr(forward, "can_compile", lambda _device: False)
    assert Engine(bundle, precision="auto").backend == backend
    assert Engine(bundle, precision="auto", backend="onnx").precision == "float32"


def test_auto_without_a_compiler_is_exact_where_bf16_is_slow(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "can_compile", lambda _device: False)
    monkeypatch.setattr(forward, "has_fast_bf16", lambda _device: False)
    image = picture((40, 33))
    auto, exact = (Engine(bundle, precision=name, backend="torch").run(image, "clean") for name in ("auto", "float32"))
    assert auto.tobytes() == exact.tobytes()


@pytest.mark.slow
@pytest.mark.usefixtures("compiler")
def test_auto_is_close_at_all_sizes_by_few_graphs(bundle: Path, caplog: pytest.LogCaptureFixture) -> None:
    from torch._dynamo.utils import counters

    exact = Engine(bundle, backend="torch")
    auto = Engine(bundle, precision="auto", active=1, backend="torch")
    tolerance = 0.2 if has_fast_bf16("cpu") else 1e-4
    before = counters["stats"]["unique_graphs"]
    with caplog.at_level("INFO", logger="stencilnet"):
        for size in ((64, 64), (80, 64), (50, 70), (61, 77)):  # one size class; square first
            for task in ("clean", "sharp"):
                image = np.random.default_rng(1).random((3, *size), np.float32)
                np.testing.assert_allclose(
                    auto.forward(image, task), exact.forward(image, task), atol=tolerance, rtol=0
                )
    assert counters["stats"]["unique_graphs"] - before == 1
    assert [r.getMessage() for r in caplog.records if "Compiling" in r.getMessage()] == [
        "Compiling the network for 3 output channels: the first pictures take longer."
    ]
