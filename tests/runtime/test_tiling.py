"""The engine runs pictures in strips where the whole does not fit or where it is asked to, with the same result."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from stencilnet.cli.main import stencil
from stencilnet.inference.layers import TorchLayers
from stencilnet.runtime import Engine, tiling
from stencilnet.runtime.tiling import Tile

GOLDEN = sorted((Path(__file__).parents[1] / "bundle" / "golden").iterdir())
PICTURE = np.random.default_rng(3).random((3, 75, 101), np.float32)


@pytest.mark.parametrize("bundle", GOLDEN, ids=lambda path: path.name)
def test_strips_of_every_task_are_its_whole(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Tile] = []
    in_strips = tiling._in_strips
    monkeypatch.setattr(tiling, "_in_strips", lambda *words: ran.append(words[-1]) or in_strips(*words))
    strips, whole = Engine(bundle, tile=16), Engine(bundle, tile="never")
    for task in whole.tasks:
        expected = whole.forward(PICTURE, task)
        np.testing.assert_allclose(strips.forward(PICTURE, task), expected, atol=1e-4)
    assert ran == [16] * len(whole.tasks)


@pytest.mark.parametrize(("free", "expected"), [(None, 0), (2**40, 0), (2**19, 1)])
def test_a_picture_that_does_not_fit_runs_in_strips(
    free: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(GOLDEN[0])
    task = engine.tasks[0]
    whole = engine.forward(PICTURE, task)
    ran = []
    in_strips = tiling._in_strips
    monkeypatch.setattr(tiling, "_in_strips", lambda *words: ran.append(1) or in_strips(*words))
    monkeypatch.setattr(TorchLayers, "free", free)
    np.testing.assert_allclose(engine.forward(PICTURE, task), whole, atol=1e-4)
    assert len(ran) == expected


@pytest.mark.parametrize("tile", [15, 0, -1, True, "all", 20.5])
def test_what_is_no_size_of_strips_is_refused(tile: Tile) -> None:
    with pytest.raises(ValueError, match="Expected `tile` to be auto, never or a number of rows of at least 16, but"):
        Engine(GOLDEN[0], tile=tile)


def test_the_command_takes_a_number(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray((255 * PICTURE).astype(np.uint8).transpose(1, 2, 0)).save(photo)
    task = Engine(GOLDEN[0]).tasks[0]
    pictures = {}
    for tile in ("never", "32"):
        out = tmp_path / f"{tile}.png"
        words = ["run", str(GOLDEN[0]), task, str(photo), "-o", str(out), "--tile", tile]
        assert CliRunner().invoke(stencil, words).exit_code == 0
        pictures[tile] = np.asarray(Image.open(out).convert("RGB")).astype(int)
    assert pictures["never"].shape == (75, 101, 3)
    assert (pictures["never"] == pictures["32"]).mean() > 0.999
    refused = CliRunner().invoke(stencil, ["run", str(GOLDEN[0]), task, str(photo), "-o", "x.png", "--tile", "some"])
    assert refused.exit_code == 2
    assert "expected auto, never or a number of rows, but got 'some'" in refused.output
