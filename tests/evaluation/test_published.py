"""The paper's Table 2 beside a run: with the paper's own results as the run, both lines must be equal."""

from dataclasses import replace

import pytest

from stencilnet.evaluation.matrix import Comparison
from stencilnet.evaluation.published import SIZES, TABLE2, table2_beside_ours
from stencilnet.evaluation.results import StageResult


def numbers(comparison: Comparison) -> list[tuple[list[float | None], list[float | None]]]:
    rows = table2_beside_ours(comparison).rows
    values = [[cell.value for cell in row[3:]] for row in rows]
    return list(zip(values[::2], values[1::2], strict=True))


def test_the_papers_results_are_the_papers_numbers(paper: list[StageResult]) -> None:
    *measured, (sizes, ours) = numbers(Comparison.of(paper))
    assert len(measured) == len(TABLE2) == 12
    for published, (theirs, own) in zip(TABLE2, measured, strict=True):
        wanted = [None, *own[1:]] if published.after > published.task else own
        assert theirs == wanted, published
        assert any(value is not None for value in own)
    assert ours == pytest.approx(sizes, abs=0.1)
    assert sizes == list(SIZES.values())


def test_every_task_says_where_its_numbers_are_from(paper: list[StageResult]) -> None:
    where = {"hardware": "one fast GPU", "commit": "abc123", "seed": 3, "date": "2026-11-22T10:00:00+00:00"}
    run = [replace(result, **where) for result in paper if result.task != "handbags"]
    table = table2_beside_ours(Comparison.of(run))
    assert table.notes[1] == "Task 1, ours: some data; one fast GPU, commit abc123, seed 3, 2026-11-22."
    assert len(table.notes) == 1 + 5
    bags = next(row for row in table.rows if row[0].text == "Task 6")
    place = table.rows.index(bags)
    assert [cell.text for cell in table.rows[place + 1][2:]] == ["ours", "-", "-", "-", "-"]


def test_nothing_run_is_all_dashes() -> None:
    assert all(value is None for _, ours in numbers(Comparison.of(())) for value in ours)
    assert "Task 3 after Task 4" in [row[0].text for row in table2_beside_ours(Comparison.of(())).rows]
