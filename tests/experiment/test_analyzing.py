"""What `stencil analyze` writes of a bundle, and which ceilings it takes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import stencilnet as sn
from stencilnet.bundle import TaskRecord
from stencilnet.delta import BitMask, Quantized, Replace, Seed, Seeded, Select, TaskDelta
from stencilnet.experiment.analyzing import analyze_bundle
from stencilnet.masks import array_of
from stencilnet.models import MultiTaskNet


def masked(net: MultiTaskNet, seed: int) -> TaskDelta:
    """Bits, half of them the same for every seed."""
    common, own = torch.Generator().manual_seed(0), torch.Generator().manual_seed(seed)
    entries: dict[str, Any] = {}
    for name in net.layout.masked:
        shape = net.state.shared[name].shape
        base, drawn, chosen = (torch.rand(shape, generator=generator) for generator in (common, own, own))
        entries[name] = Select(BitMask.pack(torch.where(chosen < 0.7, base, drawn) > 0.5))
    return TaskDelta(entries | {name: Replace(array_of(tensor)) for name, tensor in net.fresh_head(3, own).items()})


def moved(net: MultiTaskNet, seed: int, *, seeded: bool = False) -> TaskDelta:
    """Codes from -2 to 2; a third of them are the same for every seed."""
    common, own = torch.Generator().manual_seed(0), torch.Generator().manual_seed(seed)
    entries: dict[str, Any] = {}
    for name in net.layout.masked:
        shape = net.state.shared[name].shape
        base, drawn = (torch.randn(shape, generator=g).mul(0.8).round().clamp(-2, 2) for g in (common, own))
        chosen = torch.rand(shape, generator=own)
        change = Quantized(array_of(torch.where(chosen < 0.6, base, drawn).to(torch.int8)), np.array(0.01, np.float32))
        entries[name] = Seeded(Seed.of(0, name, tuple(shape)), change) if seeded else change
    return TaskDelta(entries | {name: Replace(array_of(tensor)) for name, tensor in net.fresh_head(3, own).items()})


def record(distance: str = "l1", method: str = "piggyback") -> TaskRecord:
    return TaskRecord(kind="restoration", channels=3, method=method, settings={"distance": distance})


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    net = sn.MultiTaskNet(sn.UNet(width=1))
    head = TaskDelta({name: Replace(array_of(t)) for name, t in net.fresh_head(3, torch.Generator()).items()})
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
        (
            ("sharp", "nobody"),
            r"two tasks with masks or codes \(sharp, other, sharp-2, copied\), but there is no 'nobody'",
        ),
        (("sharp", "first"), "but 'first' has none"),
        (("sharp", "other"), r"the two differ in settings \(\{'distance': 'l1'\}, \{'distance': 'l2'\}\)"),
        (("sharp", "copied"), "but the masks or codes are identical"),
        (("sharp", "sharp"), "but the masks or codes are identical"),
    ],
)
def test_a_ceiling_must_be_one_task_learned_twice(
    pair: tuple[str, str], message: str, bundle: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        analyze_bundle(bundle, tmp_path / "out", [pair])
    assert not (tmp_path / "out").exists()


def saved(path: Path, deltas: dict[str, TaskDelta], records: dict[str, TaskRecord]) -> Path:
    net = sn.MultiTaskNet(sn.UNet(width=1))
    sn.save(net.with_state(state(net, deltas), records), path)
    return path


def quantized_record(distance: str = "l1") -> TaskRecord:
    return record(distance, "quantized_delta")


def test_quantised_tasks_are_analysed_by_their_codes(tmp_path: Path) -> None:
    net = sn.MultiTaskNet(sn.UNet(width=1))
    deltas = {"sharp": moved(net, 1), "other": moved(net, 2), "sharp-2": moved(net, 3)}
    records = {"sharp": quantized_record(), "other": quantized_record("l2"), "sharp-2": quantized_record()}
    written = analyze_bundle(saved(tmp_path / "bundle", deltas, records), tmp_path / "out", [("sharp", "sharp-2")])
    assert [path.name for path in written][-2:] == ["kappa-layers.svg", "masks.json"]
    found = json.loads((tmp_path / "out" / "masks.json").read_text())
    assert found["kinds"] == dict.fromkeys(deltas, "quantized")
    codes = {
        task: np.concatenate([delta.entries[name].codes.reshape(-1) for name in net.layout.masked])  # type: ignore[attr-defined]
        for task, delta in deltas.items()
    }
    for task, own in codes.items():
        assert found["zero_ratio"][task]["total"] == pytest.approx(float((own == 0).mean()))
    agreement = {(row["first"], row["second"]): row["value"] for row in found["agreement"]}
    assert agreement["all zeros", "sharp"] == pytest.approx(found["zero_ratio"]["sharp"]["total"])
    equal = (codes["sharp"] == codes["other"]).mean()
    assert agreement["sharp", "other"] == pytest.approx(float(equal))
    assert [row["ceiling"] for row in found["kappa_layers"]] == [False, True, False]
    assert all(0 < row["layers"]["conv5_1.weight"] < 1 for row in found["kappa_layers"])
    assert "Ratio of 0 in the codes of sharp" in (tmp_path / "out" / "zeros-sharp.svg").read_text()
    assert "between codes, by layer" in (tmp_path / "out" / "kappa-layers.svg").read_text()


def test_masks_and_codes_of_one_bundle_are_analysed_apart(tmp_path: Path) -> None:
    net = sn.MultiTaskNet(sn.UNet(width=1))
    head = TaskDelta({name: Replace(array_of(t)) for name, t in net.fresh_head(3, torch.Generator()).items()})
    deltas = {"first": head, "a": masked(net, 1), "b": moved(net, 2), "c": masked(net, 3), "d": moved(net, 4)}
    deltas["seeded"] = moved(net, 5, seeded=True)
    records = {name: quantized_record() if name in ("b", "d", "seeded") else record() for name in deltas}
    records["first"] = record(method="backbone")
    written = analyze_bundle(saved(tmp_path / "bundle", deltas, records), tmp_path / "out")
    assert [path.name for path in written] == [
        *(f"zeros-{task}.svg" for task in "abcd"),
        "kappa-layers-select.svg",
        "kappa-layers-quantized.svg",
        "masks.json",
    ]
    assert all(path.exists() for path in written)
    found = json.loads((tmp_path / "out" / "masks.json").read_text())
    assert found["kinds"] == {"a": "select", "c": "select", "b": "quantized", "d": "quantized"}
    for name in ("agreement", "kappa"):
        pairs = [(row["first"], row["second"]) for row in found[name]]
        assert pairs == [("first", "a"), ("first", "c"), ("a", "c"), ("first", "b"), ("first", "d"), ("b", "d")]
    assert [(row["first"], row["second"]) for row in found["kappa_layers"]] == [("a", "c"), ("b", "d")]
    with pytest.raises(ValueError, match=r"the two differ in method \('piggyback', 'quantized_delta'\)"):
        analyze_bundle(tmp_path / "bundle", tmp_path / "none", [("a", "b")])


def test_one_task_of_each_kind_has_no_pairs(tmp_path: Path) -> None:
    net = sn.MultiTaskNet(sn.UNet(width=1))
    records = {"a": record(), "b": quantized_record()}
    written = analyze_bundle(saved(tmp_path / "bundle", {"a": masked(net, 1), "b": moved(net, 2)}, records), tmp_path)
    assert [path.name for path in written] == ["zeros-a.svg", "zeros-b.svg", "masks.json"]
    found = json.loads((tmp_path / "masks.json").read_text())
    assert [row["first"] for row in found["agreement"]] == ["all ones", "all zeros"]


def test_tasks_over_seeded_weights_alone_have_nothing_to_compare(tmp_path: Path) -> None:
    net = sn.MultiTaskNet(sn.UNet(width=1))
    bundle = saved(tmp_path / "bundle", {"a": moved(net, 1, seeded=True)}, {"a": quantized_record()})
    with pytest.raises(
        ValueError, match=r"tasks with masks or codes in .*, but it has none \(tasks: a\)\. Learn one by"
    ):
        analyze_bundle(bundle, tmp_path / "out")
