"""Which tensors are what, and fresh ones drawn without touching anybody's randomness."""

from collections import OrderedDict

import pytest
import torch
from torch import nn

from stencilnet.models import UNet, fresh_head, fresh_weights, layout_of
from stencilnet.models.unet import DECODER


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mixed() -> nn.Module:
    return nn.ModuleDict(
        {
            "conv1d": nn.Conv1d(2, 2, 3),
            "conv2d": nn.Conv2d(4, 4, 3, groups=2),
            "conv3d": nn.Conv3d(2, 2, 3, bias=False),
            "up1d": nn.ConvTranspose1d(2, 2, 3),
            "up2d": nn.ConvTranspose2d(2, 2, 3),
            "up3d": nn.ConvTranspose3d(2, 2, 3),
            "linear": nn.Linear(2, 2),
            "batch": nn.BatchNorm2d(2),
            "group": nn.GroupNorm(1, 2),
            "table": nn.Embedding(2, 2),
            "head": nn.Linear(6, 4),
        }
    )


def test_unet_layout() -> None:
    layout = layout_of(UNet(width=1), "head", DECODER)
    names = [f"conv{level}_{i}" for level in range(1, 6) for i in (1, 2)]
    decoder = [name for level in range(6, 10) for name in (f"up{level}", f"conv{level}_1", f"conv{level}_2")]
    assert layout.masked == tuple(f"{name}.weight" for name in (*names, *decoder))
    assert layout.decoder == tuple(f"{name}.{leaf}" for name in decoder for leaf in ("weight", "bias"))
    assert layout.parameters == tuple(f"{n}.{leaf}" for n in (*names, *decoder) for leaf in ("weight", "bias"))
    assert layout.buffers == ()
    assert layout.head == ("head.weight", "head.bias")


def test_convolution_and_linear_weights_are_masked_biases_and_norms_are_not() -> None:
    layout = layout_of(mixed(), "head", ("up",))
    masked = ("conv1d", "conv2d", "conv3d", "up1d", "up2d", "up3d", "linear")
    assert layout.masked == tuple(f"{name}.weight" for name in masked)
    assert set(layout.parameters) - set(layout.masked) == {
        *(f"{name}.bias" for name in masked if name != "conv3d"),
        *(f"{name}.{leaf}" for name in ("batch", "group") for leaf in ("weight", "bias")),
        "table.weight",
    }
    assert layout.norms == ("batch.weight", "batch.bias", "group.weight", "group.bias")
    assert layout.buffers == ("batch.running_mean", "batch.running_var", "batch.num_batches_tracked")
    assert layout.decoder == tuple(n for n in layout.parameters if n.startswith("up"))


@pytest.mark.parametrize(
    ("norm", "leaves"),
    [
        (nn.BatchNorm1d(4), ("weight", "bias")),
        (nn.SyncBatchNorm(4), ("weight", "bias")),
        (nn.BatchNorm2d(4, affine=False), ()),
        (nn.InstanceNorm2d(4), ()),
        (nn.InstanceNorm3d(4, affine=True), ("weight", "bias")),
        (nn.GroupNorm(2, 4, affine=False), ()),
        (nn.LayerNorm(4, bias=False), ("weight",)),
        (nn.RMSNorm(4), ("weight",)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_norms_are_read_from_the_kinds_of_layers(norm: nn.Module, leaves: tuple[str, ...]) -> None:
    layout = layout_of(nn.ModuleDict({"conv": nn.Conv2d(3, 4, 1), "own": norm, "head": nn.Linear(4, 2)}), "head", ())
    assert layout.norms == tuple(f"own.{leaf}" for leaf in leaves)
    assert layout.masked == ("conv.weight",)


def test_every_key_has_exactly_one_place() -> None:
    network = mixed()
    layout = layout_of(network, "head", ())
    assert sorted([*layout.parameters, *layout.buffers, *layout.head]) == sorted(network.state_dict())
    assert layout.decoder == ()


def test_buffers_that_are_not_saved_are_no_part_of_a_task() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Conv2d(2, 2, 1))
    network.register_buffer("scratch", torch.ones(1), persistent=False)
    assert layout_of(network, "1", ()).buffers == ()


def test_a_head_named_like_the_start_of_another_layer_claims_only_itself() -> None:
    network = nn.ModuleDict({"head2": nn.Linear(2, 2), "head": nn.Linear(2, 2)})
    layout = layout_of(network, "head", ("head2",))
    assert layout.head == ("head.weight", "head.bias")
    assert layout.decoder == layout.parameters == ("head2.weight", "head2.bias")


def test_an_unknown_head_is_refused_with_the_layers_there_are() -> None:
    expected = r"Expected `head` to name a layer of Sequential, but got 'fc'\. Layers: 0, 1\."
    with pytest.raises(ValueError, match=expected):
        layout_of(nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU()), "fc", ())


def test_a_head_of_another_kind_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Expected the head `1` to be a Conv2d or a Linear, but got ReLU\."):
        layout_of(nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU()), "1", ())


