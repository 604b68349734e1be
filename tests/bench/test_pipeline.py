"""Rates with their spread, a ratio only of several, and what is printed of them."""

import dataclasses
import json
import logging
from pathlib import Path

import pytest

from benchmarks.machine import Measured, machine, ratio
from benchmarks.pipeline import Pass, PipelineRow, measure_pipeline
from benchmarks.render import pipeline_plain, pipeline_table
from stencilnet.config.reading import read_config
from stencilnet.config.schema import Experiment
from stencilnet.evaluation.render import to_text

from ..command_line import Stencil

ROOT = Path()


def rate(*values: float) -> Measured:
    return Measured(values=values)


@pytest.fixture(scope="module")
def tiny() -> Experiment:
    return read_config("demo/tiny")


def test_a_rate_is_its_median_and_its_spread() -> None:
    assert rate(3, 1, 8).median == 3
    assert rate(3, 1, 8).spread == (1, 8)
    assert ratio(rate(4, 9), rate(2, 3)) == rate(2, 3)


def test_one_repetition_makes_no_number(tiny: Experiment) -> None:
    with pytest.raises(ValueError, match="at least 2 repetitions, but got 1"):
        rate(5)
    with pytest.raises(ValueError, match="so it gives no ratio"):
        next(measure_pipeline(tiny, ROOT, workers=(0,), repetitions=1, say=print))
    with pytest.raises(ValueError, match="at least 2 batches, but got 1"):
        next(measure_pipeline(tiny, ROOT, workers=(0,), batches=1, say=print))


@pytest.mark.slow
def test_every_task_is_measured(tiny: Experiment, caplog: pytest.LogCaptureFixture) -> None:
    said: list[str] = []
    chosen = ("swirls", "edges")
    with caplog.at_level(logging.WARNING):
        rows = list(
            measure_pipeline(tiny, ROOT, workers=(0, 2), only=chosen, batches=3, repetitions=2, say=said.append)
        )
    assert said == [f"measuring {name}" for name in chosen]
    assert caplog.records == []
    for row, name in zip(rows, chosen, strict=True):
        assert (row.task, row.batch, row.crop, row.images) == (name, 4, 32, 12)
        assert [found.workers for found in row.passes] == [0, 2]
        for found in row.passes:
            for measured in (row.step, found.cold, found.warm, found.busy):
                assert len(measured.values) == 2
                assert min(measured.values) > 0
            assert found.busy == ratio(found.warm, row.step)


def test_few_images_are_loaded_more_than_once(tiny: Experiment) -> None:
    plan = tiny.tasks[0]
    source = dataclasses.replace(plan.data.train, count=3)
    few = dataclasses.replace(plan, data=dataclasses.replace(plan.data, train=source))
    (row,) = measure_pipeline(
        dataclasses.replace(tiny, tasks=(few,), methods=tiny.methods[:1]),
        ROOT,
        workers=(1,),
        batches=2,
        repetitions=2,
        say=lambda _: None,
    )
    assert row.images == 3


def test_the_table_says_all(tiny: Experiment) -> None:
    found = Pass(workers=4, cold=rate(10, 12, 14), warm=rate(100, 1200, 1300), busy=rate(0.5, 2, 4))
    row = PipelineRow(task="things", batch=8, crop=256, images=64, step=rate(400, 600, 325), passes=(found,))
    text = to_text(pipeline_table([row]))
    line = next(line for line in text.splitlines() if line.startswith("things"))
    for part in ("8 x 256 px", "400 (325-600)", " 4 ", "12 (10-14)", "1,200 (100-1,300)", "2 (0.5-4)"):
        assert part in line
    assert "Below 1 the device waits" in text
    plain = json.loads(json.dumps(pipeline_plain(row)))
    assert plain["step"] == {"median": 400, "values": [400, 600, 325]}
    assert plain["passes"][0]["warm_by_step"]["median"] == 2


def test_the_machine_is_named() -> None:
    facts = machine("cpu")
    assert {"date", "commit", "torch", "cpu", "cores", "threads", "hardware"} <= facts.keys()
    assert facts["cpu"] in facts["hardware"]


def test_the_command(stencil: Stencil, tmp_path: Path) -> None:
    words = "bench demo/tiny --only colour --workers 0 --batches 2 --repetitions 2 --json"
    done = stencil(*words.split(), cwd=tmp_path)
    found = json.loads(done.stdout)
    assert found["repetitions"] == 2
    assert found["machine"]["torch"]
    assert [row["task"] for row in found["pipeline"]] == ["colour"]
    assert [entry["workers"] for entry in found["pipeline"][0]["passes"]] == [0]
    assert "measuring colour" in done.stderr
    assert list(tmp_path.iterdir()) == []
