"""Style transfer: both conventions against NumPy, what binding means, and metrics."""

import json
import math
from dataclasses import replace
from inspect import signature
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import Tensor

from stencilnet.config.schema import Perceptual
from stencilnet.data.sources import ScenesSource
from stencilnet.learning.styles import perceptual_network
from stencilnet.models import UNet
from stencilnet.perceptual.criterion import PRESETS, Criterion
from stencilnet.perceptual.network import Description, PerceptualError, PerceptualNetwork
from stencilnet.perceptual.standin import random_standin
from stencilnet.scenes import STYLES
from stencilnet.tasks.style import StyleTransfer
from stencilnet.tasks.task import Example, Task

Array = npt.NDArray[np.float64]

DEPTHS = {"johnson": (2, 2, 3, 3), "gatys": (2, 2, 4, 4, 1)}


def noise(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def published(preset: str) -> PerceptualNetwork:
    """A thin network with the layers of the preset's own, and no start: the preset's weights hold."""
    convolutions, channels = {}, 3
    for block, depth in enumerate(DEPTHS[preset], start=1):
        for index in range(1, depth + 1):
            width = 4 + block
            weight = torch.randn(width, channels, 3, 3, generator=torch.Generator().manual_seed(10 * block + index))
            convolutions[f"{block}_{index}"] = weight / (9 * channels) ** 0.5, torch.zeros(width)
            channels = width
    layers = PRESETS[preset]
    described = Description(name="thin VGG", style_layers=layers.style_layers, content_layer=layers.content_layer)
    return PerceptualNetwork(described, convolutions)


@pytest.fixture(scope="module")
def photos() -> Tensor:
    return noise(1, 3, 3, 40, 36)


@pytest.fixture(scope="module")
def style_image() -> Tensor:
    return 0.2 + 0.6 * noise(2, 3, 48, 44)


@pytest.fixture(scope="module")
def network(photos: Tensor) -> PerceptualNetwork:
    return random_standin(list(photos))


@pytest.fixture(scope="module")
def task(network: PerceptualNetwork, style_image: Tensor) -> StyleTransfer:
    return StyleTransfer(style="painted:swirls").bind(network, style_image)


def as_array(tensor: Tensor) -> Array:
    return tensor.double().numpy()


def numpy_gram(features: Array, preset: str) -> Array:
    """By definition: sums over pixels of products of two channels, over C*H*W or H*W."""
    channels, height, width = features.shape
    gram = np.zeros((channels, channels))
    for first in range(channels):
        for second in range(channels):
            gram[first, second] = (features[first] * features[second]).sum()
    return gram / (height * width * (channels if preset == "johnson" else 1))


@pytest.mark.parametrize("preset", ["johnson", "gatys"])
def test_gram_matrices_are_numpys(preset: str) -> None:
    features = noise(3, 2, 5, 7, 6) - 0.3
    found = PRESETS[preset].gram(features)
    for image in range(2):
        np.testing.assert_allclose(found[image], numpy_gram(as_array(features[image]), preset), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("preset", "wanted"), [("johnson", 6.0), ("gatys", 12.0)])
def test_gram_of_constant_channels_in_closed_form(preset: str, wanted: float) -> None:
    features = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1).expand(1, 2, 5, 9)
    assert float(PRESETS[preset].gram(features)[0, 0, 1]) == pytest.approx(wanted)


def test_gram_keeps_float32_under_autocast() -> None:
    features = noise(3, 1, 5, 30, 30)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = PRESETS["gatys"].gram(features)
    assert found.dtype == torch.float32
    assert torch.equal(found, PRESETS["gatys"].gram(features))


