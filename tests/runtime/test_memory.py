"""Memory that runs out: one clear error for one picture, and the next one runs."""

import gc
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from stencilnet.bundle import TaskRecord
from stencilnet.delta import Replace, TaskDelta
from stencilnet.inference.memory import as_memory_error, is_out_of_memory
from stencilnet.masks import array_of
from stencilnet.memory import within_memory
from stencilnet.models import MultiTaskNet, UNet, save
from stencilnet.runtime import Engine, TooLargeError, files
from stencilnet.runtime.files import run_files

CUDA = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 3.80 GiB."
WIDE = 50
"""Pictures wider than this do not fit in the stand-in's memory."""


class Small(nn.Module):
    """A backbone that runs out of memory as one on CUDA does."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3, padding=1)
        self.out = nn.Conv2d(4, 3, 1)
        self.error: type[Exception] = torch.OutOfMemoryError
        self.text = CUDA

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] > WIDE:
            raise self.error(self.text)
        out: Tensor = self.out(self.body(x).relu())
        return out


def bundled(net: MultiTaskNet, folder: Path) -> Path:
    head = net.fresh_head(3, torch.Generator().manual_seed(0))
    delta = TaskDelta({name: Replace(array_of(tensor)) for name, tensor in head.items()})
    record = TaskRecord(kind="restoration", channels=3, method="piggyback")
    save(net.with_state(net.state.add("clean", delta), {"clean": record}), folder)
    return folder


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    return bundled(MultiTaskNet(Small(), head="out", decoder=()), tmp_path / "bundle")


def picture(width: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (20, width, 3), dtype=np.uint8))


def planned(folder: Path, widths: tuple[int, ...]) -> dict[Path, Path]:
    (folder / "in").mkdir()
    for place, width in enumerate(widths):
        picture(width).save(folder / "in" / f"{place}.png")
    return {path: folder / "out" / path.name for path in sorted((folder / "in").iterdir())}


def test_a_picture_that_does_not_fit_is_one_error(bundle: Path, tmp_path: Path) -> None:
    engine = Engine(bundle, backbone=Small())
    expected = engine.run(picture(40), "clean").tobytes()
    found = r"does not fit in memory: 2\.00 GiB at once could not be allocated\. Make the picture smaller\.$"
    with pytest.raises(TooLargeError, match=r"^The picture \(60x20 pixels\) " + found) as raised:
        engine.run(picture(60), "clean")
    assert isinstance(raised.value, ValueError)
    assert raised.value.__context__ is None  # nothing holds the failed pass
    assert engine.run(picture(40), "clean").tobytes() == expected
    picture(60).save(tmp_path / "wide.png")
    with pytest.raises(TooLargeError, match=r"wide\.png \(60x20 pixels\) " + found):
        engine.run_many([picture(40), tmp_path / "wide.png"], ["clean", "clean"])
    with pytest.raises(TooLargeError, match=r"^The picture \(60x20 pixels\) " + found):
        engine.forward(np.zeros((3, 20, 60), np.float32), "clean")


def test_the_others_of_a_batch_are_done(bundle: Path, tmp_path: Path) -> None:
    engine, plan = Engine(bundle, backbone=Small()), planned(tmp_path, (40, 60, 30))
    first, second, third = run_files(engine, "clean", plan, drawing=False)
    assert (first[1], third[1]) == (None, None)
    assert second[1] is not None
    assert second[1].startswith("The picture (60x20 pixels) does not fit in memory: 2.00 GiB at once")
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == ["0.png", "2.png"]
    with Image.open(tmp_path / "out" / "2.png") as image:
        assert image.tobytes() == engine.run(picture(30), "clean").tobytes()


@pytest.mark.parametrize("part", ["prepare", "_save"])
def test_memory_that_runs_out_in_reading_or_writing(
    bundle: Path, tmp_path: Path, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, plan = Engine(bundle, backbone=Small()), planned(tmp_path, (40, 30, 20))
    second, real = list(plan)[1], getattr(files, part)

    def scarce(*words: object, **options: object) -> object:
        if any(isinstance(word, Path) and word.name == second.name for word in words):
            raise MemoryError
        return real(*words, **options)

    monkeypatch.setattr(files, part, scarce)
    problems = [problem for _, problem in run_files(engine, "clean", plan, drawing=False)]
    what = {"prepare": "The picture", "_save": "The output"}[part]
    assert problems == [None, f"{what} does not fit in memory. Make the picture smaller.", None]


def test_other_failures_are_not_hidden(bundle: Path, tmp_path: Path) -> None:
    backbone = Small()
    backbone.error, backbone.text = RuntimeError, "expected scalar type Float but found Half"
    engine = Engine(bundle, backbone=backbone)
    with pytest.raises(RuntimeError, match="expected scalar type"):
        engine.run(picture(60), "clean")
    with pytest.raises(RuntimeError, match="expected scalar type"):
        list(run_files(engine, "clean", planned(tmp_path, (60,)), drawing=False))


def test_a_network_that_does_not_fit_names_active(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(bundle, backbone=Small())
    real = MultiTaskNet.materialize

    def scarce(net: MultiTaskNet, task: str) -> nn.Module:
        raise torch.OutOfMemoryError(CUDA)

    monkeypatch.setattr(MultiTaskNet, "materialize", scarce)
    with pytest.raises(
        TooLargeError, match=r"The network of task 'clean' does not fit .* Give `Engine` a smaller `active`"
    ):
        engine.run(picture(40), "clean")
    monkeypatch.setattr(MultiTaskNet, "materialize", real)
    assert engine.run(picture(40), "clean").size == (40, 20)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError(CUDA), True),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried"),
            True,
        ),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:81] . DefaultCPUAllocator: not enough memory: you tried"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 17.9 GB)"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (RuntimeError("Expected all tensors to be on the same device"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_which_errors_are_of_memory(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_the_real_allocator_is_recognised() -> None:
    with pytest.raises(TooLargeError, match=r"^It does not fit in memory: 4503599627370496 bytes at once .* Stop\.$"):
        within_memory(lambda: as_memory_error(lambda: torch.empty(2**52, dtype=torch.uint8)), "It", "Stop.")
    with pytest.raises(TooLargeError, match=r"does not fit in memory: 4\.00 PiB at once could not be allocated"):
        within_memory(lambda: np.empty(2**52, np.uint8), "It")


def test_the_error_holds_nothing_of_the_work() -> None:
    held: list[weakref.ref[Tensor]] = []

    def work() -> None:
        tensor = torch.ones(9)
        held.append(weakref.ref(tensor))
        raise torch.OutOfMemoryError(CUDA)

    with pytest.raises(TooLargeError) as raised:
        within_memory(lambda: as_memory_error(work), "It")
    gc.collect()
    assert raised.value.__context__ is None
    assert held[0]() is None


SCARCE = """
import resource, sys
from pathlib import Path
from stencilnet.cli.main import main
from stencilnet.runtime import Engine

