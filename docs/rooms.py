"""Draws the packages of stencilnet and which imports which, from the imports: ``python docs/rooms.py``.

An arrow that others imply (A to B to C implies A to C) is left out. A package's level is one more than that of the
highest package that it imports, so that all arrows point down. Packages that need no PyTorch, by the import contract
`ship`, have a colour of their own.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from configparser import ConfigParser
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
from matplotlib.figure import Figure

from stencilnet.analysis.drawing import CELL, INK, LINE, MUTED, styled, to_svg

PICTURE = Path(__file__).with_name("rooms.svg")
CONTRACTS = Path(__file__).parents[1] / ".importlinter"
SHIPPED = "#d5ecdd"
Imports = Mapping[str, frozenset[str]]


def imports() -> dict[str, frozenset[str]]:
    """Return which packages and single modules right below stencilnet each of them imports."""
    graph = grimp.build_graph("stencilnet", exclude_type_checking_imports=True)
    found: dict[str, set[str]] = defaultdict(set)
    for module in sorted(graph.modules):
        names = {name.split(".")[1] for name in graph.find_modules_directly_imported_by(module) if "." in name}
        room = module.partition(".")[2].partition(".")[0]
        if room and room != "__main__":
            found[room] |= names - {room}
    return {room: frozenset(names) for room, names in found.items()}


def shipped() -> frozenset[str]:
    """Return the packages that an import contract keeps free of PyTorch."""
    contracts = ConfigParser()
    contracts.read(CONTRACTS, encoding="utf-8")
    modules = contracts["importlinter:contract:ship"]["source_modules"].split()
    return frozenset(module.partition(".")[2] for module in modules)


def direct(rooms: Imports) -> dict[str, list[str]]:
    """Return the imports of each room that no other import of it implies."""
    reached: dict[str, set[str]] = {}
    for room in TopologicalSorter(rooms).static_order():
        reached[room] = set(rooms[room]).union(*(reached[name] for name in rooms[room]))
    return {
        room: sorted(name for name in names if not any(name in reached[other] for other in names))
        for room, names in rooms.items()
    }


def levels(rooms: Imports) -> dict[str, int]:
    """Return the level of each room, from 0 for those that import none."""
    found: dict[str, int] = {}
    for room in TopologicalSorter(rooms).static_order():
        found[room] = max((found[name] + 1 for name in rooms[room]), default=0)
    return found


def places(rooms: Imports) -> dict[str, tuple[float, float]]:
    """Return where each room is drawn: levels from the bottom up, the rooms of a level side by side."""
    by_level: dict[int, list[str]] = defaultdict(list)
    for room, level in levels(rooms).items():
        by_level[level].append(room)
    return {
        room: (place - (len(level_rooms) - 1) / 2 + 0.3 * (level % 3), float(level))
        for level, level_rooms in by_level.items()
        for place, room in enumerate(sorted(level_rooms))
    }


def picture(rooms: Imports, coloured: Collection[str]) -> Figure:
    """Draw the rooms, some of them coloured."""
    where = places(rooms)
    with styled():
        figure = Figure(figsize=(8, 0.62 * (1 + max(y for _, y in where.values()))), layout="constrained")
        axes = figure.add_subplot()
        axes.set_axis_off()
        for room, names in direct(rooms).items():
            for name in names:
                arrow = {"arrowstyle": "-|>", "color": MUTED, "shrinkA": 9, "shrinkB": 9, "lw": 0.9}
                axes.annotate("", xy=where[name], xytext=where[room], arrowprops=arrow)
        for room, (x, y) in where.items():
            box = {"boxstyle": "round,pad=0.4", "facecolor": SHIPPED if room in coloured else CELL, "edgecolor": LINE}
            axes.text(x, y, room, ha="center", va="center", color=INK, bbox=box)
        axes.set_xlim(min(x for x, _ in where.values()) - 0.7, max(x for x, _ in where.values()) + 0.7)
        axes.set_ylim(-0.5, max(y for _, y in where.values()) + 0.5)
    return figure


def main() -> None:
    """Write the picture."""
    PICTURE.write_text(to_svg(picture(imports(), shipped())), encoding="utf-8")


if __name__ == "__main__":
    main()
