"""Every line of docs/any-backbone.md works: networks of other packages learn, save, load bit-equal and run."""

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from PIL import Image
from torch import nn
from torchvision.models import resnet18

import stencilnet as sn
from stencilnet.scenes import Scenes, draw_scene

from ..command_line import Stencil

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PAGE = (Path(__file__).parents[2] / "docs" / "any-backbone.md").read_text(encoding="utf-8")
CODE = [
    block.replace("steps=1000, batch=8", "steps=2, batch=2") for block in re.findall(r"```python\n(.*?)```", PAGE, re.S)
]
UNET = """
import segmentation_models_pytorch as smp

def unet():
    return smp.Unet("resnet18", encoder_weights=None, classes=3)
"""
NETWORKS = {
    "my-unet.pt": lambda: smp.Unet("resnet18", encoder_weights=None, classes=3),
    "my-resnet.pt": lambda: resnet18(weights=None),
    "my-timm.pt": lambda: timm.create_model("mobilenetv3_small_050", pretrained=False, num_classes=10),
}


def labelled(first: int, count: int) -> list[sn.Example]:
    scenes = Scenes(count=count, size=64, first=first)
    return [sn.Example(name=e.name, image=e.image, category=index % 2) for index, e in enumerate(scenes)]


def restored(first: int, count: int) -> list[sn.Example]:
    scenes = Scenes(count=count, size=64, first=first)
    return [sn.Example(name=e.name, image=e.image // 2, target=e.image) for e in scenes]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    for seed, (name, build) in enumerate(NETWORKS.items()):
        torch.manual_seed(seed)
        torch.save(build().state_dict(), folder / name)
    Image.fromarray(draw_scene(1, 1, 64).image).save(folder / "photo.jpg")
    return folder


@pytest.fixture(scope="module")
def found(desk: Path) -> dict[str, Any]:
    """What the page's code leaves, block by block: networks as it saved them, and its answers."""
    names: dict[str, Any] = {
        "__name__": "__main__",  # as in a script
        "pairs": sn.Splits(train=restored(0, 4), validation=restored(50, 2)),
        "photos": sn.Splits(train=labelled(0, 4), validation=labelled(50, 2)),
    }
    kept: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(desk)
        for code in CODE:
            assert code.count("\n") <= 20
            exec(code, names)
            saved = re.findall(r'sn\.save\(net, "(.*?)"\)', code)
            kept |= {name: (names["net"], names.get("picture"), names.get("labels")) for name in saved}
    return kept | {"last": names["net"], "Normalised": names["Normalised"]}


def backbone(name: str, found: dict[str, Any]) -> nn.Module:
    builds = dict(zip(("unet-bundle", "resnet-bundle", "timm-bundle"), NETWORKS.values(), strict=True))
    return found["Normalised"]() if name == "resnet-bundle" else builds[name]()


@pytest.mark.parametrize("name", ["unet-bundle", "resnet-bundle", "timm-bundle"])
def test_bundles_load_bit_equal(name: str, desk: Path, found: dict[str, Any]) -> None:
    net = found[name][0]
    loaded = sn.load(desk / name, backbone=backbone(name, found))
    assert len(net.tasks) == 2
    x = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    outputs = [net(x, task) for task in net.tasks]
    for task, output in zip(net.tasks, outputs, strict=True):
        assert torch.equal(loaded(x, task), output)
        assert torch.equal(loaded.materialize(task)(x), output)


def test_checkpoints_stay_as_they_are(desk: Path, found: dict[str, Any]) -> None:
    for name, file, head in (
        ("unet-bundle", "my-unet.pt", "segmentation_head.0."),
        ("resnet-bundle", "my-resnet.pt", "fc."),
        ("timm-bundle", "my-timm.pt", "classifier."),
    ):
        shared = {key.removeprefix("net."): tensor for key, tensor in found[name][0].state.shared.items()}
        given = {key: tensor for key, tensor in torch.load(desk / file).items() if not key.startswith(head)}
        assert shared.keys() == given.keys()
        assert all(torch.equal(shared[key], tensor) for key, tensor in given.items()), name


def test_answers(found: dict[str, Any]) -> None:
    assert found["unet-bundle"][1].size == (64, 64)
    for name in ("resnet-bundle", "timm-bundle"):
        assert sorted(label for label, _ in found[name][2]) == ["indoor", "outdoor"]


def test_a_dictionary_is_refused_and_the_remedy_works(found: dict[str, Any]) -> None:
    config = sn.Learning(recipe=sn.Recipe(steps=1, batch=2, lr=1e-3), view=sn.View(crop=64), backbone="frozen")
    data = sn.Splits(train=restored(0, 2), validation=restored(9, 1))
    bare = sn.MultiTaskNet(found["last"].backbone.net, head="classifier.4", decoder=())
    said = r"one tensor .* a OrderedDict with 'out'\. Wrap it .*`self\.net\(images\)\['out'\]`"
    with pytest.raises(TypeError, match=said):
        sn.learn(bare, sn.Restoration(), data, config=config)
    net = sn.learn(found["last"], sn.Restoration(), data, config=config)
    assert net(torch.rand(2, 3, 64, 96), "restoration").shape == (2, 3, 64, 96)


def test_the_graph_is_written_and_run(stencil: Stencil, desk: Path, found: dict[str, Any]) -> None:
    module = next(code for code in CODE if "class Normalised" in code).partition("\n\nresnet = ")[0]
    (desk / "mymodels.py").write_text(f"import torch\n{module}\n\n{UNET}")
    lines = [line.partition("#")[0] for line in re.findall(r"^stencil .*", PAGE, re.M)]
    plain = {name: sn.Engine(desk / name, backbone=backbone(name, found)) for name in ("unet-bundle", "resnet-bundle")}
    for words in (lines[0], "stencil export unet-bundle --graph mymodels:unet", lines[1]):
        done = stencil(*shlex.split(words)[1:], cwd=desk)
        assert (done.returncode, done.stderr) == (0, ""), words
    for name, engine in plain.items():
        image = np.random.default_rng(0).random((3, 64, 96), np.float32)
        fast = sn.Engine(desk / name)
        assert (engine.backend, fast.backend) == ("torch", "onnx")
        for task in engine.tasks:
            expected = engine.forward(image, task)
            np.testing.assert_allclose(fast.forward(image, task), expected, atol=1e-3 * max(1, np.abs(expected).max()))
