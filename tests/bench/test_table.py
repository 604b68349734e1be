"""Every row of the performance table runs, at a tiny size; what is timed is right, whatever the time."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.bundles import entropy_bytes
from benchmarks.figures import growth_figure, ratios_figure
from benchmarks.growth import Growth, Line, with_tasks
from benchmarks.machine import Measured
from benchmarks.networks import masked_delta, masked_network
from benchmarks.original import with_masked_layers
from benchmarks.render import growth_plain, rows_plain, rows_table
from benchmarks.report import measure
from benchmarks.rows import BenchRow, Found, NotHereError, Setting, Target, interleaved
from benchmarks.steps import Shape, _peak
from benchmarks.table import ROWS, Result, measure_rows
from stencilnet.evaluation.render import to_text
from stencilnet.masks import Masks
from stencilnet.models import UNet

from ..command_line import Stencil

SLOW = {"memory-large"}
"""Rows that are another's in all but the batch, and take a process each."""


HANGS_ON_THE_MACHINE = {"training", "auto"}
"""Rows that need bfloat16 instructions or a compiler."""


LONG = {"memory", "auto", "demo", "onnx-process"}
"""Rows that compile, train whole runs, or start several processes."""


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(device="cpu", width=4, size=64, repetitions=2, folder=tmp_path, say=lambda _: None)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(row.name, marks=pytest.mark.slow if row.name in LONG else ())
        for row in ROWS
        if row.name not in SLOW
    ],
)
def test_every_row_gives_numbers_or_a_reason(name: str, setting: Setting) -> None:
    (result,) = measure_rows(setting, [name])
    assert result.row.name == name
    if result.found is None:
        assert name in HANGS_ON_THE_MACHINE, result.reason
        assert result.reason
    else:
        for measured in (result.found.first, result.found.second):
            assert len(measured.values) == 2
            assert min(measured.values) > 0
        assert len(result.found.ratio.values) == 2
    assert list(setting.folder.iterdir()) == []


def test_names_of_rows_are_unique_and_checked(setting: Setting) -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    with pytest.raises(ValueError, match=r"rows among step, .* but got stp"):
        next(measure_rows(setting, ["stp"]))


def test_one_repetition_makes_no_ratio(tmp_path: Path) -> None:
    once = Setting(device="cpu", width=4, size=64, repetitions=1, folder=tmp_path, say=print)
    with pytest.raises(ValueError, match="at least 2 repetitions, but got 1"):
        next(measure_rows(once))


def test_both_sides_are_taken_in_every_repetition(setting: Setting) -> None:
    calls: list[str] = []
    times = interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, setting, calls=2)
    assert "".join(calls) == "ab" + "aabb" * 2  # once before, then two calls each a repetition
    assert {name: len(value.values) for name, value in times.items()} == {"a": 2, "b": 2}


@pytest.mark.parametrize(
    ("target", "reached", "missed", "text"),
    [
        (Target(most=1.02), 1.02, 1.03, "at most 1.02"),
        (Target(least=0.9), 0.9, 0.89, "at least 0.9"),
        (Target(least=0.99, most=1.01), 1.0, 1.02, "0.99 to 1.01"),
    ],
)
def test_targets(target: Target, reached: float, missed: float, text: str) -> None:
    assert target.met(reached)
    assert not target.met(missed)
    assert str(target) == text


def test_a_target_goes_by_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    usual, other, gpu = Target(least=1.3), Target(least=2.8), Target(least=5)
    one = replace(row("fast", usual), bf16=other, cuda=gpu)
    for has, device, expected in ((False, "cpu", usual), (True, "cpu", other), (True, "cuda", gpu)):
        monkeypatch.setattr("benchmarks.rows.has_fast_bf16", lambda _, has=has: has)
        assert one.on(device).target == expected
    assert row("plain", usual).on("cuda").target == usual
    assert replace(row("free", usual), cuda=Target()).on("cuda").target is None


def test_what_was_measured_is_there_before_the_rest(setting: Setting) -> None:
    reports = list(measure(setting, ["disk-half", "disk-tenth"], growth=False))
    assert [len(report.results) for report in reports] == [1, 2]


