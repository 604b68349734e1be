"""Synthetic networks and bundles for benchmarks: random weights, random masks, realistic sizes."""

from collections.abc import Iterable
from pathlib import Path

import torch
from PIL import Image

from stencilnet.bundle import TaskRecord
from stencilnet.delta import BitMask, Entry, Replace, Select, TaskDelta
from stencilnet.masks import array_of
from stencilnet.models import MultiTaskNet, UNet, save
from stencilnet.scenes import draw_scene

KIND, CHANNELS = "restoration", 3
"""Kind and output channels of every task made here."""


def masked_network(width: int, tasks: Iterable[str], zeros: float = 0.5) -> MultiTaskNet:
    """Return a network whose tasks have random masks, of which a share `zeros` is 0, from fixed seeds."""
    net = MultiTaskNet(UNet(width=width, channels=CHANNELS))
    state, records = net.state.move(net.fresh_weights(0)), {}
    for number, name in enumerate(tasks):
        state = state.add(name, masked_delta(net, zeros, seed=number))
        records[name] = TaskRecord(kind=KIND, channels=CHANNELS, method="piggyback")
    return net.with_state(state, records)


def masked_delta(net: MultiTaskNet, zeros: float, seed: int) -> TaskDelta:
    """Return a task with random masks, of which a share `zeros` is 0, and a random head."""
    generator = torch.Generator().manual_seed(seed)
    shared = net.state.shared
    masks: dict[str, Entry] = {
        name: Select(BitMask.pack(torch.rand(shared[name].shape, generator=generator) >= zeros))
        for name in net.layout.masked
    }
    head = net.fresh_head(CHANNELS, generator)
    return TaskDelta({**masks, **{name: Replace(array_of(tensor)) for name, tensor in head.items()}})


def write_bundle(folder: Path, net: MultiTaskNet) -> Path:
    """Save a network and return the bundle's folder."""
    save(net, folder)
    return folder


def pictures(count: int, size: int) -> list[Image.Image]:
    """Return `count` embedded scenes as square pictures with sides of `size` pixels."""
    return [Image.fromarray(draw_scene(0, number, (size, size)).image) for number in range(count)]
