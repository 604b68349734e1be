"""Tiny networks with several tasks, and bundles of them."""

import copy
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stencilnet.bundle import TaskRecord
from stencilnet.delta import BitMask, Entry, Replace, Select, TaskDelta
from stencilnet.masks import array_of
from stencilnet.models import MultiTaskNet, UNet, save

MakeDelta = Callable[..., TaskDelta]
MakeNet = Callable[..., MultiTaskNet]

RECORDS = {
    "shapes": TaskRecord(
        kind="segmentation",
        channels=3,
        method="backbone",
        settings={"classes": ["a", "b", "c"], "palette": [[0, 0, 0], [255, 0, 0], [0, 0, 255]]},
        recipe={"steps": 5, "lr": 1e-4},
        metrics={"mIoU": 12.5},
    ),
    "colour": TaskRecord(kind="colorization", channels=2, method="piggyback"),
    "clean": TaskRecord(kind="restoration", channels=3, method="decoder"),
}


def _delta(net: MultiTaskNet, kind: str, channels: int, seed: int) -> TaskDelta:
    generator = torch.Generator().manual_seed(seed)
    shared = net.state.shared
    own: dict[str, Entry] = {}
    if kind == "piggyback":
        own = {
            name: Select(BitMask.pack(torch.rand(shared[name].shape, generator=generator) > 0.4))
            for name in net.layout.masked
        }
    if kind == "decoder":
        own = {
            name: Replace(array_of(torch.randn(shared[name].shape, generator=generator))) for name in net.layout.decoder
        }
    head = net.fresh_head(channels, generator)
    return TaskDelta(own | {name: Replace(array_of(tensor)) for name, tensor in head.items()})


@pytest.fixture(scope="session")
def make_delta() -> MakeDelta:
    """``make_delta(net, method, channels, seed)``: a head alone (``backbone``), masks, or a decoder."""
    return _delta


@pytest.fixture(scope="session")
def make_net() -> MakeNet:
    """``make_net(*names, width=2, seed=0)``: an untrained network with some of the tasks in `RECORDS`."""

    def make(*names: str, width: int = 2, seed: int = 0) -> MultiTaskNet:
        backbone = UNet(width=width, channels=3)
        generator = torch.Generator().manual_seed(seed)
        for tensor in backbone.state_dict().values():
            tensor.copy_(torch.randn(tensor.shape, generator=generator) / 4)
        net = MultiTaskNet(backbone)
        state = net.state
        for number, name in enumerate(names):
            record = RECORDS[name]
            state = state.add(name, _delta(net, record.method, record.channels, 100 * seed + number))
        return net.with_state(state, {name: RECORDS[name] for name in names})

    return make


@pytest.fixture(scope="session")
def records() -> dict[str, TaskRecord]:
    """Records by task name."""
    return copy.deepcopy(RECORDS)


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory, make_net: MakeNet) -> Path:
    """What `bundle` copies: to code masks takes longer than most tests."""
    folder = tmp_path_factory.mktemp("written") / "bundle"
    save(make_net("shapes", "colour"), folder)
    return folder


@pytest.fixture
def bundle(tmp_path: Path, written: Path) -> Path:
    """A bundle of ``shapes`` and ``colour``."""
    return shutil.copytree(written, tmp_path / "bundle")


@pytest.fixture(scope="session")
def file_bytes() -> Callable[[Path], dict[str, bytes]]:
    """Every file below a folder, by its path inside."""

    def read(folder: Path) -> dict[str, bytes]:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    return read
