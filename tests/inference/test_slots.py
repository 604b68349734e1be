"""Fewer modules than tasks: the same outputs, whoever asks for what and when."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from stencilnet.delta import BitMask, DeltaError, Entry, Replace, Select, TaskDelta
from stencilnet.inference.folding import folded_slots
from stencilnet.masks import applied, array_of
from stencilnet.models import MultiTaskNet, UNet

TASKS = tuple("abcdef")


@pytest.fixture
def net() -> MultiTaskNet:
    generator = torch.Generator().manual_seed(0)
    bare = MultiTaskNet(UNet(width=2, channels=1))
    own = bare.state.shared
    deltas = {}
    for place, task in enumerate(TASKS):
        entries: dict[str, Entry] = {
            name: Select(BitMask.pack(torch.rand(own[name].shape, generator=generator) > 0.5))
            for name in bare.layout.masked
        }
        head = bare.fresh_head(2 + place % 2, generator)
        deltas[task] = TaskDelta(entries | {name: Replace(array_of(tensor)) for name, tensor in head.items()})
    return MultiTaskNet(bare.backbone, deltas=deltas)


def x() -> Tensor:
    return torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_the_least_recently_used_module_is_switched(net: MultiTaskNet) -> None:
    slots, modules = folded_slots(net, 2), {}
    for task in ("a", "b"):
        with slots.lend(task) as module:
            modules[task] = module
    with slots.lend("a") as module:
        assert module is modules["a"]
    with slots.lend("c") as module:
        assert module is modules["b"]
        assert torch.equal(module(x()), net(x(), "c"))
    with slots.lend("a") as module:
        assert module is modules["a"]
    with slots.lend("b") as module:
        assert module is modules["b"]
        assert torch.equal(module(x()), net(x(), "b"))


def test_an_active_task_is_not_written_again(net: MultiTaskNet, monkeypatch: pytest.MonkeyPatch) -> None:
    work: Counter[str] = Counter()
    materialize, switch = MultiTaskNet.materialize, MultiTaskNet.switch

    def folded(self: MultiTaskNet, task: str) -> nn.Module:
        work["materialize"] += 1
        return materialize(self, task)

    def switched(self: MultiTaskNet, module: nn.Module, task: str) -> None:
        work["switch"] += 1
        switch(self, module, task)

    monkeypatch.setattr(MultiTaskNet, "materialize", folded)
    monkeypatch.setattr(MultiTaskNet, "switch", switched)
    slots = folded_slots(net, 2)
    for task in "aabbaabccb":
        with slots.lend(task):
            pass
    assert work == {"materialize": 2, "switch": 1}


def test_threads_share_an_active_tasks_module(net: MultiTaskNet) -> None:
    slots = folded_slots(net, 1)
    with slots.lend("a") as one, ThreadPoolExecutor(1) as pool:

        def other() -> nn.Module:
            with slots.lend("a") as module:
                return module

        assert pool.submit(other).result(timeout=60) is one


@pytest.mark.parametrize("count", [1, 2, 5])
def test_many_threads_on_more_tasks_than_slots_give_the_single_threads_bytes(net: MultiTaskNet, count: int) -> None:
    expected = {task: net.materialize(task)(x()) for task in TASKS}
    slots = folded_slots(net, count)
    start = threading.Barrier(8)

    def work(seed: int) -> list[str]:
        order = torch.randint(len(TASKS), (40,), generator=torch.Generator().manual_seed(seed)).tolist()
        start.wait()
        wrong = []
        for place in order:
            with slots.lend(TASKS[place]) as module:
                if not torch.equal(module(x()), expected[TASKS[place]]):
                    wrong.append(TASKS[place])
        return wrong

    with ThreadPoolExecutor(8) as pool:
        assert [wrong for result in pool.map(work, range(8)) for wrong in result] == []


def test_a_task_in_constant_use_does_not_starve_another(net: MultiTaskNet) -> None:
    """Two threads whose uses of one task overlap would hold the only slot for ever."""
    slots = folded_slots(net, 1)
    stop = threading.Event()
    turns = [threading.Semaphore(1), threading.Semaphore(0)]

    def busy(own: int) -> None:
        while not stop.is_set():
            with slots.lend("a"):
                turns[own].acquire(timeout=0.05)  # leaves only after the other has come, or has to wait
            turns[1 - own].release()

    def other() -> Tensor:
        with slots.lend("b") as module:
            return module(x())

    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(busy, own) for own in (0, 1)]
        try:
            assert torch.equal(pool.submit(other).result(timeout=60), net(x(), "b"))
        finally:
            stop.set()
        for thread in running:
            thread.result(timeout=60)


def test_a_task_that_is_refused_leaves_the_others_running(net: MultiTaskNet) -> None:
    whole = net.deltas["b"].entries
    bad = TaskDelta({name: entry for name, entry in whole.items() if name != "head.bias"})
    other = MultiTaskNet(net.backbone, deltas={**net.deltas, "bad": bad})
    for count in (1, 2):
        slots = folded_slots(other, count)
        for task in ("bad", "a", "bad", "bad", "a", "b", "bad", "b"):
            if task == "bad":
                with pytest.raises(DeltaError, match=r"head\.bias"), slots.lend(task):
                    pass
            else:
                with slots.lend(task) as module:
                    assert torch.equal(module(x()), net(x(), task))


class _Late(Replace):
    """Fits, but cannot be written: what comes before it has been."""


@applied.register
def _(entry: _Late, weight: Tensor | None) -> Tensor:
    raise ValueError("too late")


def test_a_task_that_is_refused_while_it_is_written_leaves_no_other_half_written(net: MultiTaskNet) -> None:
    whole = net.deltas["b"].entries  # of more channels than "a"
    late = TaskDelta({**whole, "head.bias": _Late(whole["head.bias"].apply(None))})
    slots = folded_slots(MultiTaskNet(net.backbone, deltas={**net.deltas, "late": late}), 1)
    for _ in range(2):
        with slots.lend("a") as module:
            assert torch.equal(module(x()), net(x(), "a"))
        with pytest.raises(ValueError, match="too late"), slots.lend("late"):
            pass


def test_an_error_while_running_gives_the_slot_back(net: MultiTaskNet) -> None:
    slots = folded_slots(net, 1)
    with pytest.raises(KeyboardInterrupt), slots.lend("a"):
        raise KeyboardInterrupt
    with slots.lend("b") as module:
        assert torch.equal(module(x()), net(x(), "b"))
