"""The registry of task kinds: what they declare, records rebuilt, other packages' kinds, and no heavy imports."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import Any, ClassVar

import grimp
import pytest

from stencilnet.tasks import catalog
from stencilnet.tasks.catalog import BUILT_IN, kinds, task_from_record, traits_of
from stencilnet.tasks.edges2photo import Edges2Photo
from stencilnet.tasks.perceptual_task import PerceptualTask
from stencilnet.tasks.plain import Plain
from stencilnet.tasks.segmentation import Segmentation
from stencilnet.tasks.task import DrawingTask, LabelMapTask, LabelTask
from stencilnet.tasks.traits import Traits


@dataclass(frozen=True, kw_only=True)
class Other(Plain):
    kind: ClassVar[str] = "other"
    traits: ClassVar[Traits] = Traits(category="other", loss="L1", logits=True)


@dataclass(frozen=True, kw_only=True)
class Bare(Plain):
    kind: ClassVar[str] = "bare"


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, object]]:
    """Kinds that an installed package registers, by name; to be filled by the test."""
    found: dict[str, object] = {}

    def load(group: str, *, taken: Any, check: Any) -> dict[str, object]:
        assert group == "stencilnet.tasks"
        assert set(taken) == {kind.kind for kind in BUILT_IN}
        for name, value in found.items():
            check(name, value)
        return found

    monkeypatch.setattr(catalog, "load", load)
    kinds.cache_clear()
    yield found
    kinds.cache_clear()


def test_kinds_go_by_their_own_names() -> None:
    assert list(kinds()) == [
        "segmentation", "colorization", "style", "edges2photo", "restoration", "depth", "normals", "classification",
    ]  # fmt: skip
    assert all(kind.kind == name for name, kind in kinds().items())


def test_kinds_do_not_import_each_other() -> None:
    modules = sorted({kind.__module__ for kind in BUILT_IN})
    graph = grimp.build_graph("stencilnet", cache_dir=None)
    chains = [graph.find_shortest_chain(one, other) for one, other in permutations(modules, 2)]
    assert len(modules) == len(BUILT_IN)
    assert [chain for chain in chains if chain] == []
    assert graph.find_shortest_chain("stencilnet.tasks.catalog", modules[0])  # the graph knows these modules


def test_what_kinds_declare() -> None:
    declared = {name: kind.traits for name, kind in kinds().items()}
    assert {name for name, traits in declared.items() if traits.logits} == {"segmentation", "classification"}
    assert {name for name, traits in declared.items() if traits.damage} == {"restoration"}
    assert {name for name, traits in declared.items() if traits.mirror} == {"normals"}
    assert all(t.category and t.input and t.output and t.loss for t in declared.values())
    made = {name: task_from_record(name, NEEDED.get(name, {})) for name in kinds()}
    assert {name for name, task in made.items() if isinstance(task, LabelTask)} == {"classification"}
    assert {name for name, task in made.items() if isinstance(task, LabelMapTask)} == {"segmentation"}
    assert {name for name, task in made.items() if isinstance(task, DrawingTask)} == {"edges2photo"}
    assert {name for name, task in made.items() if isinstance(task, PerceptualTask)} == {"style"}


NEEDED: dict[str, dict[str, Any]] = {"segmentation": {"classes": ["a", "b"]}, "style": {"style": "painted:bands"}}
"""Settings that have no default."""


def test_kinds_of_other_packages_come_after_the_built_in(registered: dict[str, object]) -> None:
    registered["other"] = Other
    assert list(kinds().values()) == [*BUILT_IN, Other]
    assert traits_of("other").logits
    assert task_from_record("other", {}) == Other()  # type: ignore[comparison-overlap]


def test_a_kind_that_is_not_registered_has_the_default_traits() -> None:
    traits = traits_of("other")
    assert (traits.logits, traits.damage, traits.mirror) == (False, False, "")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("other", Other(), "expected a dataclass, but got"),
        ("other", int, "expected a dataclass, but got <class 'int'>"),
        ("another", Other, "expected `kind` to be 'another' and to match .*, but got 'other'"),
        ("bare", Bare, "has no attribute 'traits'"),
    ],
)
def test_what_is_no_kind_is_refused(registered: dict[str, object], name: str, value: object, message: str) -> None:
    registered[name] = value
    with pytest.raises((TypeError, ValueError, AttributeError), match=message):
        kinds()


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
