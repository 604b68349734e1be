"""Each source but pairs is taught over HTTP, by the shortest training, and its config learns the task again.

Pairs are taught in test_serve_teach.py.
"""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stencilnet.config.reading import read_config
from stencilnet.learning.checking import check_paths
from stencilnet.learning.opening import open_data
from stencilnet.scenes import draw_scene
from stencilnet.serve.lessons import FOLDERS, LessonKind
from stencilnet.teaching.request import Request, Restore

from .conftest import Server, Start, as_bytes, photo
from .test_serve_bad_input import PNG, told
from .test_serve_teach import begin, follow, send

pytestmark = pytest.mark.slow  # a process that imports PyTorch for each source

COUNT = 4
PAINTING = "The Scream.png"


@pytest.fixture(scope="module")
def teacher(start: Start) -> Server:
    return start("--teach")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures for every source."""
    folder = tmp_path_factory.mktemp("desk")
    for part in ("images", "labels", "photos"):
        (folder / part).mkdir()
    for number in range(COUNT):
        scene, name = draw_scene(1, number, 40), f"{number}.png"
        picture = Image.fromarray(scene.image)
        for part in ("images", "photos"):
            picture.save(folder / part / name)
        Image.fromarray(np.minimum(scene.labels, 2).astype(np.uint8)).save(folder / "labels" / name)
    Image.fromarray(draw_scene(1, 90, 64).image).save(folder / PAINTING)
    return folder


@pytest.mark.parametrize(
    ("kind", "query", "metric", "columns"),
    [
        ("labels", {"classes": "sky,ground,things"}, "mIoU", ["input", "target", "output"]),
        ("style", {}, "total_loss", ["input", "output"]),
        ("restore", {"damage": "blur"}, "MSE", ["input", "target", "output"]),
    ],
)
def test_each_source_is_taught_and_its_config_is_kept(
    teacher: Server, desk: Path, kind: LessonKind, query: dict, metric: str, columns: list[str]
) -> None:
    lesson = begin(teacher, kind, kind, steps=1, **query)
    for folder in FOLDERS[kind]:
        for file in [desk / PAINTING] if folder == "painting" else sorted((desk / folder).iterdir()):
            assert send(teacher, lesson, folder, file.name, file.read_bytes()).status_code == 200
    assert told(teacher.client.get(f"{lesson}/config"), 409, "not_ready")
    teacher.client.post(f"{lesson}/start").raise_for_status()
    *_, last = follow(teacher, lesson)
    assert (last["state"], last["error"], last["step"]) == ("done", None, 1), last
    assert (last["measure"]["metric"], last["columns"]) == (metric, columns)
    answer = teacher.client.post(f"/v1/tasks/{kind}", content=as_bytes(photo(32, 32)), headers=PNG)
    assert answer.status_code == 200, answer.text

    config = teacher.client.get(f"{lesson}/config")
    assert (config.headers["content-type"], config.headers["content-disposition"]) == (
        "application/yaml", f'attachment; filename="{kind}.yaml"',
    )  # fmt: skip
    file = Path(last["config"]["file"])
    assert file.read_bytes() == config.content
    assert file.parent == Request(bundle=teacher.bundle, name=kind, form=Restore(damage="blur", photos=desk)).folder
    experiment = read_config(str(file), ())
    check_paths(str(file), experiment, desk, backbone=False)
    data = open_data(experiment.tasks[0], desk)
    assert len(data.train) + len(data.validation) == COUNT
    assert all((desk / each).exists() for each in last["config"]["holds"])
    assert "stencil-teach" not in config.text
