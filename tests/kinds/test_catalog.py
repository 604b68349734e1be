"""The registry of task kinds: what they declare, records rebuilt, other packages' kinds, and who learns them."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any, ClassVar

import grimp
import pytest

from stencilnet.kinds import catalog
from stencilnet.kinds.catalog import BUILT_IN, kind_from_record, kinds, traits_of
from stencilnet.kinds.edges2photo import Edges2PhotoKind
from stencilnet.kinds.kind import DrawingKind, LabelKind, Traits
from stencilnet.kinds.segmentation import SegmentationKind
from stencilnet.tasks import catalog as learning
from stencilnet.tasks.catalog import task_kinds
from stencilnet.tasks.perceptual_task import PerceptualTask
from stencilnet.tasks.plain import Plain
from stencilnet.tasks.task import LabelMapTask

PACKAGE = Path(__file__).parents[1] / "packages" / "negative"


@dataclass(frozen=True, kw_only=True)
class Other(Plain):
    """A kind that learns its tasks itself."""

    kind: ClassVar[str] = "other"
    traits: ClassVar[Traits] = Traits(category="other", loss="L1", logits=True)


@dataclass(frozen=True, kw_only=True)
class Apart:
    """A kind whose tasks another class learns."""

    kind: ClassVar[str] = "apart"
    traits: ClassVar[Traits] = Traits(category="apart", loss="L1")
    learner: ClassVar[str] = "no_such_module:Learned"


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

    for listed in (catalog, learning):
        monkeypatch.setattr(listed, "load", load)
    for listing in (kinds, task_kinds):
        listing.cache_clear()
    yield found
    for listing in (kinds, task_kinds):
        listing.cache_clear()


def test_kinds_go_by_their_own_names() -> None:
    assert list(kinds()) == [
        "segmentation", "colorization", "style", "edges2photo", "restoration", "depth", "normals", "classification",
    ]  # fmt: skip
    assert all(kind.kind == name for name, kind in kinds().items())


@pytest.mark.parametrize("listing", [kinds, task_kinds], ids=["run", "learned"])
def test_kinds_do_not_import_each_other(listing: Any) -> None:
    modules = sorted({kind.__module__ for kind in listing().values()})
    graph = grimp.build_graph("stencilnet", cache_dir=None)
    chains = [graph.find_shortest_chain(one, other) for one, other in permutations(modules, 2)]
    assert len(modules) == len(BUILT_IN)
    assert [chain for chain in chains if chain] == []
    assert set(modules) <= graph.modules


def test_what_kinds_declare() -> None:
    declared = {name: kind.traits for name, kind in kinds().items()}
    assert {name for name, traits in declared.items() if traits.logits} == {"segmentation", "classification"}
    assert {name for name, traits in declared.items() if traits.damage} == {"restoration"}
    assert {name for name, traits in declared.items() if traits.mirror} == {"normals"}
    assert all(t.category and t.input and t.output and t.loss for t in declared.values())
    made = {name: kind_from_record(name, NEEDED.get(name, {})) for name in kinds()}
    assert {name for name, task in made.items() if isinstance(task, LabelKind)} == {"classification"}
    assert {name for name, task in made.items() if isinstance(task, DrawingKind)} == {"edges2photo"}
    learned = {name: kind(**NEEDED.get(name, {})) for name, kind in task_kinds().items()}
    assert {name for name, task in learned.items() if isinstance(task, LabelMapTask)} == {"segmentation"}
    assert {name for name, task in learned.items() if isinstance(task, PerceptualTask)} == {"style"}


def test_every_kind_is_learned_by_a_class_that_extends_it() -> None:
    assert list(task_kinds()) == list(kinds())
    assert all(issubclass(task_kinds()[name], kind) for name, kind in kinds().items())
    assert all(task_kinds()[name] is not kind for name, kind in kinds().items())


NEEDED: dict[str, dict[str, Any]] = {"segmentation": {"classes": ["a", "b"]}, "style": {"style": "painted:bands"}}
"""Settings that have no default."""


def test_kinds_of_other_packages_come_after_the_built_in(registered: dict[str, object]) -> None:
    registered["other"] = Other
    assert list(kinds().values()) == [*BUILT_IN, Other]
    assert traits_of("other").logits
    assert kind_from_record("other", {}) == Other()  # type: ignore[comparison-overlap]


def test_a_kind_that_names_no_learner_learns_itself(registered: dict[str, object]) -> None:
    registered["other"] = Other
    assert task_kinds()["other"] is Other


def test_a_learner_is_looked_for_only_to_learn(registered: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    registered["apart"] = Apart
    assert kinds()["apart"] is Apart
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        task_kinds()
    monkeypatch.setattr(Apart, "learner", f"{Path.__module__.partition('.')[0]}:Path")
    with pytest.raises(TypeError, match=r"`learner` to name a dataclass that extends Apart, but got <class 'pathlib"):
        task_kinds()


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


def test_records_become_kinds() -> None:
    assert kind_from_record("edges2photo", {"edge_sigma": 2.0}) == Edges2PhotoKind(edge_sigma=2.0)
    assert kind_from_record("segmentation", {"classes": ["a", "b"]}) == SegmentationKind(classes=("a", "b"))


def test_unknown_kinds_are_an_error_that_names_the_known() -> None:
    with pytest.raises(ValueError, match=r"a task kind among segmentation, .*restoration.*, but got 'flow'"):
        kind_from_record("flow", {})


def test_unknown_and_missing_settings_are_reported_at_once() -> None:
    expected = r"settings of the task kind `segmentation`, but got unknown colour, size and missing classes. It has"
    with pytest.raises(ValueError, match=expected):
        kind_from_record("segmentation", {"size": 3, "colour": "red"})
    with pytest.raises(ValueError, match=r"unknown size. It has no settings"):
        kind_from_record("colorization", {"size": 3})


def test_wrong_settings_are_the_kinds_own_error() -> None:
    with pytest.raises(ValueError, match="2 to 255 classes, but got 1"):
        kind_from_record("segmentation", {"classes": ["a"]})


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # as where it is not installed
sys.path[:0] = sys.argv[1:]
import numpy as np
from PIL import Image
from stencilnet.kinds.catalog import kind_from_record, kinds
from stencilnet.kinds.kind import PictureKind
settings = {"segmentation": {"classes": ["a", "b"]}, "style": {"style": "painted:bands"},
            "classification": {"classes": ["a", "b"]}}
for name in kinds():
    task = kind_from_record(name, settings.get(name, {}))
    given = task.to_input(Image.new("RGB", (20, 30)))
    if isinstance(task, PictureKind):
        task.to_image(np.zeros((task.channels, 30, 20), np.float32), given)
    else:
        task.to_label(np.zeros(task.channels, np.float32))
print(*kinds())
print(sorted({"torchvision", "matplotlib", "skimage", "scipy", "yaml", "cattrs"} & set(sys.modules)))
"""


def without_torch(*paths: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", WITHOUT_TORCH, *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_inputs_and_answers_need_neither_torch_nor_another_heavy_library() -> None:
    done = without_torch(PACKAGE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [" ".join([*(kind.kind for kind in BUILT_IN), "negative"]), "[]"]


def test_a_kind_that_needs_torch_to_be_listed_is_named_where_there_is_none(tmp_path: Path) -> None:
    metadata = tmp_path / "stencilnet_both-1.0.dist-info"
    metadata.mkdir()
    (tmp_path / "both.py").write_text("import torch\n")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: stencilnet-both\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[stencilnet.tasks]\nboth = both:Both\n")
    done = without_torch(tmp_path)
    assert done.returncode == 1
    expected = "PluginError: Package 'stencilnet-both' registers 'both' in the entry point group `stencilnet.tasks` as "
    assert expected in done.stderr.splitlines()[-1]
    assert "torch" in done.stderr.splitlines()[-1]
