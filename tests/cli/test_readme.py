"""Every `stencil` line of the README is run as it stands there, at the tiny size."""

import dataclasses
import re
import shlex
from pathlib import Path
from typing import cast

import click
import numpy as np
import pytest
from PIL import Image

from stencilnet.cli.main import stencil as group
from stencilnet.scenes import draw_scene

from ..command_line import Stencil

README = Path(__file__).parents[2] / "README.md"

TINY = {
    "stencil demo": "stencil demo --size tiny",
    "stencil add runs/demo/bundle my.yaml": "stencil add runs/demo/bundle my.yaml --set tasks.sharpen.recipe.steps=2",
    "stencil teach runs/demo/bundle retouch --pairs pairs/before pairs/after": (
        "stencil teach runs/demo/bundle retouch --pairs pairs/before pairs/after --steps 2"
    ),
    "stencil compare photos --root data --out runs/photos": "stencil compare photos --root data --dry-run",
    "stencil compare paper/compare --root replicas --dry-run": (
        "stencil compare paper/compare --root replicas --dry-run --methods piggyback --set backbone.width=2"
    ),
    "stencil serve runs/demo/bundle": "stencil serve runs/demo/bundle --help",
    "stencil serve": "stencil serve --help",
    "stencil teach mine retouch --pairs before/ after/ --minutes 5": "stencil teach --help",
}
"""The only lines that are not run as they stand: their work is minutes long, or ends at Ctrl-C (`tests/serve`)."""


def lines() -> list[str]:
    blocks = re.findall(r"```(?:sh|console|bash)\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    commands = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [command for command in commands if command.startswith("stencil ")]


def stage(folder: Path) -> None:
    """What the README says a reader has: a photo, a folder of pairs, the photographs under data/."""
    Image.fromarray(draw_scene(1, 1, 48).image).save(folder / "photo.jpg")
    for pairs, first in (("pairs", 0), ("test", 100)):
        for part in ("before", "after"):
            (folder / pairs / part).mkdir(parents=True)
            for index in range(first, first + 12):
                picture = Image.fromarray(draw_scene(1, index, 32).image)
                (picture if part == "after" else picture.convert("L")).save(folder / pairs / part / f"{index}.png")
    (folder / "my.yaml").write_text(next(iter(re.findall(r"```yaml\n(.*?)```", README.read_text(), flags=re.DOTALL))))
    _photographs(folder / "data")


def _photographs(root: Path) -> None:
    for part in ("train", "val"):
        for index in range(8):
            scene = draw_scene(2, index, 32)
            street = Image.fromarray(scene.image)
            for folder, picture, name in (
                ("camvid/{}/images", street, f"0001TP_{index}.jpg"),
                (
                    "camvid/{}/labels",
                    Image.fromarray(np.minimum(scene.labels, 11).astype(np.uint8)),
                    f"0001TP_{index}.png",
                ),
                ("bsds500/{}/images", street, f"{index}.jpg"),
                ("bsds500/{}/boundaries", street.convert("L"), f"{index}.png"),
            ):
                path = root / folder.format(part) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                picture.save(path)
    (root / "styles").mkdir()
    for name in ("starry_night", "the_scream"):
        Image.fromarray(draw_scene(3, 0, 64).image).save(root / "styles" / f"{name}.jpg")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    stage(folder)
    return folder


def test_the_readme_has_commands() -> None:
    assert len(lines()) >= 6
    assert set(TINY) <= set(lines())


def test_every_line_is_understood() -> None:
    """Its verb and options exist, and take so many arguments; that the line works is the next test."""
    for line in lines():
        command, words = cast(click.Command, group), shlex.split(line)[1:]
        while isinstance(command, click.Group):
            command = command.commands[words.pop(0)]
        _, left, _ = command.make_parser(click.Context(command)).parse_args(words)
        assert left == [], line


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_line_runs(stencil: Stencil, desk: Path) -> None:
    for line in lines():
        done = stencil(*shlex.split(TINY.get(line, line))[1:], cwd=desk)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


def test_the_python_lines_run(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    import stencilnet as sn
    from stencilnet.scenes import Scenes

    monkeypatch.chdir(desk)
    photos = sn.Splits(train=Scenes(count=8, size=32), validation=Scenes(count=2, size=32, first=50))
    halves = [dataclasses.replace(e, label=e.label // 8) for e in photos.train]
    streets = sn.Splits(train=halves, validation=halves[:2])
    code = next(iter(re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)))
    tiny = code.replace("steps=2000", "steps=1").replace("crop=96", "crop=32").replace("width=16", "width=2")
    assert tiny != code
    found = {"streets": streets, "photos": photos, "x": torch.rand(1, 3, 40, 48)}
    exec(tiny, found)
    assert found["net"].tasks == ("streets", "colorization")
    assert torch.equal(found["plain"](found["x"]), found["y"])
    assert found["picture"].size == (48, 48)