@pytest.mark.parametrize("preset", ["johnson", "gatys"])
def test_published_losses_are_numpys(preset: str, photos: Tensor, style_image: Tensor) -> None:
    network = published(preset)
    task = StyleTransfer(style="a.jpg", preset=preset).bind(network, style_image)
    output = noise(4, 3, 3, 40, 36) - 0.5
    losses = task.loss(output, {"input": photos}, None)

    layers = PRESETS[preset]
    everything = (*layers.style_layers, layers.content_layer)
    painted, photo, style = (network(x, everything) for x in (output.sigmoid(), photos, style_image[None]))
    difference = as_array(painted[layers.content_layer]) - as_array(photo[layers.content_layer])
    content = (1e5 if preset == "johnson" else 1.0) * np.square(difference).mean()
    style_loss = 0.0
    for layer in layers.style_layers:
        wanted = numpy_gram(as_array(style[layer][0]), preset)
        errors = [np.square(numpy_gram(as_array(x), preset) - wanted).mean() for x in painted[layer]]
        weight = 1e10 if preset == "johnson" else 1e3 / len(wanted) ** 2
        style_loss += weight * float(np.mean(errors))
    assert set(losses) == {"content", "style"}
    assert float(losses["content"]) == pytest.approx(content, rel=1e-4)
    assert float(losses["style"]) == pytest.approx(style_loss, rel=1e-4)


def test_the_photo_has_its_own_content_and_the_style_image_its_own_style(
    task: StyleTransfer, photos: Tensor, style_image: Tensor
) -> None:
    assert task.criterion is not None
    assert torch.equal(task.criterion(photos, photos)["content"], torch.zeros(3))
    assert float(task.criterion.style(style_image[None])) == pytest.approx(0, abs=1e-9)
    assert float(task.criterion.style(style_image[None] ** 2)) > 0.01


@pytest.mark.parametrize("preset", ["johnson", "gatys"])
def test_at_mid_gray_a_stand_ins_terms_are_one_each(
    preset: str, network: PerceptualNetwork, photos: Tensor, style_image: Tensor
) -> None:
    task = StyleTransfer(style="a.jpg", preset=preset).bind(network, style_image)
    losses = task.loss(torch.zeros_like(photos), {"input": photos}, None)
    assert float(losses["content"]) == pytest.approx(1, rel=1e-4)
    gray = torch.full_like(style_image, 0.5)[None]
    assert task.criterion is not None
    assert float(task.criterion.style(gray)) == pytest.approx(1, rel=1e-4)
    parts = task.criterion(gray, gray)
    for layer in network.description.style_layers:
        assert float(parts[layer]) == pytest.approx(1 / 8, rel=1e-4)


def test_other_weights_change_the_terms_in_proportion(
    network: PerceptualNetwork, photos: Tensor, style_image: Tensor
) -> None:
    output = noise(4, 3, 3, 40, 36)
    plain, more = StyleTransfer(style="a.jpg"), StyleTransfer(style="a.jpg", content_weight=2e5, style_weight=3e10)
    for perceptual in (network, published("johnson")):
        one, other = (t.bind(perceptual, style_image).loss(output, {"input": photos}, None) for t in (plain, more))
        assert float(other["content"]) == pytest.approx(2 * float(one["content"]), rel=1e-5)
        assert float(other["style"]) == pytest.approx(3 * float(one["style"]), rel=1e-5)


def test_gradients_reach_the_output_alone(task: StyleTransfer, photos: Tensor) -> None:
    output, photo = torch.zeros_like(photos, requires_grad=True), photos.clone().requires_grad_()
    losses = task.loss(output, {"input": photo}, None)
    for loss in losses.values():
        (gradient,) = torch.autograd.grad(loss, output, retain_graph=True)
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0
    assert torch.autograd.grad(sum(losses.values()), photo, allow_unused=True) == (None,)
    assert task.criterion is not None
    assert list(task.criterion.parameters()) == []


def test_bf16_outputs_are_measured_in_float32(task: StyleTransfer, photos: Tensor) -> None:
    output = noise(4, 3, 3, 40, 36).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = task.loss(output, {"input": photos}, None)
    wanted = task.loss(output.float(), {"input": photos}, None)
    assert found == wanted


def test_painting_lowers_both_losses_of_a_gray_start(task: StyleTransfer, photos: Tensor) -> None:
    output = torch.zeros(1, 3, 40, 36, requires_grad=True)
    optimizer = torch.optim.Adam([output], lr=0.2)
    start = task.loss(output, {"input": photos[:1]}, None)
    for _ in range(15):
        optimizer.zero_grad()
        sum(task.loss(output, {"input": photos[:1]}, None).values()).backward()
        optimizer.step()
    end = task.loss(output, {"input": photos[:1]}, None)
    assert all(float(end[name].detach()) < 0.8 * float(start[name].detach()) for name in start)


