"""The engine runs pictures in strips where the whole does not fit or where it is asked to, with the same result."""

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import Tensor, nn

from stencilnet.bundle import TaskRecord
from stencilnet.cli.main import stencil
from stencilnet.delta import Replace, TaskDelta
from stencilnet.inference.backend import TorchBackend
from stencilnet.inference.layers import TorchLayers
from stencilnet.masks import array_of
from stencilnet.models import MultiTaskNet, UNet, save
from stencilnet.models.unet import Norm
from stencilnet.runtime import Engine, TooLargeError, tiling
from stencilnet.runtime.onnx import OnnxBackend
from stencilnet.runtime.onnx_layers import OnnxLayers
from stencilnet.runtime.tiling import Tile
from stencilnet.tiles.unet import Keep

GOLDEN = sorted((Path(__file__).parents[1] / "bundle" / "golden").iterdir())
PICTURE = np.random.default_rng(3).random((3, 75, 101), np.float32)


@pytest.mark.parametrize("backend", ["onnx", "torch"])
@pytest.mark.parametrize("bundle", GOLDEN, ids=lambda path: path.name)
def test_strips_of_every_task_are_its_whole(bundle: Path, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Tile] = []
    in_strips = tiling._in_strips
    monkeypatch.setattr(
        tiling, "_in_strips", lambda *words, **options: ran.append(words[-1]) or in_strips(*words, **options)
    )
    strips, whole = Engine(bundle, tile=16, backend=backend), Engine(bundle, tile="never", backend=backend)
    for task in whole.tasks:
        expected = whole.forward(PICTURE, task)
        np.testing.assert_allclose(strips.forward(PICTURE, task), expected, atol=1e-4)
    assert ran == [16] * len(whole.tasks)