def test_a_stopped_bench_leaves_nothing_in_the_way_of_the_next(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmarks.growth.COUNTS", (1, 2))
    with monkeypatch.context() as patched:
        patched.setattr("benchmarks.growth.load", stopped)
        with pytest.raises(KeyboardInterrupt):
            with_tasks(setting)
    grown = with_tasks(setting)
    assert [line.places for line in grown.lines] == [(1, 2)] * 3
    assert all(value.spread[0] > 0 for line in grown.lines for value in line.values)
    assert list(setting.folder.iterdir()) == []


def test_the_originals_layers_learn_what_our_masks_learn() -> None:
    """The comparison is a fair one: the same outputs, and the same gradients of the same scores."""
    torch.manual_seed(0)
    network = UNet(width=2, channels=3)
    shared = {name: tensor.clone() for name, tensor in network.state_dict().items() if not name.startswith("head")}
    head = {name: tensor.clone() for name, tensor in network.state_dict().items() if name.startswith("head")}
    masks = Masks(shared, (), head, [name for name in shared if name.endswith("weight")])
    images = torch.rand(2, 3, 32, 32)
    ours = torch.func.functional_call(network, masks.weights(), (images,))
    ours.square().sum().backward()  # type: ignore[no-untyped-call]
    layers: nn.Module = with_masked_layers(network, "head")
    theirs = layers(images)
    theirs.square().sum().backward()
    torch.testing.assert_close(theirs, ours)
    reals = [parameter for name, parameter in layers.named_parameters() if name.endswith(".real")]
    for real, score in zip(reals, masks.groups()["mask"], strict=True):
        torch.testing.assert_close(real.grad, score.grad)


def test_entropy_is_counted_layer_by_layer() -> None:
    delta = masked_delta(masked_network(4, ()), 0.2, seed=1)
    expected = 0.0
    for mask in delta.masks.values():
        share = mask.unpack().mean()
        expected += mask.numel * -(share * np.log2(share) + (1 - share) * np.log2(1 - share)) / 8
    assert entropy_bytes(delta) == pytest.approx(expected)


def found(*ratios: float) -> Found:
    return Found(
        unit="ms",
        first=Measured(values=(101, 103)),
        second=Measured(values=(100, 100)),
        ratio=Measured(values=ratios),
        note="width 4",
    )


@pytest.mark.slow
def test_a_childs_memory_is_its_own() -> None:
    held = torch.ones(100, 2**20)  # 400 MiB here must not count there
    small, large = (_peak("weights", Shape(width=8, size=size, batch=4), "cpu") for size in (32, 128))
    assert large - small > 4 * 8 * 4 * (128**2 - 32**2), "at least the first level's activations"
    assert held.sum() == held.numel()


def row(name: str, target: Target | None) -> BenchRow:
    return BenchRow(name=name, what=f"what of {name}", against="that", target=target, measure=lambda _: found(1, 1))


RESULTS = (
    Result(row=row("good", Target(most=1.05)), found=found(1.01, 1.03)),
    Result(row=row("bad", Target(least=2)), found=found(1.5, 1.7)),
    Result(row=row("beside", None), found=found(1.4, 1.4)),
    Result(row=row("absent", Target(least=2)), found=None, reason="there is no GPU here"),
)


def test_the_table_says_all() -> None:
    text = to_text(rows_table(RESULTS, 2))
    lines = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert " ".join(lines["good"].split()) == "good 1.02 (1.01-1.03) at most 1.05 yes 102 100 ms"
    assert "no" in lines["bad"].split()
    assert " ".join(lines["absent"].split()) == "absent - at least 2 - - -"
    assert "good: what of good against that (width 4)." in text
    assert "absent: what of absent against that (not measured: there is no GPU here)." in text


def test_numbers_as_json() -> None:
    good, bad, beside, absent = (json.loads(json.dumps(rows_plain(result))) for result in RESULTS)
    assert good["met"] is True
    assert good["ratio"] == {"median": 1.02, "values": [1.01, 1.03]}
    assert bad["met"] is False
    assert beside["met"] is None
    assert beside["target"] is None
    assert absent["reason"] == "there is no GPU here"
    assert "ratio" not in absent


def test_plots() -> None:
    (axes,) = ratios_figure(RESULTS).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["good", "bad"]
    # of two repetitions, the mark is in the middle, on the side that the table says
    near = Result(row=row("near", Target(most=1)), found=found(0.98, 1.04))
    (drawn,) = ratios_figure([near]).axes
    span, mark, _ = drawn.lines
    assert mark.get_marker() == "X"
    assert list(mark.get_xdata()) == pytest.approx([1 / 1.01])
    assert list(span.get_xdata()) == pytest.approx([1 / 1.04, 1 / 0.98])
    line = Line(name="open", places=(1, 10), values=(Measured(values=(1, 2)), Measured(values=(3, 5))))
    grown = Growth(title="Tasks", axis="tasks", lines=(line,))
    (axes,) = growth_figure(grown).axes
    assert axes.get_xlabel() == "tasks"
    assert growth_plain(grown)["lines"]["open"][1] == {"at": 10, "median": 4, "values": [3, 5]}


@pytest.mark.parametrize("bf16", [False, True])
def test_without_a_compiler_the_fast_path_is_bf16_or_nothing(
    bf16: bool, setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("benchmarks.steps", "stencilnet.inference.forward"):
        monkeypatch.setattr(f"{module}.can_compile", lambda _: False)
    for module in ("benchmarks.steps", "stencilnet.inference.forward", "stencilnet.training.settings"):
        monkeypatch.setattr(f"{module}.has_fast_bf16", lambda _: bf16)
    results = {name: next(measure_rows(setting, [name])) for name in ("training", "auto")}
    if bf16:
        notes = {name: result.found.note for name, result in results.items() if result.found is not None}
        assert notes["training"] == "width 4, 32 px, batch 4, bf16"
        assert notes["auto"].startswith("bf16; width 4, 64 px")
    else:
        assert {name: result.found for name, result in results.items()} == {"training": None, "auto": None}
        assert "no bfloat16 instructions" in results["auto"].reason


def test_what_is_not_here_is_told(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_: Setting) -> Found:
        raise NotHereError("no such thing")

    from benchmarks import table

    lost = BenchRow(name="lost", what="a", against="b", target=None, measure=absent)
    monkeypatch.setattr(table, "ROWS", (lost,))
    assert list(measure_rows(setting)) == [Result(row=lost, found=None, reason="no such thing")]


def test_the_command(stencil: Stencil, tmp_path: Path) -> None:
    words = "--device cpu --width 4 --size 64 --row disk-tenth --row switch --repetitions 2 --json --out here"
    done = stencil("bench", *words.split(), cwd=tmp_path)
    report = json.loads(done.stdout)
    assert [entry["row"] for entry in report["rows"]] == ["switch", "disk-tenth"]
    assert report["machine"]["torch"]
    assert (report["width"], report["size"], report["repetitions"]) == (4, 64, 2)
    assert "measuring switch" in done.stderr
    files = {path.name for path in (tmp_path / "here").iterdir()}
    assert files == {"bench.json", "bench.md", "ratios.svg"}
    assert json.loads((tmp_path / "here" / "bench.json").read_text()) == report


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--row nothing", "Expected rows among"),
        ("--only colour", "--only requires a CONFIG"),
        ("--batches 8", "--batches requires a CONFIG"),
        ("--workers 0 --root .", "--root and --workers require a CONFIG"),
        ("demo/tiny --width 8", "--width cannot be combined with a CONFIG"),
        (
            "demo/tiny --device cpu --no-growth --out here",
            "--device, --growth and --out cannot be combined with a CONFIG",
        ),
        ("--repetitions 1 --row switch", "at least 2 repetitions"),
    ],
)
def test_usage_errors(words: str, message: str, stencil: Stencil, tmp_path: Path) -> None:
    done = stencil("bench", *words.split(), cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""
