"""ONNX Runtime runs what PyTorch runs: the same weights, and outputs as near as is promised."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from stencilnet.bundle import BundleError, TaskRecord, open_bundle
from stencilnet.bundle.format import CONFIG
from stencilnet.delta import BitMask, Entry, Replace, Select, TaskDelta
from stencilnet.kinds.catalog import kind_from_record, kinds
from stencilnet.masks import array_of
from stencilnet.models import MultiTaskNet, UNet, save
from stencilnet.runtime import Engine, TooLargeError
from stencilnet.runtime.onnx import OnnxBackend
from stencilnet.runtime.parity import LABELS, PIXELS, RAW, compare
from stencilnet.runtime.sessions import as_memory_error, session_options

from ..command_line import Stencil

GOLDEN = Path(__file__).parents[1] / "bundle" / "golden"
SETTINGS: dict[str, dict[str, Any]] = {
    "segmentation": {"classes": ["a", "b", "c"], "palette": [[0, 0, 0], [0, 128, 0], [255, 220, 0]]},
    "classification": {"classes": ["a", "b"], "resize": None, "crop": 32},
    "style": {"style": "gogh.jpg"},
}


class Pooled(nn.Module):
    """A backbone of another package."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x)


def bundle_of_kinds(folder: Path, names: tuple[str, ...], norm: Any = "instance", width: int = 4) -> Path:
    net = MultiTaskNet(UNet(width=width, channels=1, norm=norm))
    generator = torch.Generator().manual_seed(0)
    state, records = net.state, {}
    for name in names:
        kind = kind_from_record(name, SETTINGS.get(name, {}))
        records[name] = TaskRecord(kind=name, channels=kind.channels, method="none", settings=kind.settings())
        entries: dict[str, Entry] = {
            key: Select(BitMask.pack(torch.rand(state.shared[key].shape, generator=generator) > 0.4))
            for key in net.layout.masked
        }
        own = net.fresh_head(kind.channels, generator)
        if norm == "own":
            own |= {key: 1 + torch.randn(state.shared[key].shape, generator=generator) / 9 for key in net.layout.norms}
        state = state.add(name, TaskDelta(entries | {key: Replace(array_of(tensor)) for key, tensor in own.items()}))
    save(net.with_state(state, records), folder)
    return folder


def image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * width).random((3, height, width), np.float32)


@pytest.mark.parametrize("name", sorted(folder.name for folder in GOLDEN.iterdir()))
def test_golden_bundles(name: str) -> None:
    found = list(compare(GOLDEN / name))
    assert [parity.task for parity in found] == list(Engine(GOLDEN / name).tasks)
    for parity in found:
        assert set(parity.weights) == {"onnx", "torch"}
        assert len(set(parity.weights.values())) == 1, parity
        assert parity.raw <= RAW, parity
        assert parity.pixels is None or parity.pixels <= PIXELS, parity
        assert parity.labels is None or parity.labels >= LABELS, parity


@pytest.mark.parametrize("norm", ["instance", "own"])
def test_every_kind(tmp_path: Path, norm: str) -> None:
    names = tuple(name for name in kinds() if name != "classification")  # a classifier's network is no U-Net
    for parity in compare(bundle_of_kinds(tmp_path / "bundle", names, norm)):
        assert parity.ok, parity
        assert (parity.pixels is None) != (parity.labels is None), parity  # an answer has either


@pytest.mark.parametrize("size", [(1, 1), (5, 90), (37, 50), (64, 48)])
def test_every_size(size: tuple[int, int]) -> None:
    onnx, plain = (Engine(GOLDEN / "v1", backend=name) for name in ("onnx", "torch"))
    for task in onnx.tasks:
        np.testing.assert_allclose(onnx.forward(image(*size), task), plain.forward(image(*size), task), atol=RAW)


def test_a_difference_breaks_the_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    forward, weights = OnnxBackend.forward, OnnxBackend.weights
    monkeypatch.setattr(OnnxBackend, "forward", lambda *words: forward(*words) + np.float32(2 * RAW))
    assert not any(parity.ok for parity in compare(GOLDEN / "v1"))
    monkeypatch.setattr(OnnxBackend, "forward", forward)
    monkeypatch.setattr(OnnxBackend, "weights", lambda *words: {k: -v for k, v in weights(*words).items()})
    assert not any(parity.ok for parity in compare(GOLDEN / "v1"))


def test_a_bounded_number_of_sessions_gives_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    session = OnnxBackend._session
    monkeypatch.setattr(OnnxBackend, "_session", lambda backend, task: (made.append(task), session(backend, task))[1])
    alone = Engine(GOLDEN / "v1", active=8)
    expected = {task: alone.forward(image(40, 33), task).tobytes() for task in alone.tasks}
    assert made == list(alone.tasks)
    engine = Engine(GOLDEN / "v1", active=2)
    with ThreadPoolExecutor(4) as pool:
        order = [*alone.tasks] * 6
        outputs = pool.map(lambda task: engine.forward(image(40, 33), task).tobytes(), order)
        assert [output == expected[task] for task, output in zip(order, outputs, strict=True)] == [True] * len(order)
    del made[:]
    for task in [alone.tasks[0], alone.tasks[1], alone.tasks[0], alone.tasks[2], alone.tasks[0]] * 2:
        engine.forward(image(16, 16), task)
    assert set(made[-2:]) == {alone.tasks[1], alone.tasks[2]}  # the least recently used went


