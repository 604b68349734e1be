"""Makes the bundles of format version 1 that every later release must load: ``python tests/bundle/make_golden.py``.

They are committed; run this only to see how they were made. Values are closed forms, so that a test can work them out
anew.
"""

from math import prod
from pathlib import Path

import numpy as np

from stencilnet.bundle import TaskRecord
from stencilnet.delta import Affine, BitMask, Entry, Quantized, Replace, Seed, Seeded, Select, Sign, TaskDelta, Ternary
from stencilnet.delta.spec import Array
from stencilnet.masks import tensors_of
from stencilnet.models import MultiTaskNet, UNet, save

FOLDER = Path(__file__).parent / "golden"


Shape = tuple[int, ...]


def ramp(shape: Shape, start: int) -> Array:
    """Return exact float32 values that look like weights: (37 i + start) mod 101, shifted and scaled."""
    steps = (np.arange(prod(shape)) * 37 + start) % 101
    return ((steps - 50).astype(np.float32) / np.float32(128)).reshape(shape)


def bits(shape: Shape, start: int) -> BitMask:
    """Return a mask that keeps 4 of 7 weights."""
    return BitMask.pack(((np.arange(prod(shape)) * 5 + start) % 7 < 4).reshape(shape))


def uneven_bits(shape: Shape, number: int) -> BitMask:
    """Return a mask that keeps all but 1 of 29 weights, 1 of 29, all, or 4 of 7, in turn."""
    steps = np.arange(prod(shape)) * 11 + number
    kept = (steps % 29 != 0, steps % 29 == 0, steps >= 0, steps % 7 < 4)[number % 4]
    return BitMask.pack(kept.reshape(shape))


def head(channels: int, start: int, width: int = 2) -> dict[str, Entry]:
    """Return a head over the channels of the first level."""
    return {
        "head.weight": Replace(ramp((channels, width, 1, 1), start)),
        "head.bias": Replace(ramp((channels,), start)),
    }


def golden_backbone() -> tuple[UNet, dict[str, Shape]]:
    """Return a backbone of width 2, and the shapes of its tensors."""
    backbone = UNet(width=2, channels=3)
    shapes = {name: tuple(tensor.shape) for name, tensor in backbone.state_dict().items()}
    backbone.load_state_dict(tensors_of({name: ramp(shape, i) for i, (name, shape) in enumerate(shapes.items())}))
    return backbone, shapes


def coded_net() -> MultiTaskNet:
    """Return a network with one task, of masks that take fewer bytes than one bit a weight."""
    backbone, shapes = golden_backbone()
    net = MultiTaskNet(backbone)
    masks: dict[str, Entry] = {name: Select(uneven_bits(shapes[name], i)) for i, name in enumerate(net.layout.masked)}
    record = TaskRecord(kind="colorization", channels=2, method="piggyback")
    return MultiTaskNet(backbone, deltas={"uneven": TaskDelta(masks | head(2, 4))}, records={"uneven": record})


def forms_net() -> MultiTaskNet:
    """Return a network whose norms have weights, with a task for each further form of mask, and norms of its own."""
    backbone = UNet(width=1, channels=3, norm="affine")
    shapes = {name: tuple(tensor.shape) for name, tensor in backbone.state_dict().items()}
    backbone.load_state_dict(tensors_of({name: ramp(shape, i) for i, (name, shape) in enumerate(shapes.items())}))
    layout = MultiTaskNet(backbone).layout
    masked = [(i, name, shapes[name]) for i, name in enumerate(layout.masked)]
    norms: dict[str, Entry] = {name: Replace(ramp(shapes[name], 5 + i)) for i, name in enumerate(layout.norms)}
    entries: dict[str, dict[str, Entry]] = {
        "sign": {
            name: Sign(uneven_bits(shape, i), ramp(channels(shape, int(name.startswith("up"))), i))
            for i, name, shape in masked
        },
        "ternary": {name: ternary(shape, i) for i, name, shape in masked},
        "affine": {name: Affine(bits(shape, i), ramp((4,), i)) for i, name, shape in masked},
        "norms": norms,
    }
    return MultiTaskNet(
        backbone,
        deltas={task: TaskDelta(own | head(2, 4, width=1)) for task, own in entries.items()},
        records={task: TaskRecord(kind="colorization", channels=2, method="piggyback") for task in entries},
    )


def codes(shape: Shape, number: int) -> Array:
    """Return integers from -3 to 3; in every second tensor most are 0."""
    steps = np.arange(prod(shape)) * 11 + number
    drawn = steps % 7 - 3
    return (drawn if number % 2 else np.where(steps % 5 == 0, drawn, 0)).astype(np.int8).reshape(shape)


