"""Pictures in, pictures out: from files, from threads, at any size, on light imports."""

import re
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from stencilnet.bundle import BundleError, TaskRecord, add_task, remove_task
from stencilnet.delta import BitMask, Entry, Quantized, Replace, Seed, Seeded, Select, TaskDelta
from stencilnet.masks import array_of, arrays_of
from stencilnet.models import MultiTaskNet, UNet, load, save
from stencilnet.pictures.images import ImageError
from stencilnet.runtime import BACKENDS, Engine

PALETTE = [[0, 0, 0], [255, 0, 0], [0, 0, 255]]
RECORDS = {
    "shapes": TaskRecord(
        kind="segmentation",
        channels=3,
        method="piggyback",
        settings={"classes": ["a", "b", "c"], "palette": PALETTE},
    ),
    "colour": TaskRecord(kind="colorization", channels=2, method="piggyback"),
    "clean": TaskRecord(kind="restoration", channels=3, method="piggyback"),
    "paint": TaskRecord(kind="edges2photo", channels=3, method="piggyback"),
}
SIZES = [(64, 48), (37, 50), (5, 90), (1, 1)]
"""Width and height of pictures."""


def _net() -> MultiTaskNet:
    backbone = UNet(width=3, channels=1)
    generator = torch.Generator().manual_seed(0)
    for tensor in backbone.state_dict().values():
        tensor.copy_(torch.randn(tensor.shape, generator=generator) / 3)
    net = MultiTaskNet(backbone)
    state = net.state
    for name, record in RECORDS.items():
        masks: dict[str, Entry] = {
            key: Select(BitMask.pack(torch.rand(state.shared[key].shape, generator=generator) > 0.4))
            for key in net.layout.masked
        }
        head = {key: Replace(array_of(tensor)) for key, tensor in net.fresh_head(record.channels, generator).items()}
        state = state.add(name, TaskDelta(masks | head))
    return net.with_state(state, RECORDS)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written") / "bundle"
    save(_net(), folder)
    return folder


@pytest.fixture
def bundle(tmp_path: Path, written: Path) -> Path:
    return shutil.copytree(written, tmp_path / "bundle")


def picture(size: tuple[int, int] = (64, 48), seed: int = 0) -> Image.Image:
    width, height = size
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def raw(net: MultiTaskNet, image: Image.Image, task: str) -> np.ndarray:
    pixels = np.asarray(image).astype(np.float32).transpose(2, 0, 1)[None] / 255
    return net(torch.from_numpy(pixels), task=task)[0].numpy()


def test_tasks_are_those_of_the_bundle(bundle: Path) -> None:
    engine = Engine(bundle)
    assert engine.tasks == ("shapes", "colour", "clean", "paint")
    assert engine.record("shapes") == RECORDS["shapes"]


@pytest.mark.parametrize("size", SIZES)
def test_segmentation_is_the_best_class_of_every_pixel(bundle: Path, size: tuple[int, int]) -> None:
    image = picture(size)
    out = Engine(bundle).run(image, "shapes")
    assert (out.mode, out.size) == ("P", size)
    np.testing.assert_array_equal(np.asarray(out), raw(_net(), image, "shapes").argmax(axis=0))
    assert [out.getpalette()[:9][i : i + 3] for i in (0, 3, 6)] == PALETTE


def _quantized_net() -> MultiTaskNet:
    """``clean`` by a mask, ``moved`` by codes over the backbone, ``drawn`` by codes over seeded weights."""
    net, generator = _net(), torch.Generator().manual_seed(2)
    state, records = net.state, dict(RECORDS)
    for name in ("moved", "drawn"):
        entries: dict[str, Entry] = {}
        for key in net.layout.masked:
            shape = state.shared[key].shape
            codes = torch.randn(shape, generator=generator).round().clamp(-3, 3).to(torch.int8)
            change = Quantized(array_of(codes), np.array(0.05, np.float32))
            entries[key] = change if name == "moved" else Seeded(Seed.of(4, key, tuple(shape)), change)
        head = {key: Replace(array_of(tensor)) for key, tensor in net.fresh_head(3, generator).items()}
        state = state.add(name, TaskDelta(entries | head))
        records[name] = TaskRecord(kind="restoration", channels=3, method="quantized_delta")
    return net.with_state(state, records)