def test_a_decoder_prefix_that_names_nothing_is_refused() -> None:
    expected = (
        r"Expected the decoder prefix `up6` to name parameters of Sequential, but none starts with it\. "
        r"Name its own, or pass `decoder=\(\)` for a backbone without one\."
    )
    with pytest.raises(ValueError, match=expected):
        layout_of(nn.Sequential(nn.Conv2d(3, 2, 1), nn.Conv2d(2, 2, 1)), "1", DECODER)


@pytest.mark.parametrize(
    ("head", "shape"),
    [
        (nn.Conv2d(12, 4, 3), (9, 12, 3, 3)),
        (nn.Conv2d(12, 6, 1, groups=3), (9, 4, 1, 1)),
        (nn.Linear(50, 3), (9, 50)),
    ],
    ids=["conv", "grouped", "linear"],
)
def test_fresh_head_is_of_the_heads_kind_and_pytorchs_distribution(head: nn.Module, shape: tuple[int, ...]) -> None:
    network = nn.ModuleDict({"head": head})
    drawn = fresh_head(network, "head", 9, generator())
    assert {name: tuple(tensor.shape) for name, tensor in drawn.items()} == {"head.weight": shape, "head.bias": (9,)}
    assert all(t.dtype == torch.float32 and not t.requires_grad for t in drawn.values())
    many = fresh_head(network, "head", 9 * 500, generator())
    bound = torch.Size(shape[1:]).numel() ** -0.5
    for tensor in many.values():
        assert tensor.abs().max() <= bound
        assert tensor.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)
        assert abs(tensor.mean().item()) < 0.05 * bound


def test_a_head_without_bias_stays_so() -> None:
    network = nn.ModuleDict({"head": nn.Linear(5, 3, bias=False)})
    assert list(fresh_head(network, "head", 2, generator())) == ["head.weight"]


def test_fresh_heads_follow_their_generator() -> None:
    network, source = UNet(width=2), generator(4)
    first, second = (fresh_head(network, "head", 3, source)["head.weight"] for _ in range(2))
    assert torch.equal(fresh_head(network, "head", 3, generator(4))["head.weight"], first)
    assert not torch.equal(first, second)


def test_fresh_weights_follow_their_seed_and_not_the_backbones_weights() -> None:
    torch.manual_seed(1)
    one = fresh_weights(UNet(width=2, channels=3), "head", seed=5)
    two = fresh_weights(UNet(width=2, channels=3), "head", seed=5)
    other = fresh_weights(UNet(width=2, channels=3), "head", seed=6)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)


def test_fresh_weights_are_what_a_new_network_gets_from_that_seed() -> None:
    drawn = fresh_weights(UNet(width=2), "head", seed=3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        new = UNet(width=2).state_dict()
    assert set(drawn) == {name for name in new if not name.startswith("head.")}
    assert all(torch.equal(drawn[name], new[name]) for name in drawn)


def test_fresh_weights_reset_running_statistics() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1))
    network(torch.rand(2, 3, 4, 4))
    drawn = fresh_weights(network, "2", seed=0)
    assert drawn["1.running_mean"].tolist() == [0.0, 0.0]
    assert drawn["1.running_var"].tolist() == [1.0, 1.0]
    assert drawn["1.num_batches_tracked"].item() == 0


def test_drawing_leaves_the_backbone_and_global_randomness_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    network = UNet(width=2)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    def refuse(seed: int) -> None:
        raise AssertionError("an accelerator's global generator was seeded")

    monkeypatch.setattr(torch.cuda, "manual_seed_all", refuse)
    state = torch.get_rng_state()
    fresh_weights(network, "head", seed=0)
    fresh_head(network, "head", 3, generator())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in before.items())


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(1))


def test_a_layer_that_cannot_be_drawn_anew_is_named() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 1), Scale(), nn.Conv2d(2, 2, 1))
    with pytest.raises(TypeError, match=r"Expected layer `1` \(Scale\) to have `reset_parameters`\. Give it one\."):
        fresh_weights(network, "2", seed=0)


def test_tied_weights_are_refused() -> None:
    net = nn.Sequential(OrderedDict(a=nn.Conv2d(3, 3, 1), b=nn.Conv2d(3, 3, 1), head=nn.Conv2d(3, 2, 1)))
    net.b.weight = net.a.weight
    with pytest.raises(ValueError, match=r"`b\.weight` are the same\. Deltas need unique names: untie them"):
        layout_of(net, "head", ())


def test_a_decoder_in_one_string_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Write \('up6',\)"):
        layout_of(UNet(width=2), "head", "up6")


def test_a_decoders_running_statistics_are_its_own() -> None:
    net = nn.Sequential(OrderedDict(enc=nn.Conv2d(3, 3, 1), dec=nn.BatchNorm2d(3), head=nn.Conv2d(3, 2, 1)))
    layout = layout_of(net, "head", ("dec",))
    assert set(layout.decoder) == {
        f"dec.{n}" for n in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    }


def test_a_head_without_channels_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 output channel, but got 0"):
        fresh_head(UNet(width=2), "head", 0, torch.Generator())
