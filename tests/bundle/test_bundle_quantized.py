"""Bundles of quantised and seeded tasks are edited as all others: merged, removed from, verified, bit for bit."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from stencilnet.bundle import BundleError, add_task, merge, remove_task, verify
from stencilnet.bundle.tensors import encode_delta
from stencilnet.delta import Quantized, TaskDelta
from stencilnet.masks import arrays_of
from stencilnet.models import load

GOLDEN = Path(__file__).parent / "golden" / "v1-quantized"
"""``colour`` moves the backbone's weights, ``drawn`` those of seeds."""

AsBytes = Callable[[Mapping[str, Tensor]], Any]
FileBytes = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    shutil.copytree(GOLDEN, tmp_path / "bundle")
    return tmp_path / "bundle"


def without(bundle: Path, task: str, folder: Path) -> Path:
    shutil.copytree(bundle, folder)
    remove_task(folder, task)
    return folder


def test_merged_they_are_the_same_files(bundle: Path, tmp_path: Path, file_bytes: FileBytes) -> None:
    one, other = (without(bundle, task, tmp_path / task) for task in ("colour", "drawn"))
    assert merge(one, [other]).added == ("colour",)
    tasks = {name: data for name, data in file_bytes(one).items() if name != "README.md"}
    assert tasks == {name: data for name, data in file_bytes(bundle).items() if name != "README.md"}
    assert merge(one, [bundle, bundle / "tasks" / "drawn"]).present == ("colour", "drawn")
    assert verify(one).ok


@pytest.mark.parametrize(("gone", "left"), [("colour", "drawn"), ("drawn", "colour")])
def test_removing_one_leaves_the_other(gone: str, left: str, bundle: Path, as_bytes: AsBytes) -> None:
    before = as_bytes(load(bundle).state.weights(left))
    remove_task(bundle, gone)
    net = load(bundle)
    assert net.tasks == (left,)
    assert as_bytes(net.state.weights(left)) == before
    assert verify(bundle).ok


def test_a_mask_beside_them_changes_nothing(
    bundle: Path, make_delta: Callable[..., TaskDelta], records: dict[str, Any], as_bytes: AsBytes
) -> None:
    net = load(bundle)
    before = {task: as_bytes(net.state.weights(task)) for task in net.tasks}
    add_task(bundle, "mask", records["colour"], make_delta(net, "piggyback", 2, 0), shared=arrays_of(net.state.shared))
    after = load(bundle)
    assert after.tasks == ("colour", "drawn", "mask")
    assert {task: as_bytes(after.state.weights(task)) for task in net.tasks} == before
    assert verify(bundle).ok


@pytest.mark.parametrize("task", ["colour", "drawn"])
@pytest.mark.parametrize("place", [0, 100, -1])
def test_a_changed_byte_is_found(task: str, place: int, bundle: Path) -> None:
    (file,) = (bundle / "tasks" / task).glob("delta-*")
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)
    (finding,) = verify(bundle).findings
    assert (Path(finding.file), finding.what) == (file, "changed since it was written")


def test_codes_of_another_backbone_are_refused(bundle: Path, records: dict[str, Any]) -> None:
    net = load(bundle)
    name = net.layout.masked[0]
    wide = np.zeros((*net.state.shared[name].shape[:-1], 5), np.int8)
    entries = {**net.deltas["colour"].entries, name: Quantized(wide, np.array(0.5, np.float32))}
    with pytest.raises((BundleError, ValueError), match="to have the shape"):
        add_task(bundle, "wide", records["colour"], TaskDelta(entries), shared=arrays_of(net.state.shared))
    assert load(bundle).tasks == ("colour", "drawn")


def test_their_bytes_are_about_their_entropy() -> None:
    """Against the entropy of each layer's codes by NumPy; short layers pay for their table."""
    drawn = np.random.default_rng(0).standard_normal((64, 64, 3, 3))
    codes = np.clip(np.rint(0.6 * drawn), -3, 3).astype(np.int8)
    shares = np.unique(codes, return_counts=True)[1] / codes.size
    bits = float(-(shares * np.log2(shares)).sum())
    stored = len(encode_delta(TaskDelta({"w": Quantized(codes, np.array(0.5, np.float32))}))) - 8
    assert 8 * stored / codes.size == pytest.approx(bits, rel=0.05)
