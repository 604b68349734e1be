"""One backbone, many tasks: the same outputs by swapping, by folding, and by a network built with NumPy."""

import copy
import pickle
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stencilnet.bundle import TaskRecord
from stencilnet.delta import BitMask, DeltaError, Entry, Replace, Select, TaskDelta
from stencilnet.masks import NetState, array_of, tensor_of
from stencilnet.models import MultiTaskNet, UNet, layout_of
from stencilnet.models.unet import DECODER

CHANNELS = {"gray": 2, "paint": 3, "wide": 9}
AsBytes = Callable[[Mapping[str, Tensor]], Any]


def random_delta(backbone: nn.Module, channels: int, seed: int) -> TaskDelta:
    """Half of the bits, one bias of its own, and a head."""
    generator = torch.Generator().manual_seed(seed)
    own = backbone.state_dict()
    layout = layout_of(backbone, "head", ())
    entries: dict[str, Entry] = {
        name: Select(BitMask.pack(torch.rand(own[name].shape, generator=generator) > 0.5)) for name in layout.masked
    }
    entries["conv1_1.bias"] = Replace(array_of(torch.randn(own["conv1_1.bias"].shape, generator=generator)))
    for name in layout.head:
        entries[name] = Replace(array_of(torch.randn(channels, *own[name].shape[1:], generator=generator)))
    return TaskDelta(entries)


@pytest.fixture
def net() -> MultiTaskNet:
    torch.manual_seed(0)
    backbone = UNet(width=2, channels=81)
    deltas = {task: random_delta(backbone, count, seed) for seed, (task, count) in enumerate(CHANNELS.items())}
    records = {t: TaskRecord(kind="restoration", channels=c, method="piggyback") for t, c in CHANNELS.items()}
    return MultiTaskNet(backbone, deltas=deltas, records=records)


def picture(height: int = 40, width: int = 33) -> Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(9))


def test_the_backbone_is_taken_over_frozen() -> None:
    backbone = UNet(width=1).train()
    net = MultiTaskNet(backbone)
    assert net.backbone is backbone
    assert not backbone.training
    assert not any(parameter.requires_grad for parameter in net.parameters())
    assert net.tasks == ()


def test_tasks_are_in_order_of_learning(net: MultiTaskNet) -> None:
    assert net.tasks == ("gray", "paint", "wide")


@pytest.mark.parametrize("task", CHANNELS)
def test_output_is_that_of_a_plain_network_with_the_masked_weights(net: MultiTaskNet, task: str) -> None:
    plain, own = UNet(width=2, channels=CHANNELS[task]), net.backbone.state_dict()
    weights = {}
    for name, tensor in own.items():
        entry = net.deltas[task].entries.get(name)
        if isinstance(entry, Select):
            size = int(np.prod(tensor.shape))
            bits = np.unpackbits(entry.bits.packed, count=size, bitorder="little").reshape(tensor.shape)
            weights[name] = torch.from_numpy(np.where(bits == 1, tensor.numpy(), np.float32(0)))
        else:
            weights[name] = tensor_of(entry.tensor) if isinstance(entry, Replace) else tensor
    plain.load_state_dict(weights)
    with torch.no_grad():
        expected = plain(picture())
    assert expected.shape == (2, CHANNELS[task], 40, 33)
    assert torch.equal(net(picture(), task), expected)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 7), (32, 48), (17, 90)])
@pytest.mark.parametrize("task", CHANNELS)
def test_materialised_outputs_are_bit_equal(net: MultiTaskNet, task: str, height: int, width: int) -> None:
    x = picture(height, width)
    assert torch.equal(net.materialize(task)(x), net(x, task))


def test_a_materialised_task_is_a_plain_network(net: MultiTaskNet, as_bytes: AsBytes) -> None:
    folded = net.materialize("wide")
    assert type(folded) is UNet
    assert list(folded.state_dict()) == list(net.backbone.state_dict())
    assert folded.head.out_channels == 9
    assert folded.head.weight.shape == (9, 2, 1, 1)
    assert not folded.training
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    again = UNet(width=2, channels=9)
    again.load_state_dict(folded.state_dict())
    assert as_bytes(again.state_dict()) == as_bytes(net.state.weights("wide"))


def test_a_materialised_task_stands_alone(net: MultiTaskNet, as_bytes: AsBytes) -> None:
    before = as_bytes(net.backbone.state_dict()), {t: as_bytes(net.state.weights(t)) for t in net.tasks}
    folded = net.materialize("paint")
    with torch.no_grad():
        for parameter in folded.parameters():
            parameter.add_(1.0)
    assert (as_bytes(net.backbone.state_dict()), {t: as_bytes(net.state.weights(t)) for t in net.tasks}) == before


def test_a_linear_head_is_rebuilt_too() -> None:
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.Linear(4, 2))
    head: dict[str, Entry] = {
        "2.weight": Replace(array_of(torch.randn(6, 4))),
        "2.bias": Replace(array_of(torch.randn(6))),
    }
    net = MultiTaskNet(backbone, head="2", decoder=(), deltas={"a": TaskDelta(head)})
    folded = net.materialize("a")
    x = torch.rand(3, 3, 2, 2)
    assert folded.get_submodule("2").out_features == 6
    assert folded(x).shape == (3, 6)
    assert torch.equal(folded(x), net(x, "a"))


