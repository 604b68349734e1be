"""Makes the README's picture: scenes that no training saw, through every task of the demo's bundle.

python docs/picture.py runs/demo/bundle docs/picture.png
"""

import sys
from pathlib import Path
from typing import Any

from PIL import Image

import stencilnet as sn
from stencilnet.config.reading import read_config, to_plain
from stencilnet.pictures.grids import Sheet, contact_sheet
from stencilnet.scenes import draw_scene

COLUMNS = {
    "scenes": "16 classes",
    "things": "7 classes",
    "colour": "gray to colour",
    "swirls": "style: swirls",
    "bands": "style: bands",
    "edges": "edges to scene",
}
SCENES = (300011, 300016, 300025, 300028)

CONFIG = "demo/small"
"""What the bundle is of."""


def plan() -> list[dict[str, Any]]:
    """Return the tasks that are shown, and the config that they are learned by."""
    config = read_config(CONFIG)
    return [{"task": config.plan(task).name, "scenes": SCENES, "config": to_plain(config)} for task in COLUMNS]


def draw(bundle: Path, picture: Path) -> None:
    """Run every task on every scene, and write the picture."""
    engine = sn.Engine(bundle)
    rows = []
    for index in SCENES:
        scene = Image.fromarray(draw_scene(0, index, 64).image)
        rows.append((scene, *(engine.run(scene, task) for task in COLUMNS)))
    contact_sheet(Sheet(columns=("photo", *COLUMNS.values()), rows=tuple(rows))).save(picture, optimize=True)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