@pytest.mark.slow
def test_quantised_tasks_run_from_fewer_modules_than_tasks(tmp_path: Path) -> None:
    net, image = _quantized_net(), picture((37, 50))
    save(net, tmp_path / "bundle")
    alone = {task: np.asarray(Engine(tmp_path / "bundle").run(image, task)) for task in ("clean", "moved", "drawn")}
    for task, pixels in alone.items():
        expected = 255 * raw(net, image, task).clip(0, 1).transpose(1, 2, 0)
        assert np.abs(pixels - expected).max() < 0.5 + 1e-3, task
    assert not np.array_equal(alone["moved"], alone["drawn"])
    for active in (1, 2):
        engine = Engine(tmp_path / "bundle", active=active)
        for task in ("moved", "drawn", "clean", "moved", "clean", "drawn", "moved"):
            np.testing.assert_array_equal(np.asarray(engine.run(image, task)), alone[task], err_msg=task)


@pytest.mark.parametrize("size", SIZES)
def test_restoration_is_the_clamped_output(bundle: Path, size: tuple[int, int]) -> None:
    image = picture(size)
    out = Engine(bundle).run(image, "clean")
    assert (out.mode, out.size) == ("RGB", size)
    expected = np.rint(raw(_net(), image, "clean").clip(0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    np.testing.assert_array_equal(np.asarray(out), expected)


def test_colouring_keeps_the_luma_where_colours_allow(bundle: Path) -> None:
    gray = np.full((40, 40, 3), 128, dtype=np.uint8)
    out = np.asarray(Engine(bundle).run(Image.fromarray(gray), "colour")).astype(float)
    inside = ((out > 0) & (out < 255)).all(axis=-1)
    assert inside.any()
    assert np.abs(out @ [0.299, 0.587, 0.114] - 128)[inside].max() <= 1


def test_files_and_pictures_give_the_same(bundle: Path, tmp_path: Path) -> None:
    engine = Engine(bundle)
    picture().save(tmp_path / "photo.png")
    for place in (tmp_path / "photo.png", str(tmp_path / "photo.png")):
        assert engine.run(place, "clean").tobytes() == engine.run(picture(), "clean").tobytes()
    with pytest.raises(ImageError, match=r"nothing.png: there is no such file"):
        engine.run(tmp_path / "nothing.png", "clean")


def test_raw_outputs_of_arrays_and_of_tensors(bundle: Path) -> None:
    engine = Engine(bundle, backend="torch")
    image = np.random.default_rng(0).random((3, 40, 33), np.float32)
    output = engine.forward(image, "colour")
    assert (output.shape, output.dtype) == ((2, 40, 33), np.float32)
    np.testing.assert_array_equal(output, _net()(torch.from_numpy(image)[None], task="colour")[0])
    np.testing.assert_array_equal(engine.forward(torch.from_numpy(image), "colour"), output)
    turned = np.asfortranarray(image)
    turned.flags.writeable = False
    np.testing.assert_array_equal(engine.forward(turned, "colour"), output)


@pytest.mark.parametrize("shape", [(8, 8), (1, 3, 8, 8), (4, 8, 8), (3, 0, 8)])
def test_an_array_that_is_no_image_is_refused(bundle: Path, shape: tuple[int, ...]) -> None:
    engine = Engine(bundle)
    expected = f"Expected argument `image` to be one RGB image (3, H, W), but got shape {shape}."
    with pytest.raises(ValueError, match=re.escape(expected)):
        engine.forward(np.zeros(shape, np.float32), "clean")


@pytest.mark.parametrize("kind", ["turned.jpg", "turned.png", "alpha.png", "deep.png", "palette.png", "print.jpg"])
def test_pictures_of_every_kind_give_what_their_files_give(bundle: Path, tmp_path: Path, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = Image.fromarray(np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) * 21)
    image = {
        "alpha.png": Image.merge("RGBA", (*picture().split(), picture(seed=1).getchannel(0))),
        "deep.png": deep,
        "palette.png": picture().quantize(7),
        "print.jpg": picture().convert("CMYK"),
    }.get(kind, picture())
    image.save(tmp_path / kind, **({"exif": exif} if kind.startswith("turned") else {}))
    engine = Engine(bundle)
    for task in ("clean", "colour", "shapes", "paint"):
        expected = engine.run(tmp_path / kind, task)
        with Image.open(tmp_path / kind) as opened:
            found = [engine.run(opened, task), *engine.run_many([opened], [task])]
        assert expected.size == ((48, 64) if kind.startswith("turned") else (64, 48))
        assert [(each.size, each.tobytes()) for each in found] == [(expected.size, expected.tobytes())] * 2
    with Image.open(tmp_path / kind) as opened:
        drawn = engine.run(opened, "paint", drawing=True)
    assert drawn.tobytes() == engine.run(tmp_path / kind, "paint", drawing=True).tobytes()


def test_a_drawing_is_taken_as_it_is(bundle: Path) -> None:
    engine = Engine(bundle)
    lines = np.full((48, 64, 3), 255, dtype=np.uint8)
    lines[20:22] = 0
    drawing = Image.fromarray(lines)
    out = np.asarray(engine.run(drawing, "paint", drawing=True))
    expected = (np.tanh(raw(_net(), drawing, "paint")) + 1) / 2 * 255
    assert np.abs(out - expected.transpose(1, 2, 0)).max() <= 0.51
    assert engine.run(drawing, "paint").tobytes() != out.tobytes()
    with pytest.raises(
        ValueError, match=r"Expected a task that takes drawings \(edges2photo\), but got a colorization"
    ):
        engine.run(drawing, "colour", drawing=True)


@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_two_threads_on_two_tasks_give_the_single_thread_bytes(bundle: Path, backend: str) -> None:
    images = [picture((48 + 16 * (i % 2), 48), seed=i) for i in range(4)]
    alone = Engine(bundle, backend=backend)
    expected = {(task, i): alone.run(images[i], task).tobytes() for task in RECORDS for i in range(4)}
    for _ in range(5):  # a fresh engine each time: first uses collide too
        engine = Engine(bundle, backend=backend)
        start = threading.Barrier(len(RECORDS))

        def work(task: str, engine: Engine = engine, start: threading.Barrier = start) -> dict[tuple[str, int], bytes]:
            start.wait()
            return {(task, i): engine.run(images[i], task).tobytes() for _ in range(3) for i in range(4)}

        with ThreadPoolExecutor(len(RECORDS)) as pool:
            for got in pool.map(work, RECORDS):
                assert got == {key: expected[key] for key in got}


def test_a_task_is_folded_once_however_many_ask(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folded: list[str] = []
    materialize = MultiTaskNet.materialize

    def slow(net: MultiTaskNet, task: str) -> nn.Module:
        folded.append(task)
        time.sleep(0.05)
        return materialize(net, task)

    monkeypatch.setattr(MultiTaskNet, "materialize", slow)
    engine, image = Engine(bundle, backend="torch"), picture()
    with ThreadPoolExecutor(4) as pool:
        outs = list(pool.map(lambda _: engine.run(image, "clean").tobytes(), range(4)))
    assert len(set(outs)) == 1
    assert folded == ["clean"]


def test_runs_do_not_move_each_other(bundle: Path) -> None:
    engine, image = Engine(bundle), picture()
    first = {task: engine.run(image, task).tobytes() for task in engine.tasks}
    for task in reversed(engine.tasks):
        assert engine.run(image, task).tobytes() == first[task]


def test_outputs_stay_when_other_tasks_come_and_go(bundle: Path) -> None:
    image, net = picture(), load(bundle)
    before = {task: Engine(bundle).run(image, task).tobytes() for task in ("colour", "clean")}
    remove_task(bundle, "shapes")
    add_task(bundle, "late", RECORDS["clean"], net.deltas["clean"], shared=arrays_of(net.state.shared))
    engine = Engine(bundle)
    assert engine.tasks == ("colour", "clean", "paint", "late")
    assert {task: engine.run(image, task).tobytes() for task in before} == before
    assert engine.run(image, "late").tobytes() == before["clean"]


def test_bf16_is_close(bundle: Path) -> None:
    image = picture()
    exact = np.asarray(Engine(bundle).run(image, "clean")).astype(float)
    near = np.asarray(Engine(bundle, precision="bf16").run(image, "clean")).astype(float)
    assert 0 < np.abs(near - exact).mean() < 8


def test_wrong_arguments_say_what_is_right(bundle: Path) -> None:
    with pytest.raises(ValueError, match="Expected `precision` to be one of float32, bf16, auto, but got 'half'"):
        Engine(bundle, precision="half")
    with pytest.raises(ValueError, match="Expected `backend` to be one of auto, onnx, torch, but got 'tensorflow'"):
        Engine(bundle, backend="tensorflow")
    with pytest.raises(ValueError, match="Expected `active` to be at least 1, but got 0"):
        Engine(bundle, active=0)
    with pytest.raises(ValueError, match="Expected `device` to be a device of PyTorch, but got 'gpu'"):
        Engine(bundle, device="gpu")
    with pytest.raises(ValueError, match=r"Expected `device` to be one of cpu, cuda, mps, but got 'meta'\. Use 'cpu'"):
        Engine(bundle, device="meta")
    with pytest.raises(BundleError, match="not a bundle"):
        Engine(bundle / "tasks")
    with pytest.raises(ValueError, match="Expected `task` to be one of shapes, colour, clean, paint, but got 'gogh'"):
        Engine(bundle).run(picture(), "gogh")
    with pytest.raises(ImageError, match="Cannot read the picture: pictures of Pillow mode 'F' have no known range"):
        Engine(bundle).run(picture().convert("F"), "clean")


@pytest.mark.parametrize("device", ["cuda:99", "mps"])
def test_a_device_that_is_not_there_is_refused_with_a_remedy(bundle: Path, device: str) -> None:
    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("this machine has it")
    expected = f"Expected `device` to be one that PyTorch can use here, but got '{device}': .*Use 'cpu'"
    with pytest.raises(ValueError, match=expected):
        Engine(bundle, device=device)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (
            TaskRecord(kind="poetry", channels=2, method="x"),
            r"tasks/new/task.json: a task that cannot be rebuilt.*poetry",
        ),
        (TaskRecord(kind="colorization", channels=2, method="x", settings={"tint": 1}), "cannot be rebuilt.*tint"),
        (TaskRecord(kind="segmentation", channels=2, method="x", settings={"classes": 7}), "cannot be rebuilt"),
        (
            TaskRecord(kind="restoration", channels=2, method="x"),
            "settings that do not fit the head. Expected 3 channels",
        ),
    ],
)
def test_a_record_that_cannot_be_rebuilt_names_the_file(bundle: Path, record: TaskRecord, message: str) -> None:
    net = load(bundle)
    add_task(bundle, "new", record, net.deltas["colour"], shared=arrays_of(net.state.shared))
    engine = Engine(bundle)
    with pytest.raises(BundleError, match=message):
        engine.run(picture(), "new")
    assert engine.run(picture(), "colour").mode == "RGB"


class Tiny(nn.Module):
    """A backbone of an own class."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3, padding=1)
        self.out = nn.Conv2d(4, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.out(self.body(x).relu())
        return out


def test_any_backbone_runs(tmp_path: Path) -> None:
    net = MultiTaskNet(Tiny(), head="out", decoder=())
    head = net.fresh_head(3, torch.Generator().manual_seed(0))
    delta = TaskDelta({name: Replace(array_of(tensor)) for name, tensor in head.items()})
    net = net.with_state(net.state.add("clean", delta), {"clean": RECORDS["clean"]})
    save(net, tmp_path / "b")
    out = np.asarray(Engine(tmp_path / "b", backbone=Tiny()).run(picture(), "clean"))
    expected = np.rint(raw(net, picture(), "clean").clip(0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    np.testing.assert_array_equal(out, expected)


def test_running_needs_no_heavy_import(bundle: Path) -> None:
    script = """
import sys
from PIL import Image
from stencilnet.runtime import Engine
engine = Engine(sys.argv[1])
for task in engine.tasks:
    engine.run(Image.new("RGB", (40, 33), (10, 200, 90)), task)
heavy = ("torch", "torchvision", "matplotlib", "skimage", "scipy", "pandas", "yaml", "click", "rich", "cattrs")
print(sorted(set(heavy) & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(bundle)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
