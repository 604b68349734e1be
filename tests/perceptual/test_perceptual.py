"""Perceptual networks: VGG from files, stand-ins, their check, and their files."""

import logging
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from stencilnet.models import UNet
from stencilnet.models.padding import pad
from stencilnet.perceptual import vgg as vgg_module
from stencilnet.perceptual.check import check_perceptual, match_palette
from stencilnet.perceptual.criterion import PRESETS, Criterion
from stencilnet.perceptual.network import (
    Description,
    PerceptualError,
    PerceptualNetwork,
    block_of,
    load_perceptual,
    save_perceptual,
)
from stencilnet.perceptual.standin import encoder_standin, random_standin, standin
from stencilnet.perceptual.vgg import vgg


def noise(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def photo(seed: int, side: int = 48) -> Tensor:
    """Soft coloured blobs of muted colours."""
    blobs = F.interpolate(noise(seed, 1, 3, 6, 6), (side, side), mode="bicubic")[0]
    return (0.25 + 0.5 * blobs + 0.05 * noise(seed + 1, 3, side, side)).clamp(0, 1)


def painting(kind: str, side: int = 96) -> Tensor:
    """Two unlike styles: fine blue and white rings; broad red and green stripes."""
    y, x = torch.meshgrid(torch.arange(side) / side, torch.arange(side) / side, indexing="ij")
    if kind == "rings":
        wave, first, second = torch.sin(60 * torch.hypot(x - 0.5, y - 0.5)), (0.1, 0.2, 0.7), (0.7, 0.8, 1.0)
    else:
        wave, first, second = torch.sin(14 * (x + 2 * y)), (0.9, 0.4, 0.1), (0.1, 0.3, 0.2)
    share = (wave + 1) / 2
    one, two = (torch.tensor(colour).view(3, 1, 1) for colour in (first, second))
    return share * one + (1 - share) * two


@pytest.fixture(scope="module")
def unet() -> UNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return UNet(width=8, channels=4)


@pytest.fixture(scope="module")
def photos() -> list[Tensor]:
    return [photo(10 * i) for i in range(4)]


@pytest.fixture(scope="module")
def styles() -> list[Tensor]:
    return [painting("rings"), painting("stripes")]


class Blind(PerceptualNetwork):
    """The encoder as it stands, with instance normalisation: what the check is there to refuse."""

    def forward(self, image: Tensor, layers: tuple[str, ...]) -> dict[str, Tensor]:
        found, x, block = {}, image, 1
        for name, (weight, bias) in self.convolutions().items():
            if block_of(name) > block:
                x, block = F.max_pool2d(x, 2), block_of(name)
            x = F.relu(F.instance_norm(F.conv2d(x, weight, bias, padding=1)))
            found[f"relu{name}"] = x
        return {layer: found[layer] for layer in layers}


def torchvision_features(name: str) -> nn.Sequential:
    from torchvision.models.vgg import cfgs, make_layers

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return make_layers(cfgs[{"VGG16": "D", "VGG19": "E"}[name]])


@pytest.fixture(scope="module")
def vgg16() -> nn.Sequential:
    return torchvision_features("VGG16")


@pytest.fixture(scope="module")
def vgg16_file(vgg16: nn.Sequential, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vgg") / "random.pth"
    state = {f"features.{name}": tensor for name, tensor in vgg16.state_dict().items()}
    torch.save(state | {"classifier.6.bias": torch.zeros(1000)}, path)
    return path


def test_vgg16_is_torchvisions(vgg16: nn.Sequential, vgg16_file: Path) -> None:
    network = vgg("johnson", vgg16_file)
    image = noise(0, 2, 3, 33, 40)
    layers = network.description.style_layers
    assert layers == ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
    assert network.description.content_layer == "relu2_2"
    found = network(image, layers)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (image - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    with torch.no_grad():
        for layer, depth in zip(layers, (4, 9, 16, 23), strict=True):
            torch.testing.assert_close(found[layer], vgg16[:depth](x), rtol=1e-4, atol=1e-6)


def test_vgg19_is_torchvisions(tmp_path: Path) -> None:
    features = torchvision_features("VGG19")
    path = tmp_path / "vgg19.safetensors"
    save_file(features.state_dict(), path)  # the keys of `features` alone
    network = vgg("gatys", path)
    image = noise(0, 1, 3, 32, 32)
    layers = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1", "relu4_2")
    assert (*network.description.style_layers, network.description.content_layer) == layers
    found = network(image, layers)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (image - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    with torch.no_grad():
        for layer, depth in zip(layers, (2, 7, 12, 21, 30, 23), strict=True):
            torch.testing.assert_close(found[layer], features[:depth](x), rtol=1e-4, atol=1e-6)


def test_a_file_that_is_not_torchvisions_own_is_not_called_imagenet(
    vgg16_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert vgg("johnson", vgg16_file).name == "VGG16 from random.pth"
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "vgg16-397923af.pth").symlink_to(vgg16_file)
    assert vgg().name == "VGG16 from vgg16-397923af.pth"


def test_a_file_of_another_layout_is_refused(vgg16_file: Path, tmp_path: Path) -> None:
    with pytest.raises(PerceptualError, match=r"random\.pth to have the layout of torchvision's VGG19: features"):
        vgg("gatys", vgg16_file)
    other = tmp_path / "caffe.pth"
    torch.save({"conv1_1.weight": torch.zeros(64, 3, 3, 3)}, other)
    with pytest.raises(PerceptualError, match=r"features\.0\.bias \(64,\) \(got none\).*Give the state dict of"):
        vgg("johnson", other)
    whole = tmp_path / "module.pth"
    torch.save([torch.zeros(2)], whole)
    with pytest.raises(PerceptualError, match=r"hold a state dict .* Save `model\.state_dict\(\)`"):
        vgg("johnson", whole)


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    for name in ("cut.pth", "cut.safetensors"):
        path = tmp_path / name
        path.write_bytes(b"not weights")
        with pytest.raises(PerceptualError, match=rf"Cannot read the weights of VGG16 from .*{name}.*again"):
            vgg("johnson", path)
    pickled = tmp_path / "pickle.pth"
    torch.save({"features.0.weight": Path("runs/code")}, pickled)
    with pytest.raises(PerceptualError, match=r"pickle\.pth: it is damaged, or contains more than tensors"):
        vgg("johnson", pickled)


@pytest.mark.parametrize(
    "content", [b"hello weights\n", b"text of a file", b"https://x\n", b"\x80\x02X\x01\0\0\0\xff."]
)
def test_a_text_as_weights_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "notes.pth"
    path.write_bytes(content)
    with pytest.raises(PerceptualError, match=r"VGG16 from .*notes\.pth: it is damaged, or contains more.*again\."):
        vgg("johnson", path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_damaged_weights_are_refused_wherever_the_damage_is(tmp_path: Path) -> None:
    path = tmp_path / "old.pth"
    torch.save({"a": torch.zeros(3)}, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        with pytest.raises(PerceptualError, match=r"old\.pth.*(again|state dict|state_dict)"):
            vgg("johnson", path)


def test_an_empty_file_of_weights_has_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "empty.pth"
    path.touch()
    with pytest.raises(PerceptualError, match=r"empty\.pth: EOFError\. Copy or download the file again"):
        vgg("johnson", path)


def test_weights_have_names_and_are_floating_point(vgg16: nn.Sequential, tmp_path: Path) -> None:
    path = tmp_path / "numbered.pth"
    state = vgg16.state_dict()
    torch.save(state | {0: torch.zeros(1)}, path)
    with pytest.raises(PerceptualError, match=r"numbered\.pth to hold a state dict .* Save `model\.state_dict\(\)`"):
        vgg("johnson", path)
    integers = state | {"28.weight": state["28.weight"].to(torch.int8)}
    save_file(integers, tmp_path / "int8.safetensors")
    torch.save(integers, tmp_path / "int8.pth")
    for name in ("int8.safetensors", "int8.pth"):
        told = rf"{name} to hold floating-point weights, but got features\.28\.weight torch\.int8\. .* unquantised"
        with pytest.raises(PerceptualError, match=told):
            vgg("johnson", tmp_path / name)
    torch.save(
        {name: tensor.double() for name, tensor in state.items()} | {"classifier.6.bias": torch.zeros(1).int()}, path
    )
    assert vgg("johnson", path).name == "VGG16 from numbered.pth"  # what is not used may be anything


def test_missing_weights_name_the_remedies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    with pytest.raises(PerceptualError, match=r"vgg16-397923af\.pth, but there is no such file\. Use `download`, give"):
        vgg()
    monkeypatch.setattr(vgg_module, "_URL", "http://127.0.0.1:9/")
    with pytest.raises(PerceptualError, match=r"Cannot download the weights of VGG19.*copy the file.*stand-in"):
        vgg("gatys", "download")
    with pytest.raises(PerceptualError, match="`preset` to be one of johnson, gatys, but got 'jonson'"):
        vgg("jonson")


def test_on_one_image_the_stand_in_sees_what_the_encoder_sees(unet: UNet) -> None:
    image = photo(1)
    network = encoder_standin(unet, [image])
    levels = unet.encode(image[None])[:4]
    found = network(image[None], tuple(f"relu{block}_2" for block in range(1, 5)))
    for block, level in enumerate(levels, start=1):
        torch.testing.assert_close(found[f"relu{block}_2"], level.detach(), rtol=1e-3, atol=1e-4)


def test_the_statistics_are_averages_over_images(unet: UNet, photos: list[Tensor]) -> None:
    network = encoder_standin(unet, photos)
    with torch.no_grad():
        raw = [unet.conv1_1(image[None])[0] for image in photos]
        mean = torch.stack([x.mean(dim=(1, 2)) for x in raw]).mean(dim=0)
        variance = torch.stack([x.var(dim=(1, 2), correction=0) for x in raw]).mean(dim=0)
        shifted = (raw[2] - mean.view(-1, 1, 1)) / (variance + 1e-5).sqrt().view(-1, 1, 1)
    found = network(photos[2][None], ("relu1_1",))["relu1_1"][0]
    torch.testing.assert_close(found, shifted.relu(), rtol=1e-4, atol=1e-5)


def test_the_start_is_the_content_of_mid_gray(photos: list[Tensor]) -> None:
    network = random_standin(photos)
    layer = network.description.content_layer
    gray = network(torch.full((1, 3, 48, 48), 0.5), (layer,))[layer]
    distances = [(network(image[None], (layer,))[layer] - gray).square().mean() for image in photos]
    assert network.description.start == pytest.approx(float(torch.stack(distances).mean()), rel=1e-5)


def test_random_filters_are_seeded_and_average(photos: list[Tensor]) -> None:
    first, again, other = random_standin(photos), random_standin(photos), random_standin(photos, seed=2)
    assert first.name == "stand-in: random filters, seed 1"
    for name, (weight, _) in first.convolutions().items():
        assert torch.equal(weight, again.convolutions()[name][0])
        assert not torch.equal(weight, other.convolutions()[name][0])
    layers: list[nn.Module] = []
    for name, (weight, bias) in first.convolutions().items():
        if name in ("2_1", "3_1", "4_1"):
            layers.append(nn.AvgPool2d(2))
        layer = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
        layer.load_state_dict({"weight": weight, "bias": bias})
        layers += [layer, nn.ReLU()]
    image = photos[0][None]
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        wanted = nn.Sequential(*layers)((image - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1))
    torch.testing.assert_close(first(image, ("relu4_2",))["relu4_2"], wanted, rtol=1e-4, atol=1e-5)


def test_random_filters_are_orthogonal_beyond_the_first_layer(photos: list[Tensor]) -> None:
    weight = random_standin(photos).convolutions()["1_2"][0].flatten(1)
    torch.testing.assert_close(weight @ weight.T, 2 * torch.eye(32), rtol=0, atol=1e-5)


def test_it_is_frozen_and_lets_gradients_through(photos: list[Tensor]) -> None:
    network = random_standin(photos)
    image = photos[0][None].clone().requires_grad_()
    network(image, ("relu3_2",))["relu3_2"].square().mean().backward()
    assert image.grad is not None
    assert image.grad.abs().max() > 0
    assert list(network.parameters()) == []
    assert not any(buffer.requires_grad for buffer in network.buffers())
    assert not network.training


def test_it_keeps_float32_under_autocast(photos: list[Tensor]) -> None:
    network = random_standin(photos)
    plain = network(photos[0][None], ("relu4_2",))["relu4_2"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = network(photos[0][None], ("relu4_2",))["relu4_2"]
    assert found.dtype == torch.float32
    assert torch.equal(found, plain)


def test_both_stand_ins_pass_the_check(unet: UNet, photos: list[Tensor], styles: list[Tensor]) -> None:
    for network in (random_standin(photos), encoder_standin(unet, photos)):
        for sense in check_perceptual(network, photos, *styles):
            assert sense.palette < 0.9
            assert sense.own < 0.9
            assert sense.tint > 1.1


def test_the_check_refuses_instance_normalisation(unet: UNet, photos: list[Tensor], styles: list[Tensor]) -> None:
    seeing = encoder_standin(unet, photos)
    blind = Blind(seeing.description, seeing.convolutions())
    with pytest.raises(PerceptualError, match=r"unusable: style a: .*hardly rises under a tint"):
        check_perceptual(blind, photos, *styles)


def test_the_check_refuses_two_styles_that_are_one(photos: list[Tensor], styles: list[Tensor]) -> None:
    with pytest.raises(PerceptualError, match=r"does not distinguish the styles \(own over other: 1\.00\)"):
        check_perceptual(random_standin(photos), photos, styles[0], styles[0])
    with pytest.raises(PerceptualError, match="Expected photos to test"):
        check_perceptual(random_standin(photos), [], *styles)


def test_a_matched_photo_has_the_styles_palette() -> None:
    image, style = 0.4 + 0.2 * noise(1, 3, 40, 40), 0.3 + 0.1 * noise(2, 3, 20, 30)
    matched = match_palette(image, style)
    torch.testing.assert_close(matched.mean(dim=(1, 2)), style.mean(dim=(1, 2)))
    torch.testing.assert_close(matched.std(dim=(1, 2), correction=0), style.std(dim=(1, 2), correction=0))


def chosen(backbone: nn.Module, photos: list[Tensor], styles: list[Tensor]) -> tuple[str, float]:
    """The name of the network chosen, and its largest palette cost."""
    network = standin(backbone, photos, styles)
    return network.name, max(sense.cost for sense in check_perceptual(network, photos, *styles))


def test_the_cheaper_stand_in_is_chosen_and_named(
    unet: UNet, photos: list[Tensor], styles: list[Tensor], caplog: pytest.LogCaptureFixture
) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        cheap = UNet(width=8)
    with caplog.at_level(logging.INFO, logger="stencilnet.perceptual.standin"):
        by_encoder, by_random = chosen(cheap, photos, styles), chosen(unet, photos, styles)
    assert by_encoder[0] == "stand-in: the backbone's encoder, fixed normalisation"
    assert by_random[0] == "stand-in: random filters, seed 1"
    assert by_encoder[1] < by_random[1]
    dear = check_perceptual(encoder_standin(unet, photos), photos, *styles)
    assert max(sense.cost for sense in dear) > by_random[1]
    assert caplog.messages[2] == f"Style losses use {by_encoder[0]}."
    assert caplog.messages[5] == f"Style losses use {by_random[0]}."


def test_the_cost_of_a_palette_is_content_and_style_over_the_photos_style(
    photos: list[Tensor], styles: list[Tensor]
) -> None:
    network, preset = random_standin(photos), PRESETS["johnson"]
    criterion = Criterion(network, styles[0], preset, preset.content_weight, preset.style_weight)
    matched = torch.stack([match_palette(image, styles[0]) for image in photos])
    parts = criterion(matched, torch.stack(photos))
    wanted = sum(parts.values()).mean() / criterion.style(torch.stack(photos)).mean()
    assert check_perceptual(network, photos, *styles)[0].cost == pytest.approx(float(wanted), rel=1e-4)


def test_another_backbone_falls_through_to_random_filters(
    photos: list[Tensor], styles: list[Tensor], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="stencilnet.perceptual.standin"):
        network = standin(nn.Sequential(nn.Conv2d(3, 3, 3)), photos, styles)
    assert network.name == "stand-in: random filters, seed 1"
    assert "Not usable as a stand-in: Expected this package's U-Net" in caplog.messages[0]
    assert "Sequential lacks conv1_1.weight" in caplog.messages[0]


def test_where_nothing_will_do_it_says_why(unet: UNet, photos: list[Tensor], styles: list[Tensor]) -> None:
    with pytest.raises(
        PerceptualError, match=r"No stand-in passes the check.*encoder.*random filters, seed 1.*distinguish"
    ):
        standin(unet, photos, [styles[0], styles[0]])


def test_a_single_style_is_compared_with_others_until_a_pair_passes(
    unet: UNet, photos: list[Tensor], styles: list[Tensor]
) -> None:
    network = standin(unet, photos, styles[:1], [styles[0], styles[1]])
    assert network.name == standin(unet, photos, styles).name
    with pytest.raises(PerceptualError, match="distinguish"):
        standin(unet, photos, styles[:1], [styles[0]])


def test_stand_ins_refuse_what_they_cannot_use(unet: UNet, photos: list[Tensor], styles: list[Tensor]) -> None:
    normed = UNet(width=4)
    normed.norm1 = nn.BatchNorm2d(4)
    with pytest.raises(PerceptualError, match=r"UNet lacks nothing and has the extra keys norm1\.weight.*Use VGG"):
        encoder_standin(normed, photos)
    for images, got in (([], "none"), ([torch.zeros(3, 32, 32, dtype=torch.uint8)], "torch.uint8")):
        with pytest.raises(PerceptualError, match=f"at least one image, float RGB .*, but got {got}"):
            encoder_standin(unet, images)
        with pytest.raises(PerceptualError, match=f"but got {got}"):
            random_standin(images)
    with pytest.raises(PerceptualError, match="at least two style images to compare, but got 1"):
        standin(unet, photos, styles[:1])


def test_encoder_features_need_no_padding_of_other_sides(unet: UNet) -> None:
    image = photo(1, side=41)
    network = encoder_standin(unet, [image])
    assert network(image[None], ("relu4_2",))["relu4_2"].shape[-2:] == (5, 5)
    assert unet.encode(pad(image[None]))[3].shape[-2:] == (6, 6)


def test_files_are_bit_equal(unet: UNet, photos: list[Tensor], tmp_path: Path) -> None:
    network = encoder_standin(unet, photos)
    save_perceptual(network, tmp_path / "one.safetensors")
    loaded = load_perceptual(tmp_path / "one.safetensors")
    assert loaded.description == network.description
    assert list(loaded.convolutions()) == list(network.convolutions())
    assert all(torch.equal(a, b) for a, b in zip(loaded.buffers(), network.buffers(), strict=True))
    image = photos[1][None]
    assert torch.equal(loaded(image, ("relu4_2",))["relu4_2"], network(image, ("relu4_2",))["relu4_2"])
    save_perceptual(loaded, tmp_path / "two.safetensors")
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PerceptualError, match=r"Cannot read the perceptual network .*none\.safetensors"):
        load_perceptual(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("text")
    with pytest.raises(PerceptualError, match=r"Cannot read the perceptual network .*text\.safetensors"):
        load_perceptual(tmp_path / "text.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(PerceptualError, match="to be a perceptual network, but got other tensors"):
        load_perceptual(tmp_path / "other.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "odd.safetensors", metadata={"perceptual": '{"convolutions": []}'})
    with pytest.raises(PerceptualError, match=r"odd\.safetensors to describe .*but got \[\]"):
        load_perceptual(tmp_path / "odd.safetensors")


def described(**changes: object) -> Description:
    fields: dict[str, object] = {"name": "n", "style_layers": ("relu1_1",), "content_layer": "relu1_1"}
    return Description(**{**fields, **changes})  # type: ignore[arg-type]


def test_networks_that_do_not_hold_together_are_refused(photos: list[Tensor]) -> None:
    good = (torch.zeros(4, 3, 3, 3), torch.zeros(4))
    with pytest.raises(PerceptualError, match=re.escape("Expected layers ['relu2_1'], but the network has relu1_1.")):
        PerceptualNetwork(described(content_layer="relu2_1"), {"1_1": good})
    with pytest.raises(PerceptualError, match="Expected conv1_2 to take 4 channels"):
        PerceptualNetwork(described(), {"1_1": good, "1_2": good})
    with pytest.raises(PerceptualError, match="Expected conv1_1 to be finite"):
        PerceptualNetwork(described(), {"1_1": (good[0] / 0, good[1])})
    with pytest.raises(PerceptualError, match="`max` or `average`, but got 'sum'"):
        described(pooling="sum")
    with pytest.raises(PerceptualError, match="`start` to be positive"):
        described(start=0.0)
    with pytest.raises(PerceptualError, match="one is empty"):
        described(style_layers=())
    with pytest.raises(PerceptualError, match="at least 8 px per side, but got 40x7 px"):
        random_standin(photos)(torch.zeros(1, 3, 7, 40), ("relu4_2",))
