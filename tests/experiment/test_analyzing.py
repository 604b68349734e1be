"""What `stencil analyze` writes of a bundle, and which ceilings it takes."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import stencilnet as sn
from stencilnet.experiment.analyzing import analyze_bundle
from stencilnet.masks import BitMask, Replace, Select, TaskDelta
from stencilnet.models import MultiTaskNet, TaskRecord


def masked(net: MultiTaskNet, seed: int) -> TaskDelta:
    """Bits, half of them the same for every seed."""
    common, own = torch.Generator().manual_seed(0), torch.Generator().manual_seed(seed)
    entries: dict[str, Any] = {}
    for name in net.layout.masked:
        shape = net.state.shared[name].shape
        base, drawn, chosen = (torch.rand(shape, generator=generator) for generator in (common, own, own))
        entries[name] = Select(BitMask.pack(torch.where(chosen < 0.7, base, drawn) > 0.5))
    return TaskDelta(entries | {name: Replace(tensor) for name, tensor in net.fresh_head(3, own).items()})


def record(distance: str = "l1", method: str = "piggyback") -> TaskRecord:
    return TaskRecord(kind="restoration", channels=3, method=method, settings={"distance": distance})


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    net = sn.MultiTaskNet(sn.UNet(width=2))
    head = TaskDelta({name: Replace(t) for name, t in net.fresh_head(3, torch.Generator()).items()})
    deltas = {"first": head, "sharp": masked(net, 1), "other": masked(net, 2), "sharp-2": masked(net, 3)}
    deltas["copied"] = deltas["sharp"]
    records = {"first": record(method="backbone"), "sharp": record(), "other": record("l2"), "sharp-2": record()}
    path = tmp_path_factory.mktemp("desk") / "bundle"
    sn.save(net.with_state(state(net, deltas), {**records, "copied": record()}), path)
    return path


def state(net: MultiTaskNet, deltas: dict[str, TaskDelta]) -> Any:
    found = net.state
    for name, delta in deltas.items():
        found = found.add(name, delta)
    return found


def test_kappa_is_told_by_layer_beside_its_ceiling(bundle: Path, tmp_path: Path) -> None:
    written = analyze_bundle(bundle, tmp_path, [("sharp-2", "sharp")])
    assert [path.name for path in written][-2:] == ["kappa-layers.svg", "masks.json"]
    found = json.loads((tmp_path / "masks.json").read_text())
    rows = {(row["first"], row["second"]): row for row in found["kappa_layers"]}
    assert [pair for pair, row in rows.items() if row["ceiling"]] == [("sharp", "sharp-2")]
    net = sn.load(bundle)
    assert list(rows["sharp", "other"]["layers"]) == list(net.layout.masked)
    assert rows["sharp", "copied"]["layers"]["conv5_1.weight"] == 1.0
    weights = net.state.shared["conv5_1.weight"].numel()
    assert rows["sharp", "other"]["by_chance"]["conv5_1.weight"] == pytest.approx(weights**-0.5, rel=0.05)
    figure = (tmp_path / "kappa-layers.svg").read_text()
    assert "sharp · sharp-2 (ceiling)" in figure


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (("sharp", "nobody"), r"two tasks with masks \(sharp, other, sharp-2, copied\), but there is no 'nobody'"),
        (("sharp", "first"), "but 'first' has none"),
        (("sharp", "other"), r"the two differ in settings \(\{'distance': 'l1'\}, \{'distance': 'l2'\}\)"),
        (("sharp", "copied"), "but it is one mask"),
        (("sharp", "sharp"), "but it is one mask"),
    ],
)
def test_a_ceiling_must_be_one_task_learned_twice(
    pair: tuple[str, str], message: str, bundle: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        analyze_bundle(bundle, tmp_path / "out", [pair])
    assert not (tmp_path / "out").exists()