def test_unbound_it_runs_but_has_no_losses(photos: Tensor) -> None:
    task: Task = StyleTransfer(style="painted:bands")
    assert (task.channels, task.trivial, task.critic()) == (3, "identity", None)
    assert task.recipe().batch == 4
    assert task.recipe().lr == 1e-3
    assert task.recipe().schedule == "constant"
    assert [metric.name for metric in task.metrics] == ["total_loss", "content_loss", "style_loss", "SSIM"]
    assert "perceptual network: not bound yet" in task.metrics[0].note
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8))
    assert task.to_input(picture).shape == (3, 20, 30)
    with pytest.raises(PerceptualError, match=r"style task `painted:bands` to be bound .* Call `task = task\.bind\("):
        task.loss(torch.zeros_like(photos), {"input": photos}, None)
    with pytest.raises(PerceptualError, match="to be bound"):
        task.scores()


def test_pictures_are_sigmoids_of_outputs() -> None:
    output = np.broadcast_to(np.array([-1000, 0, math.log(3)], np.float32)[:, None, None], (3, 2, 2))
    pixels = np.asarray(StyleTransfer(style="a").to_image(output, np.zeros((3, 2, 2), np.float32)))
    assert pixels.dtype == np.uint8
    assert pixels[0, 0].tolist() == [0, 128, 191]


def test_the_baseline_is_the_photo(task: StyleTransfer) -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16).expand(3, 16, 16)
    sample = task.prepare(task.sample(Example(name="a", image=levels)))
    output = task.baseline([])({"input": sample["input"][None]})
    assert np.array_equal(
        np.asarray(task.to_image(output[0].numpy(), sample["input"].numpy())), levels.permute(1, 2, 0).numpy()
    )
    scores = task.scores()
    scores.update(output, {"input": sample["input"][None]})
    found = scores.compute()
    assert found["SSIM"] == pytest.approx(1, abs=1e-6)
    assert found["content_loss"] == pytest.approx(0, abs=1e-6)
    assert found["style_loss"] > 0.01
    assert task.target_image(sample) is None


def test_scores_are_means_over_images_and_name_the_network(task: StyleTransfer, photos: Tensor) -> None:
    output = noise(4, 3, 3, 40, 36)
    scores = task.scores()
    scores.update(output[:1], {"input": photos[:1]})
    scores.update(output[1:], {"input": photos[1:]})
    found = scores.compute()
    assert list(found)[:4] == [metric.name for metric in task.metrics]
    assert list(found)[4:] == [f"style_{layer}" for layer in task.criterion.layers]
    losses = task.loss(output, {"input": photos}, None)
    assert found["content_loss"] == pytest.approx(float(losses["content"]), rel=1e-5)
    assert found["style_loss"] == pytest.approx(float(losses["style"]), rel=1e-5)
    assert found["total_loss"] == pytest.approx(found["content_loss"] + found["style_loss"], rel=1e-5)
    layers = [value for name, value in found.items() if name.startswith("style_relu")]
    assert len(layers) == 8
    assert sum(layers) == pytest.approx(found["style_loss"], rel=1e-5)
    for metric in task.metrics:
        assert "perceptual network: stand-in: random filters, seed 1; preset johnson" in metric.note
        assert metric.higher_is_better == (metric.name == "SSIM")


def test_ssim_is_scikit_images(task: StyleTransfer, photos: Tensor) -> None:
    from skimage.metrics import structural_similarity

    output = noise(4, 3, 3, 40, 36)
    scores = task.scores()
    scores.update(output, {"input": photos})
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    pairs = zip(as_array(output.sigmoid()), as_array(photos), strict=True)
    wanted = [structural_similarity(a, b, channel_axis=0, **settings) for a, b in pairs]
    assert scores.compute()["SSIM"] == pytest.approx(np.mean(wanted), abs=1e-5)


