"""Makes the README's picture: scenes that no training saw, through every task of the demo's bundle.

python docs/picture.py runs/demo/bundle docs/picture.png
"""

import sys

from PIL import Image

import stencilnet as sn
from stencilnet.analysis.grids import Sheet, contact_sheet
from stencilnet.data.scenes import draw_scene

COLUMNS = {
    "scenes": "16 classes",
    "things": "7 classes",
    "colour": "gray to colour",
    "swirls": "style: swirls",
    "bands": "style: bands",
    "edges": "edges to scene",
}
SCENES = (300011, 300016, 300025, 300028)

engine = sn.Engine(sys.argv[1])
rows = []
for index in SCENES:
    scene = Image.fromarray(draw_scene(0, index, 64).image)
    rows.append((scene, *(engine.run(scene, task) for task in COLUMNS)))
contact_sheet(Sheet(columns=("photo", *COLUMNS.values()), rows=tuple(rows))).save(sys.argv[2], optimize=True)
