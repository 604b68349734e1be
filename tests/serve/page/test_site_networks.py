"""The website's tasks over networks of other packages: labels of whole pictures, and weights of any type."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from playwright.sync_api import Page, expect
from torch import Tensor, nn

import stencilnet as sn
from stencilnet.bundle import TaskRecord
from stencilnet.delta import BitMask, Quantized, Replace, Select, TaskDelta
from stencilnet.export.site import export_site
from stencilnet.masks import array_of
from stencilnet.models import MultiTaskNet, save
from stencilnet.tracing import write_graph

from .browsing import add, choose, downloaded, near, thumbnail

pytestmark = pytest.mark.slow  # a browser

CLASSES = ["beach", "<b>wood</b>", "town", "night"]
VIEWS = {
    "whole": ({"resize": 40}, {}),
    "cropped": ({"resize": 48, "crop": 32, "test": "crop"}, {}),
    "enlarged": ({"crop": 111, "test": "crop"}, {}),
    "of-older-bundles": ({"crop": 16}, {"resize": 50, "crop": 32}),
    "native": ({}, {}),
}
NEAR = 1e-5


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 8, 5, stride=2), nn.BatchNorm2d(8), nn.Linear(8, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(torch.relu(self.norm(self.conv(images))).amax((2, 3)))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = MultiTaskNet(Small(), decoder=())
    state, records = net.state, {}
    for name, (view, settings) in VIEWS.items():
        bits = BitMask.pack(torch.rand(state.shared["conv.weight"].shape, generator=generator) > 0.3)
        head = net.fresh_head(len(CLASSES), generator)
        heads = {key: Replace(array_of(tensor)) for key, tensor in head.items()}
        state = state.add(name, TaskDelta({"conv.weight": Select(bits), **heads}))
        records[name] = TaskRecord(
            kind="classification",
            channels=len(CLASSES),
            method="none",
            settings={"classes": CLASSES, **settings},
            recipe={"view": view},
        )
    path = tmp_path_factory.mktemp("labels") / "bundle"
    save(net.with_state(state, records), path)
    write_graph(path, Small())
    return path


def test_labels_and_their_probabilities_are_the_engines(
    bundle: Path, sites: tuple[Path, str], runtime: dict[str, bytes], wide_photo: bytes, visit: Callable[[str], Page]
) -> None:
    assert export_site(bundle, sites[0] / "labels", runtime=runtime) == {}
    page = visit(f"{sites[1]}labels/")
    add(page, ("beach.png", wide_photo))
    choose(page, "Cropped")
    expect(page.locator("#legend .label")).to_have_count(len(CLASSES))
    engine = sn.Engine(bundle)
    first, probability = engine.label(wide_photo, "cropped")[0]
    expect(thumbnail(page, "Cropped")).to_contain_text(f"{first} {round(100 * probability)} %")
    with ZipFile(BytesIO(downloaded(page, page.locator("#zip-tasks").click)[1])) as archive:
        found = {task: json.loads(archive.read(f"beach-{task}.json"))["labels"] for task in VIEWS}
    for task, labels in found.items():
        expected = engine.label(wide_photo, task)
        assert [each["label"] for each in labels] == [label for label, _ in expected], task
        assert [each["probability"] for each in labels] == pytest.approx([p for _, p in expected], abs=NEAR), task


class Typed(nn.Module):
    """A convolution in half precision, and buffers of further types."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3, padding=1).half(), nn.Conv2d(4, 1, 1)
        self.register_buffer("order", torch.tensor([3, 1, 0, 2]))
        self.register_buffer("kept", torch.tensor([True, True, False, True]))
        self.register_buffer("shift", torch.tensor([0, 1, 2, 3], dtype=torch.int32))
        self.register_buffer("gain", torch.ones(4, dtype=torch.float64))

    def forward(self, images: Tensor) -> Tensor:
        x = self.conv(images.half()).float()[:, self.order]
        x = torch.where(self.kept[:, None, None], x, 0.5) + self.shift[:, None, None] / 9
        return self.head(x * self.gain.float()[:, None, None])


def test_weights_of_any_type_are_run(
    tmp_path: Path, sites: tuple[Path, str], runtime: dict[str, bytes], wide_photo: bytes, visit: Callable[[str], Page]
) -> None:
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = MultiTaskNet(Typed(), decoder=())
    state, shape = net.state, net.state.shared["conv.weight"].shape
    changes = {
        "selected": {"conv.weight": Select(BitMask.pack(torch.rand(shape, generator=generator) > 0.3))},
        "gained": {"gain": Replace(np.array([2.0, 0.5, -1.0, 1.5]))},
        "moved": {"conv.weight": Quantized(np.ones(shape, np.int8), np.array(0.1, np.float32))},
    }
    for name, entries in changes.items():
        head = {key: Replace(array_of(tensor)) for key, tensor in net.fresh_head(3, generator).items()}
        state = state.add(name, TaskDelta({**entries, **head}))
    record = TaskRecord(kind="style", channels=3, method="none", settings={"style": "a.jpg"})
    bundle = tmp_path / "typed"
    save(net.with_state(state, dict.fromkeys(changes, record)), bundle)
    write_graph(bundle, Typed())

    left_out = export_site(bundle, sites[0] / "typed", runtime=runtime)
    assert left_out == {
        "moved": "it computes with float16 weights (conv.weight), and browsers do that in float32 alone."
    }
    page = visit(f"{sites[1]}typed/")
    add(page, ("beach.png", wide_photo))
    with ZipFile(BytesIO(downloaded(page, page.locator("#zip-tasks").click)[1])) as archive:
        answers = {task: archive.read(f"beach-{task}.png") for task in changes if task not in left_out}
    engine = sn.Engine(bundle)
    assert [task for task, answer in answers.items() if not near(answer, engine.run(wide_photo, task))] == []


class Halving(nn.Module):
    """A network that runs pictures of even sides alone."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.head = nn.Conv2d(3, 4, 2, stride=2), nn.Conv2d(7, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(torch.cat([images, F.interpolate(self.down(images), scale_factor=2.0)], dim=1))


def test_a_size_that_a_network_does_not_run_is_told(
    tmp_path: Path, sites: tuple[Path, str], runtime: dict[str, bytes], wide_photo: bytes, visit: Callable[[str], Page]
) -> None:
    net = MultiTaskNet(Halving(), decoder=())
    head = net.fresh_head(3, torch.Generator().manual_seed(0))
    state = net.state.add("painting", TaskDelta({key: Replace(array_of(tensor)) for key, tensor in head.items()}))
    record = TaskRecord(kind="style", channels=3, method="none", settings={"style": "a.jpg"})
    bundle = tmp_path / "halving"
    save(net.with_state(state, {"painting": record}), bundle)
    write_graph(bundle, Halving())
    export_site(bundle, sites[0] / "halving", runtime=runtime)
    page = visit(f"{sites[1]}halving/")
    odd = BytesIO()
    Image.open(BytesIO(wide_photo)).crop((0, 0, 61, 40)).save(odd, "PNG")
    add(page, ("odd.png", odd.getvalue()))
    thumbnail(page, "Painting").click()
    expect(page.locator("#failure-text")).to_contain_text("61x40 pixels does not fit its layers. Crop the photo")
    page.locator("#clear").click()
    add(page, ("even.png", wide_photo))
    expect(page.locator("#download")).to_be_enabled()
    assert near(downloaded(page, page.locator("#download").click)[1], sn.Engine(bundle).run(wide_photo, "painting"))
