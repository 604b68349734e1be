"""The cost of the engine compared with the network: several tasks in one batch, files in and out, the fast path."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.networks import CHANNELS, masked_network, pictures, write_bundle
from benchmarks.rows import Found, NotHereError, Setting, compared, interleaved, per_second, scaled, speedup
from stencilnet.models import load
from stencilnet.runtime import Engine
from stencilnet.runtime.files import run_files
from stencilnet.runtime.planning import plan_outputs
from stencilnet.runtime.tiling import Tile

IMAGES, TASKS = 64, 8
"""Images and tasks of the row that runs several tasks at once."""

FILES = 24
"""Photos in the folder that is run."""

_FEW = 2
"""Minimum number of repetitions of rows whose repetitions take minutes."""


_TILES: dict[str, Tile] = {"strips": 64, "whole": "never"}
"""Of the row that runs a picture in strips, by arm."""


def eight_tasks(setting: Setting) -> Found:
    """Time 64 images over 8 tasks against the same images through one of them."""
    names = [f"task-{number}" for number in range(TASKS)]
    engine = Engine(_bundle(setting, names), device=setting.device, active=TASKS, backend="torch")
    images = pictures(IMAGES, setting.size)
    mixed = [names[number % TASKS] for number in range(IMAGES)]
    one = names[:1] * IMAGES
    arms = {"mixed": lambda: engine.run_many(images, mixed), "one": lambda: engine.run_many(images, one)}
    times = interleaved(arms, setting, repetitions=max(_FEW, setting.repetitions // 2))
    shown = {name: per_second(IMAGES, taken) for name, taken in times.items()}
    return compared(shown["mixed"], shown["one"], "images/s", f"width {setting.width}, {setting.size} px")


def folder(setting: Setting) -> Found:
    """Time a folder of photos, from files to files, against the network alone on as many images in memory."""
    bundle = _bundle(setting, ["task"])
    engine = Engine(bundle, device=setting.device, backend="torch")
    source = setting.folder / "photos"
    source.mkdir(exist_ok=True)
    for number, picture in enumerate(pictures(FILES, setting.size)):
        picture.save(source / f"{number}.jpg", quality=95)
    planned = plan_outputs([str(source)], setting.folder / "out")

    def files() -> None:
        problems = [problem for _, problem in run_files(engine, "task", planned, drawing=False) if problem is not None]
        if problems:
            raise ValueError(f"Expected every photo to be run, but {len(problems)} failed: {problems[0]}")

    module = load(bundle).materialize("task").to(setting.device)
    image = _image(setting)

    def network() -> None:
        with torch.inference_mode():
            for _ in range(FILES):
                module(image)

    times = interleaved({"files": files, "network": network}, setting, repetitions=max(_FEW, setting.repetitions // 2))
    shown = {name: per_second(FILES, taken) for name, taken in times.items()}
    note = f"{FILES} JPEG files of {setting.size} px to PNG, width {setting.width}"
    return compared(shown["files"], shown["network"], "images/s", note)


def strips(setting: Setting) -> Found:
    """Time a picture of four times the side in strips against the whole of it, both by the engine."""
    bundle = _bundle(setting, ["task"])
    (picture,) = pictures(1, 4 * setting.size)
    engines = {name: Engine(bundle, device=setting.device, tile=tile) for name, tile in _TILES.items()}
    arms = {name: partial(engine.run, picture, task="task") for name, engine in engines.items()}
    times = interleaved(arms, setting, repetitions=_FEW)
    return compared(times["strips"], times["whole"], "s", f"width {setting.width}, {4 * setting.size} px")


def fast_path(setting: Setting) -> Found:
    """Time the engine's `auto` precision against eager float32; the note says how far outputs differ.

    Raises:
        NotHereError: If `auto` resolves to eager float32 here.
    """
    bundle = _bundle(setting, ["task"])
    fast, exact = (
        Engine(bundle, device=setting.device, precision=name, backend="torch") for name in ("auto", "float32")
    )
    if fast.precision == exact.precision:
        raise NotHereError("`auto` is eager float32 here: no bfloat16 instructions, and torch.compile does not work")
    (picture,) = pictures(1, setting.size)
    levels = [np.asarray(engine.run(picture, task="task"), dtype=np.int16) for engine in (fast, exact)]
    largest = int(np.abs(levels[0] - levels[1]).max())
    arms = {
        "fast": lambda: fast.run(picture, task="task"),
        "exact": lambda: exact.run(picture, task="task"),
    }
    times = interleaved(arms, setting, calls=3)
    note = f"{fast.precision}; width {setting.width}, {setting.size} px; at most {largest} of 255 levels apart"
    return speedup(scaled(times["fast"], 1e3), scaled(times["exact"], 1e3), "ms", note)


def _bundle(setting: Setting, names: Sequence[str]) -> Path:
    return write_bundle(setting.folder / "bundle", masked_network(setting.width, names))


def _image(setting: Setting) -> Tensor:
    shape = (1, CHANNELS, setting.size, setting.size)
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(setting.device)