def test_settings_rebuild_the_task_and_hold_no_binding(task: StyleTransfer) -> None:
    plain = StyleTransfer(style="b.jpg", style_size=128, preset="gatys", content_weight=2.0)
    assert StyleTransfer(**json.loads(json.dumps(plain.settings()))) == plain
    assert set(signature(StyleTransfer).parameters) == set(plain.settings())
    assert task == StyleTransfer(style="painted:swirls")
    assert hash(task) == hash(StyleTransfer(style="painted:swirls"))
    assert "criterion" not in repr(task)
    assert replace(task).criterion is None


def test_binding_leaves_task_and_network_alone(network: PerceptualNetwork, style_image: Tensor) -> None:
    plain = StyleTransfer(style="a.jpg")
    bound = plain.bind(network, style_image)
    assert plain.criterion is None
    assert bound.criterion is not None
    assert bound.criterion.network is not network


def test_the_losses_follow_their_inputs_device(network: PerceptualNetwork, style_image: Tensor) -> None:
    bound = StyleTransfer(style="a.jpg").bind(network, style_image)
    batch = torch.zeros(2, 3, 32, 32, device="meta")
    losses = bound.loss(batch, {"input": batch}, None)
    assert {loss.device.type for loss in losses.values()} == {"meta"}
    assert network.device.type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_losses_on_a_gpu_are_the_cpus(network: PerceptualNetwork, photos: Tensor, style_image: Tensor) -> None:
    task = StyleTransfer(style="a.jpg").bind(network, style_image)
    output = noise(4, 3, 3, 40, 36)
    wanted = task.loss(output, {"input": photos}, None)
    found = task.loss(output.cuda(), {"input": photos.cuda()}, None)
    for name, loss in found.items():
        assert loss.is_cuda
        assert float(loss) == pytest.approx(float(wanted[name]), rel=1e-2)


def test_wrong_settings_are_reported_at_once() -> None:
    with pytest.raises(ValueError, match=r"^Expected style's `style` to name") as caught:
        StyleTransfer(style="", style_size=8, preset="jonson", content_weight=0.0, style_weight=math.nan)
    text = str(caught.value)
    assert "`style_size` to be at least 32, but got 8" in text
    assert "`preset` to be one of johnson, gatys, but got 'jonson'" in text
    assert "`content_weight` to be above 0, but got 0.0" in text
    assert "`style_weight` to be above 0, but got nan" in text


def test_wrong_networks_and_style_images_are_refused(network: PerceptualNetwork, style_image: Tensor) -> None:
    task = StyleTransfer(style="a.jpg", preset="gatys")
    with pytest.raises(PerceptualError, match=r"preset `gatys` \(VGG19: style relu1_1, .*but got thin VGG\. Load it"):
        task.bind(published("johnson"), style_image)
    with pytest.raises(PerceptualError, match=r"each side at least 32 px, but got torch\.uint8 of shape \(3, 48, 44\)"):
        task.bind(network, (255 * style_image).byte())
    with pytest.raises(PerceptualError, match=r"got torch\.float32 of shape \(3, 31, 44\)"):
        task.bind(network, style_image[:, :31])
    with pytest.raises(PerceptualError, match=r"lie in \[0, 1\], but got values from .* to .*Divide 8-bit"):
        task.bind(network, 255 * style_image)
    with pytest.raises(PerceptualError, match="to differ from flat gray at relu1_1"):
        task.bind(network, torch.full((3, 40, 40), 0.5))
    with pytest.raises(TypeError, match="not adversarial"):
        task.critic_loss(torch.nn.Identity(), style_image, {})


def test_gram_matrices_of_the_style_are_computed_once(network: PerceptualNetwork, style_image: Tensor) -> None:
    preset = PRESETS["johnson"]
    criterion = Criterion(network, style_image, preset, preset.content_weight, preset.style_weight)
    layer = network.description.style_layers[-1]
    wanted = numpy_gram(as_array(network(style_image[None], (layer,))[layer][0]), "johnson")
    np.testing.assert_allclose(criterion.get_buffer(f"gram_{layer}")[0], wanted, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", STYLES)
def test_each_painted_style_can_be_learned_alone(name: str) -> None:
    images = ScenesSource(count=8, size=64).open(Path())
    style = StyleTransfer(style=f"painted:{name}", style_size=96)
    network = perceptual_network(Perceptual(source="standin"), UNet(width=4), images, [style], Path())
    assert "stand-in" in network.name
