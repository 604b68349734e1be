"""Somebody else's batch-norm network as the backbone, learned over with a few real steps."""

from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stencilnet.delta import Replace
from stencilnet.masks import NetState, applied
from stencilnet.methods import Piggyback, learn_first
from stencilnet.models import MultiTaskNet, layout_of


def resnet(channels: int = 4) -> nn.Sequential:
    from torchvision.models import resnet18

    whole = resnet18(weights=None)
    layers = OrderedDict((name, whole.get_submodule(name)) for name in ("conv1", "bn1", "relu", "layer1", "layer2"))
    return nn.Sequential(
        layers | {"head": nn.Conv2d(128, channels, kernel_size=1), "up": nn.Upsample(scale_factor=4, mode="bilinear")}
    )


@pytest.fixture(scope="module")
def net(make_fresh: Any, make_fit: Any) -> MultiTaskNet:
    """The first task and two more, each by two Adam steps."""
    torch.manual_seed(0)
    backbone = resnet()
    state, outputs = NetState({}), dict[str, Tensor]()
    net = MultiTaskNet(backbone, decoder=())
    x = torch.rand(1, 3, 32, 32)
    for position, task in enumerate(("first", "second", "third")):
        fresh = make_fresh(backbone, channels=position + 1, seed=position, head="head", decoder=())
        fit = make_fit(backbone, seed=position, steps=2)
        state = Piggyback(lr=1e-2).learn(state, task, fresh, fit) if position else learn_first(task, fresh, fit)
        net = net.with_state(state, {})
        for earlier, output in outputs.items():
            assert torch.equal(net(x, earlier), output), f"{earlier} after {task}"
        outputs[task] = net(x, task)
    return net


def test_layout() -> None:
    layout = layout_of(resnet(), "head", ())
    assert layout.masked == (
        "conv1.weight",
        *(f"layer1.{block}.conv{i}.weight" for block in (0, 1) for i in (1, 2)),
        "layer2.0.conv1.weight",
        "layer2.0.conv2.weight",
        "layer2.0.downsample.0.weight",
        "layer2.1.conv1.weight",
        "layer2.1.conv2.weight",
    )
    assert layout.head == ("head.weight", "head.bias")
    norms = ["bn1", *(f"layer{n}.{b}.bn{i}" for n in (1, 2) for b in (0, 1) for i in (1, 2)), "layer2.0.downsample.1"]
    leaves = ("running_mean", "running_var", "num_batches_tracked")
    assert set(layout.buffers) == {f"{norm}.{leaf}" for norm in norms for leaf in leaves}
    assert set(layout.parameters) == {
        *layout.masked,
        *(f"{norm}.{leaf}" for norm in norms for leaf in ("weight", "bias")),
    }


def test_running_statistics_are_part_of_each_masked_task(net: MultiTaskNet) -> None:
    second, third = net.deltas["second"].entries, net.deltas["third"].entries
    for name in net.layout.buffers:
        assert isinstance(second[name], Replace)
        assert isinstance(third[name], Replace)
    mean = "layer2.1.bn2.running_mean"
    values = [net.state.shared[mean], applied(second[mean], None), applied(third[mean], None)]
    assert not torch.equal(values[0], values[1])
    assert not torch.equal(values[1], values[2])
    assert set(net.deltas["first"].entries) == {"head.weight", "head.bias"}
    assert net.state.shared["bn1.num_batches_tracked"].item() == 2  # the first task's own two steps
    assert second["bn1.num_batches_tracked"].apply(None).item() == 4  # counted on from there, in its own delta


@pytest.mark.parametrize("task", ["first", "second", "third"])
def test_materialised_outputs_are_bit_equal(net: MultiTaskNet, task: str) -> None:
    x = torch.rand(2, 3, 32, 64, generator=torch.Generator().manual_seed(1))
    folded = net.materialize(task)
    assert torch.equal(folded(x), net(x, task))
    assert folded(x).shape == (2, ("first", "second", "third").index(task) + 1, 32, 64)
    assert type(folded) is nn.Sequential


def test_training_mode_does_not_change_outputs(net: MultiTaskNet) -> None:
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    expected = {task: net(x, task) for task in net.tasks}
    net.train()
    assert all(torch.equal(net(x, task), output) for task, output in expected.items())
    net.eval()
