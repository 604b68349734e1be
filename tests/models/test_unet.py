"""The paper's network: its keys, its sizes in real bytes, and its outputs against a U-Net written by hand."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from stencilnet.delta import BitMask
from stencilnet.masks import tensor_of
from stencilnet.models import UNet, fresh_weights, layout_of
from stencilnet.models.unet import DECODER

LAYERS = [
    *("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv4_1", "conv4_2", "conv5_1", "conv5_2"),
    *("up6", "conv6_1", "conv6_2", "up7", "conv7_1", "conv7_2", "up8", "conv8_1", "conv8_2"),
    *("up9", "conv9_1", "conv9_2", "head"),
]

SIZES = [(1, 1), (1, 40), (5, 7), (16, 16), (31, 33), (32, 32), (33, 12), (17, 300), (480, 16)]


class ReferenceUNet(nn.Module):
    """The same network in the other style: module layers, sequential blocks, padding by NumPy."""

    def __init__(self, width: int, channels: int, affine: bool = False) -> None:
        super().__init__()
        self.affine = affine
        plan = [3, width, 2 * width, 4 * width, 8 * width, 8 * width]
        self.down = nn.ModuleList(self.block(a, b, b) for a, b in pairwise(plan))
        self.pool = nn.MaxPool2d(kernel_size=2, stride=2)
        self.up = nn.ModuleList(nn.ConvTranspose2d(c, c, 2, 2) for c in (8 * width, 4 * width, 2 * width, width))
        joined = [(16 * width, 4 * width), (8 * width, 2 * width), (4 * width, width), (2 * width, width)]
        self.merge = nn.ModuleList(self.block(a, b, b) for a, b in joined)
        self.out = nn.Conv2d(width, channels, 1)

    def block(self, *channels: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for a, b in pairwise(channels):
            norm = nn.GroupNorm(b, b) if self.affine else nn.InstanceNorm2d(b)
            layers += [nn.Conv2d(a, b, 3, padding="same"), norm, nn.ReLU()]
        return nn.Sequential(*layers)

    def names(self) -> dict[str, str]:
        """From this network's module names to the paper's."""
        pairs = {"out": "head"}
        for level in range(5):
            pairs |= {f"down.{level}.0": f"conv{level + 1}_1", f"down.{level}.3": f"conv{level + 1}_2"}
        for level in range(4):
            pairs |= {f"up.{level}": f"up{level + 6}"}
            pairs |= {f"merge.{level}.0": f"conv{level + 6}_1", f"merge.{level}.3": f"conv{level + 6}_2"}
        if self.affine:
            norms = {f"down.{n}.{place}": f"norm{n + 1}_{i}" for n in range(5) for place, i in ((1, 1), (4, 2))}
            norms |= {f"merge.{n}.{place}": f"norm{n + 6}_{i}" for n in range(4) for place, i in ((1, 1), (4, 2))}
            pairs |= norms
        return pairs

    def copy_from(self, weights: Mapping[str, Tensor]) -> "ReferenceUNet":
        pairs = self.names()
        own = {f"{mine}.{leaf}": weights[f"{pairs[mine]}.{leaf}"] for mine in pairs for leaf in ("weight", "bias")}
        self.load_state_dict(own)
        return self

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        before, array = {}, x.numpy()
        for axis, side in ((2, height), (3, width)):
            total = max(32, -(-side // 16) * 16) - side
            amounts = [(0, 0)] * 4
            before[axis] = total // 2
            amounts[axis] = (total // 2, total - total // 2)
            array = np.pad(array, amounts, mode="reflect" if total - total // 2 < side else "edge")
        x, skips = torch.from_numpy(array), []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else self.pool(x))
            skips.append(x)
        for up, merge, skip in zip(self.up, self.merge, skips[-2::-1], strict=True):
            x = merge(torch.cat((skip, up(x)), dim=1))
        x = self.out(x)
        return x[:, :, before[2] : before[2] + height, before[3] : before[3] + width]


def file_payload(tensors: Mapping[str, Tensor], path: Path) -> int:
    """Bytes a safetensors file spends on the tensors themselves."""
    save_file(dict(tensors), path)
    header = int.from_bytes(path.read_bytes()[:8], "little")
    return path.stat().st_size - 8 - header


def mib(count: int) -> str:
    return f"{count / 2**20:.2f}"


def test_state_dict_keys_are_pinned() -> None:
    assert list(UNet(width=1).state_dict()) == [f"{layer}.{leaf}" for layer in LAYERS for leaf in ("weight", "bias")]


def test_channel_plan_at_the_papers_width() -> None:
    with torch.device("meta"):
        shapes = {name: tuple(p.shape) for name, p in UNet().named_parameters() if name.endswith("weight")}
    plan = {
        "conv1_1": (64, 3), "conv1_2": (64, 64), "conv2_1": (128, 64), "conv2_2": (128, 128),
        "conv3_1": (256, 128), "conv3_2": (256, 256), "conv4_1": (512, 256), "conv4_2": (512, 512),
        "conv5_1": (512, 512), "conv5_2": (512, 512), "up6": (512, 512), "conv6_1": (256, 1024),
        "conv6_2": (256, 256), "up7": (256, 256), "conv7_1": (128, 512), "conv7_2": (128, 128),
        "up8": (128, 128), "conv8_1": (64, 256), "conv8_2": (64, 64), "up9": (64, 64),
        "conv9_1": (64, 128), "conv9_2": (64, 64), "head": (81, 64),
    }  # fmt: skip
    kernel = {"up": (2, 2), "co": (3, 3), "he": (1, 1)}
    assert shapes == {f"{name}.weight": (*channels, *kernel[name[:2]]) for name, channels in plan.items()}


def test_sizes_of_table_2_in_real_bytes(tmp_path: Path) -> None:
    """56.4 MB, 20.5 MB and 1.8 MB in the paper, which counts 2^20 bytes."""
    weights = UNet(width=64, channels=81).state_dict()
    assert sum(tensor.numel() for tensor in weights.values()) == 14_786_193
    whole = file_payload(weights, tmp_path / "whole.safetensors")
    assert (whole, mib(whole)) == (4 * 14_786_193, "56.40")

    backbone = UNet(width=64, channels=21)
    layout = layout_of(backbone, "head", DECODER)
    own = backbone.state_dict()
    decoder = file_payload({n: own[n] for n in (*layout.decoder, *layout.head)}, tmp_path / "decoder.safetensors")
    assert mib(decoder) == "20.51"

    masks = {name: BitMask.pack(own[name] > 0) for name in layout.masked}
    assert sum(mask.numel for mask in masks.values()) == 14_776_000
    bits = file_payload({name: tensor_of(mask.packed) for name, mask in masks.items()}, tmp_path / "mask.safetensors")
    assert (bits, mib(bits)) == (14_776_000 // 8, "1.76")


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_output_against_a_network_written_by_hand(height: int, width: int) -> None:
    torch.manual_seed(0)
    network = UNet(width=3, channels=4)
    x = torch.rand(2, 3, height, width)
    with torch.no_grad():
        output, expected = network(x), ReferenceUNet(3, 4).copy_from(network.state_dict())(x)
    assert output.shape == (2, 4, height, width)
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)


def test_output_at_the_papers_width() -> None:
    torch.manual_seed(0)
    network, x = UNet(width=64, channels=5), torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        expected = ReferenceUNet(64, 5).copy_from(network.state_dict())(x)
        torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-5)


def test_affine_norms_against_a_network_written_by_hand() -> None:
    """Group normalisation of one channel a group is instance normalisation by other code."""
    torch.manual_seed(0)
    network = UNet(width=3, channels=4, norm="affine")
    for name, tensor in network.state_dict().items():
        if name.startswith("norm"):
            tensor.uniform_(-1.5, 1.5)
    x = torch.rand(2, 3, 40, 33)
    with torch.no_grad():
        expected = ReferenceUNet(3, 4, affine=True).copy_from(network.state_dict())(x)
        torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-5)


def test_affine_norms_start_as_none() -> None:
    plain, affine = UNet(width=2, channels=3), UNet(width=2, channels=3, norm="affine")
    missing = affine.load_state_dict(plain.state_dict(), strict=False).missing_keys
    convolutions = [layer for layer in LAYERS if layer.startswith("conv")]
    assert missing == [f"{c.replace('conv', 'norm')}.{leaf}" for c in convolutions for leaf in ("weight", "bias")]
    x = torch.rand(1, 3, 40, 33, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(affine(x), plain(x), rtol=1e-5, atol=1e-6)


def test_affine_norms_are_31_kib_and_the_decoders_are_the_decoders() -> None:
    with torch.device("meta"):
        network = UNet(width=64, channels=3, norm="affine")
    layout = layout_of(network, "head", network.decoder)
    own = network.state_dict()
    assert sum(own[name].nbytes for name in layout.norms) == 31 * 1024
    plain = layout_of(UNet(width=1), "head", DECODER)
    assert layout.masked == plain.masked
    assert set(layout.decoder) - set(plain.decoder) == {n for n in layout.norms if n[4] in "6789"}
    assert plain.norms == ()
    assert UNet(width=1).decoder == DECODER


def test_affine_norms_run_in_mixed_precision() -> None:
    network, x = UNet(width=2, channels=3, norm="affine"), torch.rand(1, 3, 32, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = network(x)
    output.float().square().mean().backward()
    assert network.norm1_1.weight.dtype == torch.float32
    assert network.norm1_1.weight.grad is not None
    torch.testing.assert_close(output.float(), network(x), rtol=0.1, atol=0.1)


def test_an_unknown_norm_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Expected `norm` to be one of instance, affine, own, but got 'batch'\."):
        UNet(width=1, norm="batch")  # type: ignore[arg-type]


def test_encode_gives_five_levels_finest_first() -> None:
    levels = UNet(width=2).encode(torch.rand(1, 3, 32, 64))
    assert [tuple(level.shape[1:]) for level in levels] == [
        (2, 32, 64), (4, 16, 32), (8, 8, 16), (16, 4, 8), (16, 2, 4),
    ]  # fmt: skip
    assert all(level.min() >= 0 for level in levels)


def test_training_mode_and_batch_mates_change_nothing() -> None:
    torch.manual_seed(0)
    network, x = UNet(width=2, channels=3), torch.rand(3, 3, 40, 24)
    with torch.no_grad():
        together = network.train()(x)
        assert torch.equal(network.eval()(x), together)
        for image, output in zip(x, together, strict=True):
            torch.testing.assert_close(network(image[None])[0], output, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("width", "channels"), [(0, 1), (1, 0), (-2, 3)])
def test_sizes_must_be_positive(width: int, channels: int) -> None:
    expected = rf"Expected `width` and `channels` to be at least 1, but got {width} and {channels}\."
    with pytest.raises(ValueError, match=expected):
        UNet(width=width, channels=channels)


def test_norms_of_a_tasks_own_leave_what_is_shared_the_papers() -> None:
    torch.manual_seed(0)
    plain, own = UNet(width=2, channels=1), UNet(width=2, channels=1, norm="own")
    own.load_state_dict(plain.state_dict(), strict=False)
    image = torch.rand(1, 3, 40, 33)
    assert torch.equal(own(image), plain(image))
    layouts = [layout_of(backbone, "head", backbone.decoder) for backbone in (plain, own)]
    assert layouts[0].parameters == layouts[1].parameters
    assert layouts[0].decoder == layouts[1].decoder
    assert layouts[1].norms == layout_of(UNet(width=2, norm="affine"), "head", ()).norms
    assert fresh_weights(own, "head", 3).keys() - fresh_weights(plain, "head", 3).keys() == set(layouts[1].norms)