@pytest.mark.parametrize("backend", ["onnx", "torch"])
@pytest.mark.parametrize("norm", ["affine", "own"])
def test_strips_have_the_scales_and_shifts_of_norms(
    norm: Norm, backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(0)
    net = MultiTaskNet(UNet(width=4, channels=3, norm=norm))
    drawn = {
        name: tensor + torch.randn(tensor.shape, generator=generator) / 4
        for name, tensor in net.state.shared.items()
        if name.startswith("norm")
    }
    assert len(drawn) == 36
    entries = drawn | net.fresh_head(3, generator)
    state = net.state.add("clean", TaskDelta({name: Replace(array_of(tensor)) for name, tensor in entries.items()}))
    save(net.with_state(state, {"clean": TaskRecord(kind="restoration", channels=3, method="none")}), tmp_path / "b")
    strips, whole = Engine(tmp_path / "b", tile=16, backend=backend), Engine(tmp_path / "b", tile="never")
    expected = whole.forward(PICTURE, "clean")
    assert expected.std() > 0.1
    monkeypatch.setattr(type(whole._backend), "forward", None)
    np.testing.assert_allclose(strips.forward(PICTURE, "clean"), expected, atol=1e-4)


class Normed(nn.Module):
    """A backbone of another package, with norms that the U-Net lacks."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.body, self.norm, self.head = nn.Conv2d(3, 4, 3, padding=1), norm, nn.Conv2d(4, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        scored: Tensor = self.head(self.norm(self.body(x)).relu())
        return scored


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(4), nn.GroupNorm(2, 4)], ids=["batch", "group"])
def test_other_norms_always_run_whole(norm: nn.Module, tmp_path: Path) -> None:
    backbone = Normed(norm).eval()
    with torch.inference_mode():
        backbone(torch.rand(2, 3, 9, 9))
        expected = backbone(torch.from_numpy(PICTURE)[None])[0].numpy()
        halves = [backbone(torch.from_numpy(half)[None])[0] for half in (PICTURE[:, :32], PICTURE[:, 32:])]
    net = MultiTaskNet(backbone, decoder=())
    head = {name: Replace(array_of(tensor)) for name, tensor in backbone.head.named_parameters(prefix="head")}
    own = {name: Replace(array_of(tensor)) for name, tensor in norm.named_buffers(prefix="norm")}
    state = net.state.add("clean", TaskDelta({**head, **own}))
    save(net.with_state(state, {"clean": TaskRecord(kind="restoration", channels=3, method="none")}), tmp_path / "b")
    engine = Engine(tmp_path / "b", backbone=Normed(deepcopy(norm)), tile=16)
    np.testing.assert_allclose(engine.forward(PICTURE, "clean"), expected, atol=1e-6)
    assert np.abs(torch.cat(halves, dim=1).numpy() - expected).max() > 1e-3  # parts run alone would differ


@pytest.mark.parametrize("backend", ["onnx", "torch"])
@pytest.mark.parametrize(("free", "expected"), [(2**40, 0), (2**19, 1)])
def test_a_picture_that_does_not_fit_runs_in_strips(
    free: int, expected: int, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(GOLDEN[0], backend=backend)
    task = engine.tasks[0]
    whole = engine.forward(PICTURE, task)
    ran = []
    in_strips = tiling._in_strips
    monkeypatch.setattr(tiling, "_in_strips", lambda *words, **options: ran.append(1) or in_strips(*words, **options))
    monkeypatch.setattr(tiling, "_SMALL", 0)
    for layers in (OnnxLayers, TorchLayers):
        monkeypatch.setattr(layers, "free", free)
    np.testing.assert_allclose(engine.forward(PICTURE, task), whole, atol=1e-4)
    assert len(ran) == expected


@pytest.mark.parametrize("backend", [OnnxBackend, TorchBackend])
def test_a_picture_that_does_not_fit_after_all_runs_in_strips(backend: type, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {
        "auto": Engine(GOLDEN[0], backend=backend.name),
        "never": Engine(GOLDEN[0], backend=backend.name, tile="never"),
    }
    task = names["auto"].tasks[0]
    whole = names["never"].forward(PICTURE, task)

    def scarce(*_words: object) -> None:
        raise MemoryError

    monkeypatch.setattr(backend, "_output", scarce)
    np.testing.assert_allclose(names["auto"].forward(PICTURE, task), whole, atol=1e-4)
    with pytest.raises(TooLargeError):
        names["never"].forward(PICTURE, task)


def test_strips_keep_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Keep] = []
    in_strips = tiling._in_strips
    monkeypatch.setattr(tiling, "_in_strips", lambda *words, keep: kept.append(keep) or in_strips(*words, keep=keep))
    engine = Engine(GOLDEN[0], tile=16)
    width, pixels = 2, 75 * 101
    for free in (2**40, 10 * width * pixels, 9 * width * pixels, 5 * width * pixels, 4 * width * pixels):  # over 0.8
        monkeypatch.setattr(tiling, "available_memory", lambda free=free: free)
        engine.forward(PICTURE, engine.tasks[0])
    assert kept == ["all", "all", "half", "half", "files"]


@pytest.mark.parametrize("tile", [15, 0, -1, True, "all", 20.5])
def test_what_is_no_size_of_strips_is_refused(tile: Tile) -> None:
    with pytest.raises(ValueError, match="Expected `tile` to be auto, never or a number of rows of at least 16, but"):
        Engine(GOLDEN[0], tile=tile)


def test_the_command_takes_a_number(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray((255 * PICTURE).astype(np.uint8).transpose(1, 2, 0)).save(photo)
    task = Engine(GOLDEN[0]).tasks[0]
    pictures = {}
    for tile in ("never", "32"):
        out = tmp_path / f"{tile}.png"
        words = ["run", str(GOLDEN[0]), task, str(photo), "-o", str(out), "--tile", tile]
        assert CliRunner().invoke(stencil, words).exit_code == 0
        pictures[tile] = np.asarray(Image.open(out).convert("RGB")).astype(int)
    assert pictures["never"].shape == (75, 101, 3)
    assert (pictures["never"] == pictures["32"]).mean() > 0.999
    refused = CliRunner().invoke(stencil, ["run", str(GOLDEN[0]), task, str(photo), "-o", "x.png", "--tile", "some"])
    assert refused.exit_code == 2
    assert "expected auto, never or a number of rows, but got 'some'" in refused.output