real = Engine.__init__
def limited(self, *words, **options):
    real(self, *words, **options)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), resource.RLIM_INFINITY))
Engine.__init__ = limited
main()
"""
"""The command line with 1 GiB of memory left for pictures."""


@pytest.mark.skipif(sys.platform != "linux", reason="limits a process's memory as Linux does")
@pytest.mark.slow
@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_a_real_shortage_ends_one_picture_and_not_the_batch(tmp_path: Path, backend: str) -> None:
    """Of 2400x2400 pixels the first layer alone makes 1.4 GiB; reading them takes 90 MiB."""
    bundled(MultiTaskNet(UNet(width=64, channels=1)), tmp_path / "bundle")
    (tmp_path / "in").mkdir()
    for name, side in (("a", 24), ("b", 2400), ("c", 24)):
        Image.new("RGB", (side, side), (90, 90, 200)).save(tmp_path / "in" / f"{name}.png")
    command = [
        sys.executable,
        "-c",
        SCARCE,
        "run",
        "bundle",
        "clean",
        "in",
        "-o",
        "out",
        "--backend",
        backend,
        "--tile",
        "never",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stdout == "out/a.png\nout/c.png\n"
    line, summary = done.stderr.splitlines()
    assert "1 failed" in summary
    assert line.startswith("stencil: in/b.png: The picture (2400x2400 pixels) does not fit in memory")
    asked = "" if backend == "onnx" else " at once could not be allocated"  # ONNX Runtime does not say how much
    assert line.endswith(f"{asked}. Make the picture smaller.")