def test_running_tasks_leaves_backbone_and_deltas_as_they_were(net: MultiTaskNet, as_bytes: AsBytes) -> None:
    before = as_bytes(net.backbone.state_dict()), {t: as_bytes(net.state.weights(t)) for t in net.tasks}
    outputs = {task: net(picture(), task) for task in net.tasks}
    for task in (*reversed(net.tasks), *net.tasks):
        assert torch.equal(net(picture(), task), outputs[task])
    assert not any(output.requires_grad for output in outputs.values())
    assert (as_bytes(net.backbone.state_dict()), {t: as_bytes(net.state.weights(t)) for t in net.tasks}) == before


def test_state_is_the_net_itself_not_a_copy(net: MultiTaskNet) -> None:
    own = dict(net.backbone.named_parameters())
    assert list(net.state.shared) == [name for name in own if not name.startswith("head.")]
    assert all(tensor.data_ptr() == own[name].data_ptr() for name, tensor in net.state.shared.items())
    assert net.state.deltas is net.deltas


def test_another_state_makes_another_net(net: MultiTaskNet) -> None:
    outputs = {task: net(picture(), task) for task in net.tasks}
    moved = net.state.move({name: tensor + 0.1 for name, tensor in net.state.shared.items()}).remove("paint")
    other = net.with_state(moved, {"gray": net.records["gray"]})
    assert other.tasks == ("gray", "wide")
    assert list(other.records) == ["gray"]
    assert not torch.equal(other(picture(), "gray"), outputs["gray"])
    plain = torch.func.functional_call(net.backbone, moved.weights("gray"), (picture(),))
    assert torch.equal(other(picture(), "gray"), plain)
    with torch.no_grad():
        for parameter in other.backbone.parameters():
            parameter.zero_()
    assert net.tasks == ("gray", "paint", "wide")
    assert all(torch.equal(net(picture(), task), output) for task, output in outputs.items())
    assert moved.shared["conv1_1.weight"].abs().sum() > 0


@pytest.mark.parametrize("change", ["missing", "foreign", "shape", "dtype"])
def test_another_backbones_state_is_refused(net: MultiTaskNet, change: str) -> None:
    shared = dict(net.state.shared)
    name = "conv1_1.bias"
    if change == "missing":
        del shared[name]
    elif change == "foreign":
        name = "conv0.bias"
        shared[name] = torch.ones(1)
    else:
        shared[name] = torch.ones(3) if change == "shape" else shared[name].double()
    expected = (
        rf"Expected a state over this backbone's own weights, but \['{name}'\] are missing, foreign, or of another"
    )
    with pytest.raises(DeltaError, match=expected):
        net.with_state(NetState(shared), {})


def test_an_unknown_task_is_refused_with_the_known_ones(net: MultiTaskNet) -> None:
    expected = r"No task `gogh`\. Learned so far: gray, paint, wide\."
    with pytest.raises(DeltaError, match=expected):
        net(picture(), "gogh")
    with pytest.raises(DeltaError, match=expected):
        net.materialize("gogh")
    with pytest.raises(DeltaError, match=r"No task `gogh`\. Learned so far: none\."):
        MultiTaskNet(UNet(width=1)).materialize("gogh")


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 32, 32), (1, 4, 32, 32), (1, 1, 3, 32, 32)])
def test_only_batches_of_rgb_images_run(net: MultiTaskNet, shape: tuple[int, ...]) -> None:
    got = str(shape).replace("(", r"\(").replace(")", r"\)")
    expected = rf"Expected argument `x` to be images \(N, 3, H, W\), but got shape {got}\."
    with pytest.raises(ValueError, match=expected):
        net(torch.zeros(shape), "gray")


def test_another_backbones_task_is_refused_wherever_it_is_used() -> None:
    """`functional_call` alone would take the names and run, or fail in the middle of the network."""
    foreign = random_delta(UNet(width=3), channels=2, seed=0)
    net = MultiTaskNet(UNet(width=2), deltas={"foreign": foreign})
    expected = r"Expected the delta's `conv1_1\.weight` to have the shape \(2, 3, 3, 3\), but got \(3, 3, 3, 3\)"
    uses: list[Callable[[], object]] = [
        lambda: net.check(foreign),
        lambda: net(picture(), "foreign"),
        lambda: net.materialize("foreign"),
    ]
    for use in uses:
        with pytest.raises(DeltaError, match=expected):
            use()


def test_check_passes_the_nets_own_tasks(net: MultiTaskNet) -> None:
    for delta in net.deltas.values():
        net.check(delta)


