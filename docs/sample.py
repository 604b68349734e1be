"""Makes the picture of the shipped bundle: scenes that no training saw, through each of its tasks.

python docs/sample.py docs/sample.jpg
"""

import sys
from pathlib import Path

from PIL import Image

import stencilnet as sn
from stencilnet.pictures.grids import Sheet, contact_sheet
from stencilnet.scenes import draw_scene

SCENES = (300011, 300025)
SIZE = 256
"""Side of the scenes in pixels."""


def draw(picture: Path) -> None:
    """Run every task on every scene, and write the picture."""
    engine = sn.Engine(sn.sample())
    rows = []
    for index in SCENES:
        scene = Image.fromarray(draw_scene(0, index, SIZE).image)
        rows.append((scene, *(engine.run(scene, task) for task in engine.tasks)))
    contact_sheet(Sheet(columns=("scene", *engine.tasks), rows=tuple(rows))).convert("RGB").save(picture, quality=88)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
