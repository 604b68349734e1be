"""Switching a module in place gives the bytes of folding the task anew, from any task to any other."""

import copy
from collections.abc import Callable, Mapping
from itertools import permutations
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stencilnet.delta import (
    Affine,
    BitMask,
    DeltaError,
    Entry,
    Quantized,
    Replace,
    Seed,
    Seeded,
    Select,
    Sign,
    TaskDelta,
    Ternary,
)
from stencilnet.masks import array_of
from stencilnet.models import MultiTaskNet, UNet

AsBytes = Callable[[Mapping[str, Tensor]], Any]
FORMS = ("sign", "ternary", "affine", "quantized", "seeded")
TASKS = {"mask": 3, "other": 3, "wide": 5, "first": 3, "decoder": 2, "scratch": 3} | dict.fromkeys(FORMS, 3)
"""Output channels by task."""


class Normed(nn.Module):
    """A backbone with buffers, one of which is an integer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv6 = nn.Conv2d(4, 5, 3, padding=1)
        self.head = nn.Conv2d(5, 7, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.conv6(self.norm1(self.conv1(x)).relu()).relu())
        return out


def make_net(dtype: torch.dtype, layout: torch.memory_format = torch.contiguous_format) -> MultiTaskNet:
    generator = torch.Generator().manual_seed(0)
    backbone = Normed().to(dtype).to(memory_format=layout)
    for tensor in backbone.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.1)
        else:
            tensor.fill_(17)
    net = MultiTaskNet(backbone, decoder=("conv6",))
    deltas = {task: make_delta(net, task, channels, generator) for task, channels in TASKS.items()}
    return MultiTaskNet(backbone, decoder=("conv6",), deltas=deltas)


def make_delta(net: MultiTaskNet, task: str, channels: int, generator: torch.Generator) -> TaskDelta:
    own = net.backbone.state_dict()

    def drawn(name: str) -> Tensor:
        noise = torch.rand(own[name].shape, generator=generator) + 0.1  # a variance is positive
        return noise.to(own[name].dtype) if own[name].is_floating_point() else torch.full_like(own[name], 5)

    entries: dict[str, Entry] = {}
    if task in {"mask", "other", "wide"}:
        for name in net.layout.masked:
            entries[name] = Select(BitMask.pack(torch.rand(own[name].shape, generator=generator) > 0.5))
    elif task in FORMS:
        for name in net.layout.masked:
            bits, flip = (torch.rand(own[name].shape, generator=generator) > 0.5 for _ in range(2))
            steps = array_of(torch.rand(own[name].shape[0], 1, 1, 1, generator=generator))
            codes = torch.randint(-3, 4, own[name].shape, generator=generator).to(torch.int8)
            change = Quantized(array_of(codes), array_of(torch.rand((), generator=generator)))
            entries[name] = {
                "sign": Sign(BitMask.pack(bits), steps),
                "ternary": Ternary(BitMask.pack(bits), BitMask.pack(bits & flip)),
                "affine": Affine(BitMask.pack(bits), array_of(torch.rand(4, generator=generator))),
                "quantized": change,
                "seeded": Seeded(Seed.of(0, name, tuple(own[name].shape)), change),
            }[task]
    elif task != "first":
        replaced = net.layout.decoder if task == "decoder" else (*net.layout.parameters, *net.layout.buffers)
        entries |= {name: Replace(array_of(drawn(name))) for name in replaced}
    if task == "wide":
        entries["norm1.running_mean"] = Replace(array_of(drawn("norm1.running_mean")))
    return TaskDelta(entries | {n: Replace(array_of(t)) for n, t in net.fresh_head(channels, generator).items()})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_every_task_from_every_other_is_as_folded_anew(
    dtype: torch.dtype, layout: torch.memory_format, as_bytes: AsBytes
) -> None:
    net = make_net(dtype, layout)
    shared = as_bytes(net.backbone.state_dict())
    anew = {task: as_bytes(net.materialize(task).state_dict()) for task in TASKS}
    for before, after in permutations(TASKS, 2):
        module = net.materialize(before)
        net.switch(module, after)
        assert as_bytes(module.state_dict()) == anew[after], (before, after)
        net.switch(module, before)
        assert as_bytes(module.state_dict()) == anew[before], (after, before)
    assert as_bytes(net.backbone.state_dict()) == shared
    assert {task: as_bytes(net.materialize(task).state_dict()) for task in TASKS} == anew


def test_a_switched_module_runs_as_the_net() -> None:
    net = make_net(torch.float32)
    module = net.materialize("mask").train()
    x = torch.rand(1, 3, 9, 8, generator=torch.Generator().manual_seed(1))
    for task, channels in (
        ("wide", 5),
        ("decoder", 2),
        ("sign", 3),
        ("ternary", 3),
        ("affine", 3),
        ("quantized", 3),
        ("seeded", 3),
        ("scratch", 3),
        ("mask", 3),
    ):
        net.switch(module, task)
        assert torch.equal(module(x), net(x, task))
        assert module.get_submodule("head").out_channels == channels
        assert not module.training
        assert not any(parameter.requires_grad for parameter in module.parameters())


def test_memory_stays_where_it_was_but_for_a_head_of_another_shape() -> None:
    net = make_net(torch.float32)
    module = net.materialize("mask")
    places = {name: tensor.data_ptr() for name, tensor in module.state_dict().items()}
    for task in ("scratch", "other", *FORMS, "first", "mask"):
        net.switch(module, task)
        assert {name: tensor.data_ptr() for name, tensor in module.state_dict().items()} == places
    net.switch(module, "wide")
    moved = {name for name, tensor in module.state_dict().items() if tensor.data_ptr() != places[name]}
    assert moved == {"head.weight", "head.bias"}


def test_a_switched_module_shares_nothing() -> None:
    net = make_net(torch.float32)
    expected = {task: net.materialize(task).state_dict() for task in TASKS}
    module = net.materialize("mask")
    for task in ("scratch", "first", "wide", *FORMS):
        net.switch(module, task)
        for tensor in module.state_dict().values():
            tensor.zero_()
    for task, tensors in expected.items():
        again = net.materialize(task).state_dict()
        assert all(torch.equal(tensor, again[name]) for name, tensor in tensors.items())


def test_a_linear_head_is_switched_too(as_bytes: AsBytes) -> None:
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.Linear(4, 2))
    deltas = {
        str(k): TaskDelta(
            {"2.weight": Replace(array_of(torch.randn(k, 4))), "2.bias": Replace(array_of(torch.randn(k)))}
        )
        for k in (2, 6)
    }
    net = MultiTaskNet(backbone, head="2", decoder=(), deltas=deltas)
    module = net.materialize("2")
    net.switch(module, "6")
    assert module.get_submodule("2").out_features == 6
    assert as_bytes(module.state_dict()) == as_bytes(net.materialize("6").state_dict())


def foreign(net: MultiTaskNet) -> dict[str, tuple[nn.Module, str]]:
    """Modules that are refused, and what is said."""
    return {
        "class": (UNet(width=1), r"to be a Normed with the backbone's own keys, but got a UNet"),
        "keys": (nn.Sequential(), r"but got a Sequential"),
        "dtype": (net.materialize("mask").double(), r"`conv1.weight` to be torch.float32 .* but got torch.float64"),
        "device": (net.materialize("mask").to("meta"), r"on cpu, but got torch.float32 .* on meta"),
        "itself": (net.backbone, r"`conv1.weight` to be its own, but it is the backbone's"),
    }


@pytest.mark.parametrize("what", ["class", "keys", "dtype", "device", "itself"])
def test_foreign_modules_are_refused_untouched(what: str, as_bytes: AsBytes) -> None:
    net = make_net(torch.float32)
    module, message = foreign(net)[what]
    before = copy.deepcopy(module.state_dict())
    with pytest.raises(ValueError, match=message):
        net.switch(module, "other")
    if what != "device":
        assert as_bytes(module.state_dict()) == as_bytes(before)


def test_another_width_is_refused() -> None:
    heads = [
        {f"head.{n}": Replace(array_of(torch.zeros(*s))) for n, s in (("weight", (1, w, 1, 1)), ("bias", (1,)))}
        for w in (1, 2)
    ]
    narrow, wide = (MultiTaskNet(UNet(width=w), deltas={"a": TaskDelta(h)}) for w, h in zip((1, 2), heads, strict=True))
    with pytest.raises(ValueError, match=r"`conv1_1.weight` to be .* \(2, 3, 3, 3\) .* but got .* \(1, 3, 3, 3\)"):
        wide.switch(narrow.materialize("a"), "a")


@pytest.mark.parametrize("wrong", ["unknown", "no head", "masked head", "shape"])
def test_a_refused_task_leaves_the_module_as_it_was(wrong: str, as_bytes: AsBytes) -> None:
    net = make_net(torch.float32)
    entries = dict(net.deltas["wide"].entries)
    message = {
        "unknown": "No task `bad`",
        "no head": r"whole head, but \['head.bias'\] is missing",
        "masked head": "to replace the head's `head.weight`, but got a select entry",
        "shape": "`conv6.bias` to have the shape",
    }[wrong]
    if wrong == "no head":
        del entries["head.bias"]
    elif wrong == "masked head":
        entries["head.weight"] = Select(BitMask.pack(torch.ones(5, 5, 1, 1) > 0))
    elif wrong == "shape":
        entries["conv6.bias"] = Replace(array_of(torch.zeros(9)))
    deltas = dict(net.deltas) | ({} if wrong == "unknown" else {"bad": TaskDelta(entries)})
    other = MultiTaskNet(net.backbone, decoder=("conv6",), deltas=deltas)
    module = other.materialize("mask")
    before = as_bytes(module.state_dict())
    with pytest.raises(DeltaError, match=message):
        other.switch(module, "bad")
    assert as_bytes(module.state_dict()) == before
