"""A picture run strip by strip gives what the whole picture gives."""

import tempfile
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from stencilnet.inference.layers import TorchLayers
from stencilnet.memory import TooLargeError
from stencilnet.models import UNet
from stencilnet.pictures.images import Floats
from stencilnet.tiles import run_unet
from stencilnet.tiles.features import Moments, stored
from stencilnet.tiles.files import array_in_file
from stencilnet.tiles.unet import Keep


def network(norm: str) -> UNet:
    torch.manual_seed(0)
    net = UNet(width=4, channels=5, norm=norm)
    with torch.no_grad():
        for name, values in net.named_parameters():
            if name.startswith("norm"):
                values.add_(torch.randn(values.shape) / 4)
    return net.eval()


@pytest.mark.parametrize("norm", ["instance", "affine", "own"])
@pytest.mark.parametrize(("height", "width", "rows"), [(64, 96, 16), (96, 48, 7), (32, 32, 1), (48, 64, 1000)])
@pytest.mark.parametrize("keep", ["all", "half", "files"])
def test_strips_give_what_the_whole_gives(norm: str, height: int, width: int, rows: int, keep: Keep) -> None:
    net = network(norm)
    picture = np.random.default_rng(0).random((3, height, width), np.float32)
    with torch.inference_mode():
        whole = net(torch.from_numpy(picture)[None])[0].numpy()
    layers = TorchLayers(net, torch.device("cpu"))
    output = run_unet(layers, stored(picture), rows, keep=keep)
    assert (output.height, output.width) == (height, width)
    found = np.concatenate([strip for _, _, strip in output.strips(rows)], axis=1)
    assert whole.std() > 0.1
    np.testing.assert_allclose(found, whole, atol=1e-4)


def test_kept_maps_save_computing_them_again() -> None:
    calls: list[str] = []

    class Counting(TorchLayers):
        def apply(self, layer: str, x: Floats) -> Floats:
            calls.append(layer)
            return super().apply(layer, x)

    found: dict[Keep, list[int]] = {}
    for keep in get_args(Keep):
        calls.clear()
        output = run_unet(
            Counting(network("instance"), torch.device("cpu")), stored(np.ones((3, 64, 32), np.float32)), 16, keep=keep
        )
        list(output.strips(16))
        found[keep] = [calls.count(layer) for layer in ("conv1_2", "conv2_1", "conv9_1", "conv9_2", "head")]
    again = [18, 2, 12, 8, 4]
    assert found == {"all": [4, 2, 4, 4, 4], "half": again, "files": again}


def test_maps_in_files_leave_no_file_and_need_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    array = array_in_file((2, 3, 4))
    array[:] = 1
    assert (array.shape, array.dtype, array.sum()) == ((2, 3, 4), np.float32, 24)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(TooLargeError, match="and 40000000\\.0 GB of them could not be kept in "):
        array_in_file((10**16,))


def test_statistics_of_each_strip_alone_would_differ() -> None:
    """The check above can fail: the same strips as pictures of their own give something else."""
    net = network("instance")
    picture = np.random.default_rng(0).random((3, 64, 32), np.float32)
    picture[:, :32] /= 4
    with torch.inference_mode():
        whole = net(torch.from_numpy(picture)[None])[0]
        parts = [net(torch.from_numpy(picture[:, top : top + 32])[None])[0] for top in (0, 32)]
    assert (torch.cat(parts, dim=1) - whole).abs().max() > 0.1


def test_moments_are_those_of_the_whole() -> None:
    whole = np.random.default_rng(1).normal(100, 0.1, (3, 50, 40)).astype(np.float32)
    moments = Moments()
    for top in (0, 7, 30):
        moments.add(whole[:, top : {0: 7, 7: 30, 30: 50}[top]])
    found = moments.activate(None, None)(whole.copy())
    double = whole.astype(np.float64)
    deviation = np.sqrt(double.var(axis=(1, 2), keepdims=True) + 1e-5)
    wanted = np.maximum((double - double.mean(axis=(1, 2), keepdims=True)) / deviation, 0)
    np.testing.assert_allclose(found, wanted, atol=1e-4)
