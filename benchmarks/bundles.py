"""The cost of a thousand tasks in a bundle when one is used, and the size of a mask on disk."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.machine import Measured
from benchmarks.networks import masked_delta, masked_network, write_bundle
from benchmarks.rows import Found, Setting, compared, interleaved, scaled, seconds
from stencilnet.bundle import TaskRecord, add_task, remove_task
from stencilnet.bundle.tensors import encode_delta
from stencilnet.delta import BitMask, Select, TaskDelta
from stencilnet.masks import arrays_of
from stencilnet.models import MultiTaskNet, load

MANY = 1000
"""Number of tasks in the large bundle."""

_SETTINGS = {"classes": [f"class {number}" for number in range(81)], "palette": [[n, n, n] for n in range(81)]}
"""Settings of a task with as many classes as the paper's first."""


def opening(setting: Setting) -> Found:
    """Time opening a bundle of 1,000 tasks and reading one of them, against a bundle of one."""
    one, many = bundle_of(1, setting), bundle_of(MANY, setting)
    arms = {"many": lambda: load(many).materialize("task-0"), "one": lambda: load(one).materialize("task-0")}
    times = interleaved(arms, setting)
    more = Measured(values=tuple(a - b for a, b in zip(times["many"].values, times["one"].values, strict=True)))
    return Found(
        unit="s",
        first=times["many"],
        second=times["one"],
        ratio=more,
        note="additional seconds, including making a task's weights",
    )


def adding(setting: Setting) -> Found:
    """Time adding a task to a bundle of 1,000 tasks against adding it to a bundle of one."""
    return _editing(setting, lambda net: (_add(net), _remove))


def removing(setting: Setting) -> Found:
    """Time removing a task from a bundle of 1,000 tasks against removing it from a bundle of one."""
    return _editing(setting, lambda net: (_remove, _add(net)))


def on_disk(setting: Setting, zeros: float) -> Found:
    """Compare the size of a mask on disk, without its file's header, with its entropy; `zeros` is its share of zeros.

    The entropy is that of independent bits, layer by layer, which no coder can undercut on such masks.
    """
    net = masked_network(setting.width, ())
    deltas = [masked_delta(net, zeros, seed) for seed in range(setting.repetitions)]
    stored = Measured(values=tuple(_stored(delta) / 1024 for delta in deltas))
    entropy = Measured(values=tuple(entropy_bytes(delta) / 1024 for delta in deltas))
    raw = sum(mask.nbytes for mask in deltas[0].masks.values()) / 1024
    return compared(stored, entropy, "KiB", f"{zeros:.0%} zeros; {raw:.1f} KiB at one bit per weight")


def bundle_of(count: int, setting: Setting) -> Path:
    """Return a bundle of `count` tasks, which are copies of one task under different names."""
    folder = setting.folder / f"bundle-{count}"
    if not folder.exists():
        setting.say(f"writing a bundle of {count} tasks")
        net = masked_network(setting.width, ("task-0",))
        records = {"task-0": TaskRecord(kind="restoration", channels=3, method="piggyback", settings={})}
        write_bundle(folder, MultiTaskNet(net.backbone, deltas=net.deltas, records=records))
        for number in range(1, count):
            shutil.copytree(folder / "tasks" / "task-0", folder / "tasks" / f"task-{number}")
    return folder


def entropy_bytes(delta: TaskDelta) -> float:
    """Return the order-0 entropy of a task's masks, layer by layer, in bytes."""
    return sum(mask.numel * _entropy(mask.zero_ratio) for mask in delta.masks.values()) / 8


def _entropy(share: float) -> float:
    return -sum(p * math.log2(p) for p in (share, 1 - share) if p > 0)


def _stored(delta: TaskDelta) -> int:
    """Return the bytes of the masks in the file: its size less that of a file of the same entries without weights."""
    masks = {key: entry for key, entry in delta.entries.items() if isinstance(entry, Select)}
    empty = {key: Select(BitMask.pack(np.zeros(0, bool))) for key in masks}
    return len(encode_delta(TaskDelta(masks))) - len(encode_delta(TaskDelta(empty)))


_Change = Callable[[Path], None]


def _editing(setting: Setting, changes: Callable[[MultiTaskNet], tuple[_Change, _Change]]) -> Found:
    net = masked_network(setting.width, ("new",))
    change, back = changes(net)
    times: dict[int, list[float]] = {MANY: [], 1: []}
    for repetition in range(setting.repetitions + 1):
        for count, found in times.items():
            bundle = bundle_of(count, setting)
            if change is _remove:
                back(bundle)
            taken = seconds(lambda bundle=bundle: change(bundle), setting.device)  # type: ignore[misc]
            if change is not _remove:
                back(bundle)
            if repetition:
                found.append(taken)
    many, one = (Measured(values=tuple(times[count])) for count in (MANY, 1))
    return compared(scaled(many, 1e3), scaled(one, 1e3), "ms", f"width {setting.width}")


def _add(net: MultiTaskNet) -> _Change:
    shared, delta, record = arrays_of(net.state.shared), net.deltas["new"], net.records["new"]
    return lambda bundle: add_task(bundle, "new", record, delta, shared=shared)


def _remove(bundle: Path) -> None:
    remove_task(bundle, "new")
