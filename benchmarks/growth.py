"""Growth of costs: of steps with width and image size; of opening, adding and switching with the number of tasks."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.bundles import bundle_of
from benchmarks.machine import Measured
from benchmarks.networks import masked_network
from benchmarks.rows import Setting, interleaved, scaled
from benchmarks.steps import Shape, our_step, plain_step
from benchmarks.switching import switch_seconds
from stencilnet.bundle import add_task, remove_task
from stencilnet.masks import arrays_of
from stencilnet.models import load

WIDTHS = (8, 16, 32, 64)
SIZES = (32, 64, 96, 128, 192)
COUNTS = (1, 10, 100, 1000)
_SMALL = 16
"""Width of the network for the growth with image size and number of tasks."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One quantity at several positions on an axis.

    Attributes:
        name: Name of the quantity.
        places: Positions on the axis.
        values: The quantity at each position, in milliseconds.
    """

    name: str
    places: tuple[int, ...]
    values: tuple[Measured, ...]


@dataclass(frozen=True, kw_only=True)
class Growth:
    """Lines over a common axis.

    Attributes:
        title: Title of the plot.
        axis: Label of the axis.
        lines: The measured quantities.
    """

    title: str
    axis: str
    lines: tuple[Line, ...]


def with_width(setting: Setting) -> Growth:
    """Time a step at several widths."""
    shapes = [Shape(width=width, size=64, batch=4) for width in WIDTHS]
    return Growth(title="A step, 64 px, batch 4", axis="width", lines=_steps(setting, WIDTHS, shapes))


def with_size(setting: Setting) -> Growth:
    """Time a step at several image sizes."""
    shapes = [Shape(width=_SMALL, size=size, batch=4) for size in SIZES]
    return Growth(
        title=f"A step, width {_SMALL}, batch 4", axis="image side (px)", lines=_steps(setting, SIZES, shapes)
    )


def with_tasks(setting: Setting) -> Growth:
    """Time opening, editing and switching one task in bundles of several sizes."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=setting.folder) as folder:
        return _with_tasks(replace(setting, width=_SMALL, folder=Path(folder)))


def _with_tasks(small: Setting) -> Growth:
    net = masked_network(_SMALL, ("new",))
    found: dict[str, list[Measured]] = {
        "open, and fold one task": [],
        "add and remove a task": [],
        "switch tasks in place": [],
    }
    for count in COUNTS:
        bundle = bundle_of(count, small)

        def add_and_remove() -> None:
            add_task(bundle, "new", net.records["new"], net.deltas["new"], shared=arrays_of(net.state.shared))  # noqa: B023
            remove_task(bundle, "new")  # noqa: B023

        arms = {"open": lambda: load(bundle).materialize("task-0"), "add": add_and_remove}  # noqa: B023
        times = interleaved(arms, small)
        opened = load(bundle)
        switched = switch_seconds(opened, opened.materialize("task-0"), small)
        for name, value in zip(found, (times["open"], times["add"], switched), strict=True):
            found[name].append(scaled(value, 1e3))
    return Growth(
        title=f"One task among many, width {_SMALL}",
        axis="tasks in the bundle",
        lines=tuple(Line(name=name, places=COUNTS, values=tuple(values)) for name, values in found.items()),
    )


def _steps(setting: Setting, places: Sequence[int], shapes: Sequence[Shape]) -> tuple[Line, ...]:
    found: dict[str, list[Measured]] = {"mask": [], "plain fine-tuning": []}
    for shape in shapes:
        setting.say(f"measuring a step at {shape}")
        arms = {"mask": our_step("masks", shape, setting), "plain fine-tuning": plain_step("plain", shape, setting)}
        for name, value in interleaved(arms, setting).items():
            found[name].append(scaled(value, 1e3))
    return tuple(Line(name=name, places=tuple(places), values=tuple(values)) for name, values in found.items())
