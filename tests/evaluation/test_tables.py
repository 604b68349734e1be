"""The paper's own numbers in, the paper's own tables out."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import pytest

from stencilnet.evaluation.details import duration, forgetting_table, size_table, training_table
from stencilnet.evaluation.matrix import Comparison
from stencilnet.evaluation.render import Table
from stencilnet.evaluation.results import StageResult
from stencilnet.evaluation.tables import metric_title, table1, table2, table3
from stencilnet.tasks.task import Metric


def texts(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


def row(table: Table, first: str, second: str = "") -> tuple[list[str], str]:
    """The numbers of a row, and which of them is marked."""
    (cells,) = [r for r in table.rows if r[0].text == first and r[1].text.startswith(second)]
    return [cell.text for cell in cells[2:]], " ".join(cell.text for cell in cells if cell.best)


@pytest.fixture
def comparison(paper: list[StageResult]) -> Comparison:
    return Comparison.of(paper)


def test_table_1_describes_every_task_once(comparison: Comparison) -> None:
    table = table1(comparison)
    assert table.columns == ("", "category", "data", "input", "output", "loss", "metric")
    assert len(table.rows) == 6
    assert texts(table)[2] == ["Task 3 · COLOUR", "a category", "some data", "RGB", "RGB", "L2", "MSE ↓ ², SSIM ↑"]
    assert texts(table)[5][-1] == "MSE ↓ ²"
    assert table.notes == ("¹ mIoU: %", "² MSE: RGB, 0-255", "³ total loss: VGG16")


def test_table_2_is_the_papers(comparison: Comparison) -> None:
    table = table2(comparison)
    assert table.columns == ("", "metric", "scratch", "fine-tune", "decoder", "Piggyback", "trivial")
    assert row(table, "Task 1 · COCO") == (["21.47"] * 4 + ["-"], "")
    assert row(table, "Task 2 · VOC") == (["58.59", "64.87", "61.63", "61.45", "-"], "64.87")
    colour = (["244.00", "237.92", "241.66", "242.49", "250.00"], "237.92")
    assert row(table, "Task 3 · COLOUR", "MSE ↓") == colour
    assert row(table, "Task 3 · COLOUR", "SSIM ↑")[1] == "0.9148"
    assert row(table, "Task 4 · GOGH", "SSIM ↑") == (["0.3678", "0.3555", "0.3595", "0.3501", "-"], "0.3678")
    assert row(table, "Task 4 · GOGH", "total loss")[1] == "405,893"
    assert row(table, "Task 5 · MUNCH")[1] == "447,480"
    assert row(table, "Task 6 · HANDBAGS")[1] == "207.76"


def test_table_2_retests_each_task_after_the_next(comparison: Comparison) -> None:
    table = table2(comparison)
    assert row(table, "Task 1 after Task 2") == (["-", "0.70", "21.47", "21.47", "-"], "21.47 21.47")
    assert row(table, "Task 2 after Task 3") == (["-", "1.87", "61.63", "61.45", "-"], "61.63")
    assert row(table, "Task 3 after Task 4", "MSE") == (["-", "870.18", "241.66", "242.49", "-"], "241.66")
    assert row(table, "Task 3 after Task 4", "SSIM") == (["-", "0.5321", "0.9121", "0.9058", "-"], "0.9121")
    assert row(table, "Task 4 after Task 5", "SSIM")[0] == ["-", "-", "0.3595", "0.3501", "-"]
    assert row(table, "Task 5 after Task 6")[0][1] == "2,000,000"


def test_table_2_ends_with_the_papers_sizes_and_the_one_moving_network(comparison: Comparison) -> None:
    sizes, best = row(table2(comparison), "Model size")
    assert [text.partition(" ")[0] for text in sizes] == ["338.40", "338.40", "158.90", "65.40", "-"]
    assert best.startswith("65.40 (56.38 + 9.02)")
    assert sizes[1] == "338.40 (6 snapshots)"
    assert row(table2(comparison), "One network + all heads") == (["-", "56.50", "-", "-", "-"], "")


def test_table_2_tells_what_tasks_take_on_disk_and_to_run(paper: list[StageResult]) -> None:
    counts = {"backbone": 32e9, "scratch": 32e9, "finetune": 32e9, "decoder": 32e9, "piggyback": 33e9}
    told = [replace(r, stored=2**20, multiply_adds=round(counts[r.method])) if r.method in counts else r for r in paper]
    table = table2(Comparison.of(told))
    shared = 56.38
    assert row(table, "On disk, masks coded") == (
        [f"{size:.2f}" for size in (6 + shared, 6 * shared + 6, 6 + shared, 6 + shared)] + ["-"],
        " ".join([f"{6 + shared:.2f}"] * 3),
    )
    assert row(table, "Running a task, 256 px")[0] == ["32.00", "32.00", "32.00", "33.00", "-"]
    older = [replace(r, stored=None) if r.method == "decoder" and r.task == "voc" else r for r in told]
    assert row(table2(Comparison.of(older)), "On disk, masks coded")[0][2] == "-"
    assert not [r for r in texts(table2(Comparison.of(paper))) if r[0].startswith(("On disk", "Running"))]


def test_a_trivial_baseline_is_never_marked_but_told_where_it_wins(comparison: Comparison) -> None:
    table = table2(comparison)
    numbers, best = row(table, "Task 3 · COLOUR", "SSIM")
    assert numbers == ["0.9138", "0.9148", "0.9121", "0.9058", "0.9200"]
    assert best == "0.9148"
    assert "The trivial baseline is at least as good as every method at: Task 3 SSIM." in table.notes
    assert "Trivial baselines: gray (Task 3)." in table.notes


def test_an_unfinished_comparison_shows_dashes(paper: list[StageResult]) -> None:
    some = [r for r in paper if (r.method, r.task) in {("backbone", "coco"), ("piggyback", "voc"), ("decoder", "gogh")}]
    table = table2(Comparison.of(some))
    assert row(table, "Task 2 · VOC") == (["-", "61.45", "-"], "")
    sizes, best = row(table, "Model size")
    assert (sizes[1], best) == ("58.20 (56.38 + 1.82; 2 of 3 tasks)", "")
    assert not [r for r in texts(table) if r[0] == "One network + all heads"]


def test_a_diverged_method_is_not_the_best(build) -> None:
    results = [build("scratch", "voc", {"voc": (float("nan"),)}), build("piggyback", "voc", {"voc": (3.0,)})]
    assert row(table2(Comparison.of(results)), "Task 2 · VOC") == (["nan", "3.000", "-"], "3.000")


def test_values_that_look_the_same_are_all_marked_or_none(build) -> None:
    numbers = {"scratch": 61.4512, "decoder": 61.4513, "piggyback": 60.0}
    results = [build(method, "voc", {"voc": (value,)}) for method, value in numbers.items()]
    assert row(table2(Comparison.of(results)), "Task 2 · VOC")[1] == "61.45 61.45"
    assert row(table2(Comparison.of(results[:2])), "Task 2 · VOC")[1] == ""


def test_notes_of_results_are_told_once(paper: list[StageResult]) -> None:
    noted = [replace(result, notes=("Perceptual network: a stand-in.",)) for result in paper]
    assert table2(Comparison.of(noted)).notes.count("Perceptual network: a stand-in.") == 1


def test_the_forgetting_table_names_each_states_parent(comparison: Comparison) -> None:
    table = forgetting_table(comparison, "finetune")
    heads = ("after learning", "starts from", "Task 1 mIoU ↑ ¹", "Task 2 mIoU ↑ ¹")
    assert table.columns[:4] == heads
    assert [line[1] for line in texts(table)[:6]] == ["fresh weights", "Task 1", "Task 2", "Task 3", "Task 3", "Task 5"]
    assert [line[2] for line in texts(table)] == ["21.47", "0.70", "0.50", "0.40", "0.30", "0.20", "+21.27", "−21.27"]
    assert [line[4] for line in texts(table)][-3:] == ["950.00", "+712.08", "−712.08"]
    gogh = [line[6] for line in texts(table)]
    assert gogh == ["-", "-", "-", "0.3555", "-", "-", "-", "-"]


def test_nothing_forgotten_is_a_plain_zero(comparison: Comparison) -> None:
    table = forgetting_table(comparison, "piggyback")
    assert [line[3] for line in texts(table)] == ["-", *["61.45"] * 5, "0.00", "0.00"]


def test_the_size_table_counts_every_delta(comparison: Comparison) -> None:
    table = size_table(comparison)
    assert table.columns[-2:] == ("shared + deltas", "a snapshot a task")
    lines = {line[0]: line[1:] for line in texts(table)}
    assert lines["Piggyback"] == ["56.380", "0.020", *["1.800"] * 5, "65.400", "338.400"]
    assert lines["decoder"][-2:] == ["158.900", "338.400"]


def test_the_training_table_says_what_validation_selected(build) -> None:
    result = build(
        "piggyback", "voc", {"voc": (3.0,)}, validation=4.5, selected_step=1200, zero_ratio=0.493, seconds=200.0
    )
    line = texts(training_table(Comparison.of([result])))[0]
    assert line == ["Piggyback", "Task 2 · VOC", "1,200", "4.500 mIoU ↑", "49.30", "3 min 20 s"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.6, "1 min 00 s"), (3599, "59 min 59 s"), (7500, "2 h 05 min"), (276_900, "3 d 4 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_table_3_is_the_papers(comparison: Comparison) -> None:
    rows = [
        [0.5075],
        [0.5042, 0.5054],
        [0.4326, 0.5034, 0.5020],
        [0.4529, 0.5029, 0.5025, 0.5210],
        [0.4847, 0.5063, 0.5026, 0.5093, 0.5077],
    ]
    names = [card.name for card in comparison.cards]
    agreement = {(names[c], names[r + 1]): value for r, line in enumerate(rows) for c, value in enumerate(line)}
    kappa = dict.fromkeys(combinations(names, 2), -0.0123)
    raw, beyond = table3(comparison.cards, agreement, kappa)
    assert raw.columns == ("", "Task 1", "Task 2", "Task 3", "Task 4", "Task 5")
    assert texts(raw)[2] == ["Task 4 · GOGH", "0.4326", "0.5034", "0.5020", "-", "-"]
    assert numbers_of(raw) == [value for line in rows for value in line]
    assert beyond.columns == ("", "Task 2", "Task 3", "Task 4", "Task 5")
    assert texts(beyond)[0] == ["Task 3 · COLOUR", "−0.0123", "-", "-", "-"]


def test_table_3_where_task_1_has_codes_too(comparison: Comparison) -> None:
    first, second = comparison.cards[:2]
    unchanged = replace(first, name="all zeros")
    names = ("all zeros", first.name, second.name)
    values = dict(zip(combinations(names, 2), (0.75, 0.5, 0.625), strict=True))
    raw, beyond = table3((unchanged, first, second), values, values, "quantized", constant=True)
    assert raw.columns == ("", "All zeros", "Task 1")
    assert numbers_of(raw) == [0.75, 0.5, 0.625]
    assert raw.notes[1].startswith("All zeros leaves every weight as it is")
    assert (beyond.columns, numbers_of(beyond)) == (("", "Task 1"), [0.625])


def numbers_of(table: Table) -> Sequence[float]:
    return [cell.value for line in table.rows for cell in line if cell.value is not None]


def test_metric_titles_point_to_better() -> None:
    assert metric_title(Metric(name="total_loss", higher_is_better=False)) == "total loss ↓"
    assert metric_title(Metric(name="mIoU", higher_is_better=True)) == "mIoU ↑"