def test_training_mode_of_the_net_cannot_move_a_finished_tasks_statistics(as_bytes: AsBytes) -> None:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    statistics = {"1.running_mean": torch.randn(4), "1.running_var": torch.rand(4) + 1}
    head = {"2.weight": torch.randn(5, 4, 1, 1), "2.bias": torch.randn(5)}
    own = {**statistics, **head}
    net = MultiTaskNet(
        backbone, head="2", decoder=(), deltas={"a": TaskDelta({n: Replace(array_of(t)) for n, t in own.items()})}
    )
    before, shared = as_bytes(own), as_bytes(net.backbone.state_dict())
    expected, x = net(picture(), "a"), picture()
    net.train()
    assert torch.equal(net(x, "a"), expected)
    assert torch.equal(net.train().materialize("a")(x), expected)
    assert (as_bytes(own), as_bytes(net.backbone.state_dict())) == (before, shared)
    folded = net.materialize("a").train()
    folded(x)
    assert as_bytes(own) == before


def test_copies_and_pickles_run_the_same(net: MultiTaskNet) -> None:
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert other.tasks == net.tasks
        assert dict(other.records) == dict(net.records)
        assert all(torch.equal(other(picture(), task), net(picture(), task)) for task in net.tasks)


def test_a_task_follows_its_backbone_to_another_device() -> None:
    """Head included, which has no shared weight beside it. The meta device stands for an accelerator."""
    head: dict[str, Entry] = {
        "head.weight": Replace(array_of(torch.ones(3, 2, 1, 1))),
        "head.bias": Replace(array_of(torch.ones(3))),
    }
    net = MultiTaskNet(UNet(width=2), deltas={"a": TaskDelta(head)})
    folded = net.to("meta").materialize("a")
    assert {parameter.device.type for parameter in folded.parameters()} == {"meta"}


class Lazy(Mapping[str, TaskDelta]):
    """Deltas that are read when asked for, as a bundle's are."""

    def __init__(self, deltas: Mapping[str, TaskDelta]) -> None:
        self.deltas, self.reads = deltas, 0

    def __getitem__(self, task: str) -> TaskDelta:
        self.reads += 1
        return self.deltas[task]

    def __contains__(self, task: object) -> bool:
        return task in self.deltas

    def __iter__(self) -> Iterator[str]:
        return iter(self.deltas)

    def __len__(self) -> int:
        return len(self.deltas)


def test_lazy_deltas_are_read_once_a_use_and_one_task_at_a_time(net: MultiTaskNet) -> None:
    lazy = Lazy(net.deltas)
    other = MultiTaskNet(net.backbone, deltas=lazy)
    assert (other.tasks, lazy.reads) == (net.tasks, 0)
    other(picture(), "gray")
    other.materialize("wide")
    assert lazy.reads == 2


def test_an_empty_mapping_of_deltas_may_fill_later(net: MultiTaskNet) -> None:
    tasks: dict[str, TaskDelta] = {}
    other = MultiTaskNet(net.backbone, deltas=Lazy(tasks))
    tasks["late"] = net.deltas["gray"]
    assert other.tasks == ("late",)


def test_two_threads_on_two_materialised_tasks_give_the_single_threads_bytes(net: MultiTaskNet) -> None:
    modules = [net.materialize(task) for task in ("gray", "paint")]
    pictures = [picture(32 + 16 * i, 48) for i in range(4)]
    expected = [[module(x) for x in pictures] for module in modules]

    def work(module: nn.Module) -> list[list[Tensor]]:
        torch.set_num_threads(1)  # a thread's count is its own
        return [[module(x) for x in pictures] for _ in range(10)]

    with ThreadPoolExecutor(max_workers=2) as pool:
        for runs, right in zip(pool.map(work, modules), expected, strict=True):
            for run in runs:
                assert all(torch.equal(got, want) for got, want in zip(run, right, strict=True))


def test_head_and_decoder_must_be_the_backbones() -> None:
    with pytest.raises(ValueError, match=r"Expected `head` to name a layer of UNet, but got 'fc'\."):
        MultiTaskNet(UNet(width=1), head="fc")
    with pytest.raises(ValueError, match=r"decoder prefix `up6` to name parameters of Sequential.*`decoder=\(\)`"):
        MultiTaskNet(nn.Sequential(nn.Conv2d(3, 2, 1), nn.Conv2d(2, 2, 1)), head="1")
    assert MultiTaskNet(UNet(width=1)).decoder == DECODER
    affine = UNet(width=1, norm="affine")
    assert MultiTaskNet(affine).decoder == affine.decoder == (*DECODER, "norm6", "norm7", "norm8", "norm9")
    assert MultiTaskNet(affine, decoder=DECODER).decoder == DECODER


def test_fresh_tensors_are_those_of_the_backbone(net: MultiTaskNet) -> None:
    head = net.fresh_head(4, torch.Generator().manual_seed(1))
    shared = net.fresh_weights(seed=1)
    assert {name: tuple(t.shape) for name, t in head.items()} == {"head.weight": (4, 2, 1, 1), "head.bias": (4,)}
    assert {n: t.shape for n, t in shared.items()} == {n: t.shape for n, t in net.state.shared.items()}
