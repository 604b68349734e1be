"""Tasks by name, from records, and without heavy imports."""

import subprocess
import sys

import pytest

from stencilnet.tasks.catalog import KINDS, task_from_record
from stencilnet.tasks.edges2photo import Edges2Photo
from stencilnet.tasks.segmentation import Segmentation


def test_kinds_go_by_their_own_names() -> None:
    assert set(KINDS) == {
        "segmentation", "colorization", "style", "edges2photo", "restoration", "depth", "normals", "classification",
    }  # fmt: skip
    assert all(kind.kind == name for name, kind in KINDS.items())


def test_records_become_tasks() -> None:
    assert task_from_record("edges2photo", {"edge_sigma": 2.0}) == Edges2Photo(edge_sigma=2.0)
    assert task_from_record("segmentation", {"classes": ["a", "b"]}) == Segmentation(classes=("a", "b"))


def test_unknown_kinds_are_an_error_that_names_the_known() -> None:
    with pytest.raises(ValueError, match=r"a task kind among segmentation, .*restoration.*, but got 'flow'"):
        task_from_record("flow", {})


def test_unknown_and_missing_settings_are_reported_at_once() -> None:
    expected = r"settings of the task kind `segmentation`, but got unknown colour, size and missing classes. It has"
    with pytest.raises(ValueError, match=expected):
        task_from_record("segmentation", {"size": 3, "colour": "red"})
    with pytest.raises(ValueError, match=r"unknown size. It has no settings"):
        task_from_record("colorization", {"size": 3})


def test_wrong_settings_are_the_kinds_own_error() -> None:
    with pytest.raises(ValueError, match="2 to 255 classes, got 1"):
        task_from_record("segmentation", {"classes": ["a"]})


def test_inputs_and_pictures_need_no_heavy_library() -> None:
    program = """
import sys
from PIL import Image
import torch
from stencilnet.tasks.catalog import task_from_record
from stencilnet.tasks.task import PictureTask
for kind, settings in [("segmentation", {"classes": ["a", "b"]}), ("edges2photo", {}), ("colorization", {}),
                       ("style", {"style": "painted:bands"}), ("restoration", {}),
                       ("depth", {}), ("normals", {}),
                       ("classification", {"classes": ["a", "b"]})]:
    task = task_from_record(kind, settings)
    given = task.to_input(Image.new("RGB", (20, 30)))
    if isinstance(task, PictureTask):
        task.to_image(torch.zeros(task.channels, 30, 20), given)
    else:
        task.to_label(torch.zeros(task.channels))
print(sorted({"torchvision", "matplotlib", "skimage", "scipy"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
