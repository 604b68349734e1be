"""Graphs give PyTorch's outputs from the same weights, for every network, norm, size and number of columns."""

from typing import Any, get_args

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from stencilnet.bundle.architecture import KNOWN, UNET, VGG, Norm
from stencilnet.graphs.architectures import ARCHITECTURES
from stencilnet.graphs.writer import IMAGE, OUTPUT
from stencilnet.models import VGG16, UNet
from stencilnet.models.columns import run

NEAR = 1e-4
NORMS = get_args(Norm)


def output_of(model: onnx.ModelProto, weights: dict[str, Tensor], inputs: dict[str, Any]) -> np.ndarray:
    options = ort.SessionOptions()
    needed = [tensor.name for tensor in model.graph.initializer if tensor.external_data]
    options.add_external_initializers(
        needed, [ort.OrtValue.ortvalue_from_numpy(weights[key].numpy()) for key in needed]
    )
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run([OUTPUT], inputs)[0]


def shapes(weights: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in weights.items()}


def drawn(net: nn.Module, seed: int = 1) -> dict[str, Tensor]:
    """Weights that no default would give: norms scale and shift by amounts of their own."""
    generator = torch.Generator().manual_seed(seed)
    return {k: t + 0.1 * torch.randn(t.shape, generator=generator) for k, t in net.state_dict().items()}


def test_every_architecture_of_bundles_has_a_graph() -> None:
    assert set(ARCHITECTURES) == set(KNOWN)


@pytest.mark.parametrize("norm", NORMS)
def test_shapes_of_a_unet_are_the_modules(norm: Any) -> None:
    found = ARCHITECTURES[UNET].shapes({"width": 5, "norm": norm})
    assert found == shapes(UNet(width=5, channels=1, norm=norm).state_dict())


def test_shapes_of_a_vgg16_are_the_modules() -> None:
    with torch.device("meta"):
        module = VGG16(channels=1)
    assert ARCHITECTURES[VGG].shapes({}) == shapes(module.state_dict())


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("size", [(32, 32), (48, 80)])
def test_unet(norm: Any, size: tuple[int, int]) -> None:
    net = UNet(width=4, channels=3, norm=norm)
    weights = drawn(net)
    images = torch.rand(2, 3, *size)
    found = output_of(ARCHITECTURES[UNET].graph(shapes(weights)), weights, {IMAGE: images.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(found, run(net, weights, images).numpy(), atol=NEAR)


def test_columns() -> None:
    net = UNet(width=4, channels=3)
    generator = torch.Generator().manual_seed(2)

    def adapters(column: str) -> dict[str, Tensor]:
        levels = {level: net.get_submodule(level).weight.shape for level in net.levels}
        return {
            f"lateral/{column}/{level}.weight": torch.randn(*shape[:2], 1, 1, generator=generator) / 9  # type: ignore[misc]
            for level, shape in levels.items()
        }

    def column(name: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        return {f"column/{name}/{key}": tensor for key, tensor in weights.items()}

    first, second, own = (drawn(net, seed) for seed in (1, 2, 3))
    weights = column("one", first) | column("two", second | adapters("one")) | own | adapters("one") | adapters("two")
    images = torch.rand(1, 3, 32, 48)
    graph = ARCHITECTURES[UNET].graph
    found = output_of(graph(shapes(weights)), weights, {IMAGE: images.numpy()})
    alone = output_of(graph(shapes(own)), own, {IMAGE: images.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(found, run(net, weights, images).numpy(), atol=NEAR)
    assert np.abs(found - alone).max() > 10 * NEAR


def test_an_adapter_where_no_columns_are_joined_is_not_read() -> None:
    net = UNet(width=4, channels=3)
    weights = drawn(net) | {f"column/one/{key}": tensor for key, tensor in drawn(net, 2).items()}
    weights |= {f"lateral/one/{layer}.weight": torch.ones(4, 4, 1, 1) for layer in ("conv1_2", "up9")}
    images = torch.rand(1, 3, 32, 32)
    found = output_of(ARCHITECTURES[UNET].graph(shapes(weights)), weights, {IMAGE: images.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(found, run(net, weights, images).numpy(), atol=NEAR)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(32, 64), (224, 224), (96, 320)])
def test_vgg16(size: tuple[int, int]) -> None:
    net = VGG16(channels=5).eval()
    weights = dict(net.state_dict())
    image = torch.rand(3, *size)
    network = ARCHITECTURES[VGG]
    found = output_of(network.graph(shapes(weights)), weights, network.inputs(image.numpy()))
    with torch.no_grad():
        np.testing.assert_allclose(found, net(image[None]).numpy(), atol=NEAR)
    assert len(np.unique(found)) > 1


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("size", [(1, 1), (17, 100), (48, 33)])
def test_unet_of_any_size(norm: Any, size: tuple[int, int]) -> None:
    net = UNet(width=4, channels=3, norm=norm)
    weights = drawn(net)
    images = torch.rand(2, 3, *size)
    graph = ARCHITECTURES[UNET].graph(shapes(weights), any_size=True)
    with torch.no_grad():
        expected = run(net, weights, images).numpy()
    np.testing.assert_allclose(output_of(graph, weights, {IMAGE: images.numpy()}), expected, atol=NEAR)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(33, 64), (224, 224), (100, 321)])
def test_vgg16_of_any_size(size: tuple[int, int]) -> None:
    net = VGG16(channels=5).eval()
    weights = dict(net.state_dict())
    images = torch.rand(2, 3, *size)
    graph = ARCHITECTURES[VGG].graph(shapes(weights), any_size=True)
    assert [value.name for value in graph.graph.input] == [IMAGE]
    found = output_of(graph, weights, {IMAGE: images.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(found, net(images).numpy(), atol=NEAR)


def test_a_picture_that_is_too_small_for_a_vgg16_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^Expected images of at least 32x32 px for VGG16, but got 31x40 px\. Use"):
        ARCHITECTURES[VGG].inputs(np.zeros((3, 40, 31), np.float32))


def test_a_graph_holds_no_weights() -> None:
    weights = UNet(width=64, channels=7).state_dict()
    assert len(ARCHITECTURES[UNET].graph(shapes(weights)).SerializeToString()) < 40_000