def quantized_net() -> MultiTaskNet:
    """Return a network with a task that moves every weight by steps, and one that moves weights of seeds."""
    backbone, shapes = golden_backbone()
    net = MultiTaskNet(backbone)
    moved: dict[str, Entry] = {
        name: Quantized(codes(shapes[name], i), np.array((i + 1) / 64, np.float32))
        for i, name in enumerate(net.layout.masked)
    }
    drawn: dict[str, Entry] = {
        name: Seeded(Seed((i + 1) * 0x9E3779B97F4A7C15 % 2**64, (i + 1) / 32), entry)
        for i, (name, entry) in enumerate(moved.items())
        if isinstance(entry, Quantized)
    }
    entries = {"colour": moved, "drawn": drawn}
    return MultiTaskNet(
        backbone,
        deltas={task: TaskDelta(own | head(2, 2)) for task, own in entries.items()},
        records={task: TaskRecord(kind="colorization", channels=2, method="quantized_delta") for task in entries},
    )


def rounded_net() -> MultiTaskNet:
    """Return a network whose backbone is stored as int8, with one task that selects."""
    backbone, shapes = golden_backbone()
    plain = MultiTaskNet(backbone)
    masks: dict[str, Entry] = {name: Select(bits(shapes[name], i)) for i, name in enumerate(plain.layout.masked)}
    state = plain.state.round("int8").add("colour", TaskDelta(masks | head(2, 2)))
    record = TaskRecord(kind="colorization", channels=2, method="piggyback")
    return plain.with_state(state, {"colour": record})


def numbered_net() -> MultiTaskNet:
    """Return a network whose backbone is the number 7, with one task of codes over it."""
    backbone, shapes = golden_backbone()
    plain = MultiTaskNet(backbone)
    moved: dict[str, Entry] = {
        name: Quantized(codes(shapes[name], i), np.array((i + 1) / 64, np.float32))
        for i, name in enumerate(plain.layout.masked)
    }
    state = plain.state.round("seed:7").add("colour", TaskDelta(moved | head(2, 2)))
    record = TaskRecord(kind="colorization", channels=2, method="quantized_delta")
    return plain.with_state(state, {"colour": record})


def channels(shape: Shape, dimension: int) -> Shape:
    """Return a shape with 1 for every dimension but one."""
    return tuple(side if place == dimension else 1 for place, side in enumerate(shape))


def ternary(shape: Shape, number: int) -> Ternary:
    """Return masks that keep 4 of 7 weights, and turn some of these over."""
    keep, flip = bits(shape, number).unpack(), uneven_bits(shape, number + 1).unpack()
    return Ternary(BitMask.pack(keep), BitMask.pack(keep & flip))


def golden_net() -> MultiTaskNet:
    """Return a network with three tasks: a head alone, masks, a decoder."""
    backbone, shapes = golden_backbone()
    net = MultiTaskNet(backbone)
    masks: dict[str, Entry] = {name: Select(bits(shapes[name], i)) for i, name in enumerate(net.layout.masked)}
    decoder: dict[str, Entry] = {name: Replace(ramp(shapes[name], 7 + i)) for i, name in enumerate(net.layout.decoder)}
    deltas = {
        "shapes": TaskDelta(head(3, 1)),
        "colour": TaskDelta(masks | head(2, 2)),
        "clean": TaskDelta(decoder | head(3, 3)),
    }
    classes, palette = ["sky", "tree", "sun"], [[0, 0, 0], [0, 128, 0], [255, 220, 0]]
    records = {
        "shapes": TaskRecord(
            kind="segmentation",
            channels=3,
            method="backbone",
            settings={"classes": classes, "palette": palette},
            recipe={"steps": 10, "lr": 1e-4, "betas": [0.9, 0.999]},
            metrics={"mIoU": 33.3},
            provenance={"seed": 0, "note": "é, not trained"},
        ),
        "colour": TaskRecord(kind="colorization", channels=2, method="piggyback"),
        "clean": TaskRecord(kind="restoration", channels=3, method="decoder"),
    }
    return MultiTaskNet(backbone, deltas=deltas, records=records)


if __name__ == "__main__":
    save(golden_net(), FOLDER / "v1")
    save(coded_net(), FOLDER / "v1-entropy")
    save(forms_net(), FOLDER / "v1-forms")
    save(quantized_net(), FOLDER / "v1-quantized")
    save(rounded_net(), FOLDER / "v1-int8")
    save(numbered_net(), FOLDER / "v1-seed")