def test_threads_are_given() -> None:
    options = session_options(3)
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)


SIZES = """
import sys
from pathlib import Path

import numpy as np

from stencilnet.runtime import Engine, onnx
from stencilnet.runtime.tiling import whole_bytes

def used():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))

engine = Engine(sys.argv[1])
sides = np.random.default_rng(0).integers(32, 320, (30, 2)).tolist()
for task in engine.tasks:
    engine.forward(np.zeros((3, 32, 32), np.float32), task)
before = used()
growth = []
for number, (height, width) in enumerate([(320, 320), *sides]):
    engine.forward(np.zeros((3, height, width), np.float32), engine.tasks[number % len(engine.tasks)])
    growth.append(used() - before)
onnx._KEPT = 0  # from now on, every picture is a large one
engine.forward(np.zeros((3, 320, 320), np.float32), engine.tasks[0])
print(max(growth) / whole_bytes(16, 320, 320), (used() - before) / max(growth))
"""
"""Prints the memory that many pictures take, in multiples of the largest one's, and what is left after a large one."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads a process's memory as Linux writes it")
def test_memory_does_not_grow_with_sizes_and_tasks(tmp_path: Path) -> None:
    """Without the shared arena, each of the three tasks keeps the memory of its largest picture."""
    path = bundle_of_kinds(tmp_path / "bundle", ("restoration", "colorization", "depth"), width=16)
    quick = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}  # freed memory is returned at once
    done = subprocess.run([sys.executable, "-c", SIZES, path], capture_output=True, text=True, check=False, env=quick)
    assert done.returncode == 0, done.stderr
    most, left = map(float, done.stdout.split())
    assert 0.5 < most < 1.2
    assert left < 0.2


def test_what_onnx_runtime_cannot_run_is_refused_by_name() -> None:
    for asked, got in (
        ({"device": "cuda"}, "tasks on the device 'cuda'"),
        ({"precision": "bf16"}, "tasks in the precision 'bf16'"),
        ({"backbone": UNet(width=3)}, "tasks of a `backbone` that is passed as a module"),
    ):
        with pytest.raises(ValueError, match=rf"on the CPU, in float32\. But got {got}\. Use `backend='torch'`"):
            Engine(GOLDEN / "v1", backend="onnx", **asked)  # type: ignore[arg-type]


def test_another_packages_backbone_is_run_by_pytorch(tmp_path: Path) -> None:
    net = MultiTaskNet(Pooled(), decoder=())
    head = {key: Replace(array_of(t)) for key, t in net.fresh_head(3, torch.Generator().manual_seed(0)).items()}
    record = TaskRecord(kind="restoration", channels=3, method="none")
    save(net.with_state(net.state.add("clean", TaskDelta(head)), {"clean": record}), tmp_path / "bundle")
    assert Engine(tmp_path / "bundle", backbone=Pooled()).backend == "torch"
    with pytest.raises(ValueError, match=r"But got tasks of the architecture .*Pooled"):
        Engine(tmp_path / "bundle", backend="onnx")
    with pytest.raises(BundleError, match="cannot be rebuilt from the bundle alone"):
        Engine(tmp_path / "bundle")


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_weights_of_another_width_are_refused(tmp_path: Path, backend: str) -> None:
    path = shutil.copytree(GOLDEN / "v1", tmp_path / "bundle")
    config = open_bundle(path).config
    other = replace(config, arguments={"width": config.arguments["width"] + 1})  # type: ignore[index]
    (path / CONFIG).write_bytes(other.to_bytes(path / CONFIG))
    with pytest.raises(BundleError, match=r"the weight `conv1_1\.bias` does not fit the backbone"):
        Engine(path, backend=backend)


def test_a_lack_of_memory_is_pythons_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

    def fails(text: str) -> None:
        raise RuntimeException(text)

    with pytest.raises(MemoryError, match="bad_alloc") as raised:
        as_memory_error(lambda: fails("Status Message: std::bad_alloc"))
    assert raised.value.__context__ is None

    def fails_bound() -> None:
        raise RuntimeError("BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 147")

    with pytest.raises(MemoryError, match="size 147"):
        as_memory_error(fails_bound)
    with pytest.raises(RuntimeException, match="shape"):
        as_memory_error(lambda: fails("wrong shape"))
    monkeypatch.setattr(OnnxBackend, "_session", lambda *_words: fails("std::bad_alloc"))
    with pytest.raises(TooLargeError, match=r"^The network of task 'clean' does not fit in memory\. Give `Engine` a"):
        Engine(GOLDEN / "v1").forward(image(16, 16), "clean")


def test_the_command_compares_and_fails_where_the_promise_is_broken(
    stencil: Stencil, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = stencil("verify", str(GOLDEN / "v1"), "--runtime")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()[1:]
    assert [line.partition(":")[0] for line in lines] == list(Engine(GOLDEN / "v1").tasks)
    assert all("(onnx and torch: the same); raw outputs within " in line for line in lines)
    forward = OnnxBackend.forward
    monkeypatch.setattr(OnnxBackend, "forward", lambda *words: forward(*words) + np.float32(2 * RAW))
    broken = stencil("verify", str(GOLDEN / "v1"), "--runtime")
    assert (broken.returncode, broken.stdout.count("NOT as promised")) == (1, len(lines))
