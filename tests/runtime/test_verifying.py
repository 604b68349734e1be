"""Verifying covers the graph of another network: it is this backbone's, and ONNX Runtime loads it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from stencilnet.bundle import BundleError, merge, pack_task, remove_task
from stencilnet.bundle import verify as verify_files
from stencilnet.bundle.format import GRAPH
from stencilnet.runtime import Engine
from stencilnet.runtime.verifying import verify

from ..command_line import Stencil
from ..graphs.other import GOLDEN, change_graph, other_bundle


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return other_bundle(tmp_path / "other")


def of_another(model: ModelProto) -> None:
    next(entry for entry in model.metadata_props if entry.key == "backbone").value = "0" * 64


def of_another_shape(model: ModelProto) -> None:
    next(tensor for tensor in model.graph.initializer if tensor.name == "conv1_1.weight").dims[0] = 7


def of_a_later_opset(model: ModelProto) -> None:
    model.opset_import[0].version = 999


def of_a_missing_node(model: ModelProto) -> None:
    del model.graph.node[0]


def test_the_graph_is_checked(other: Path) -> None:
    report = verify(other)
    assert report.ok
    assert report.findings == ()
    assert set(report.checked) == {*verify_files(other).checked, str(other / GRAPH)}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (of_another, "the graph of another backbone"),
        (of_another_shape, "another weight `conv1_1.weight`"),
        (of_a_later_opset, "a graph that ONNX Runtime cannot load"),
        (of_a_missing_node, "a graph that ONNX Runtime cannot load"),
    ],
)
def test_a_graph_at_fault_is_a_finding(change: Callable[[ModelProto], object], what: str, other: Path) -> None:
    change_graph(other, change)
    (finding,) = verify(other).findings
    assert (finding.file, finding.what) == (str(other / GRAPH), what)
    assert "Write it again: stencil export BUNDLE --graph" in finding.remedy
    assert not finding.leftover
    with pytest.raises(BundleError, match=what):
        Engine(other).forward(np.zeros((3, 32, 32), np.float32), "clean")


def test_a_damaged_graph_is_found_beside_other_damage(other: Path) -> None:
    (other / GRAPH).write_bytes(b"no graph")
    (other / "tasks" / "colour" / "task.json").write_text("{}")
    assert [finding.what for finding in verify(other).findings] == ["not a file of this format", "not a graph"]
    (other / "model.safetensors").unlink()
    assert [finding.what for finding in verify(other).findings] == ["missing", "not a file of this format"]


def test_bundles_without_a_graph_are_verified_as_before(other: Path, tmp_path: Path) -> None:
    known = shutil.copytree(GOLDEN / "v1", tmp_path / "known")
    (known / GRAPH).write_bytes(b"of no meaning here")
    (other / GRAPH).unlink()
    for bundle in (known, other):
        assert verify(bundle) == verify_files(bundle)
        assert verify(bundle).ok


def test_changes_of_tasks_keep_the_graph(other: Path, tmp_path: Path) -> None:
    before = (other / GRAPH).read_bytes()
    (tmp_path / "clean.zip").write_bytes(pack_task(other, "clean"))
    remove_task(other, "clean")
    assert merge(other, [GOLDEN / "v1-entropy", tmp_path / "clean.zip"]).added == ("clean", "uneven")
    assert (other / GRAPH).read_bytes() == before
    assert verify(other).ok
    assert Engine(other).forward(np.zeros((3, 32, 32), np.float32), "uneven").shape[1:] == (32, 32)


def test_the_command(stencil: Stencil, other: Path) -> None:
    done = stencil("verify", str(other))
    files = len(verify_files(other).checked)
    said = f"{other}: {files} files match their recorded hashes, and {GRAPH} is the graph of this backbone\n"
    assert (done.returncode, done.stdout) == (0, said)
    change_graph(other, of_another)
    done = stencil("verify", str(other), "--json")
    assert done.returncode == 1
    assert [finding["what"] for finding in json.loads(done.stdout)["findings"]] == ["the graph of another backbone"]
