import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from stencilnet.training.progress import ProgressBar
from stencilnet.training.sinks import Files, TensorBoard, TrainingInfo, tensorboard_installed
from stencilnet.training.validation import CELL, contact_sheet

from .fit_toys import fit, job, masks, unet


def run(folder: Path, first: int = 0, steps: int = 10) -> TrainingInfo:
    return TrainingInfo(name="piggyback/gogh", folder=folder, first=first, steps=steps, headline="validation/mIoU")


def test_files(tmp_path: Path) -> None:
    files = Files()
    files.start(run(tmp_path))
    files.log(1, {"loss": 0.1 + 0.2, "lr/mask": 1e-3})
    files.log(2, {"validation/PSNR": float("inf"), 'odd,"name"': 2.0})
    files.end()
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"step": 1, "loss": 0.1 + 0.2, "lr/mask": 1e-3},
        {"step": 2, "validation/PSNR": "inf", 'odd,"name"': 2.0},
    ]
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(int(row["step"]), row["name"], float(row["value"])) for row in rows] == [
        (1, "loss", 0.1 + 0.2),
        (1, "lr/mask", 1e-3),
        (2, "validation/PSNR", float("inf")),
        (2, 'odd,"name"', 2.0),
    ]


def test_files_of_a_resumed_run_drop_what_comes_again(tmp_path: Path) -> None:
    files = Files()
    files.start(run(tmp_path))
    sheet = Image.new("RGB", (8, 8))
    for step in (5, 10, 15):
        files.log(step, {"loss": float(step)})
        files.picture(step, sheet)
    files.end()
    again = Files()
    again.start(run(tmp_path, first=10))
    again.log(15, {"loss": 7.0})
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps == [5, 10, 15]
    assert (tmp_path / "metrics.csv").read_text() == "step,name,value\n5,loss,5.0\n10,loss,10.0\n15,loss,7.0\n"
    assert {p.name for p in (tmp_path / "samples").iterdir()} == {"step-000005.png", "step-000010.png"}


def test_contact_sheet_shrinks_large_pictures_and_takes_indexed_ones() -> None:
    palette = Image.new("P", (10, 10), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    large = Image.new("RGB", (4 * CELL, 2 * CELL), (0, 0, 255))
    sheet = contact_sheet([[large, palette], [large]])
    assert sheet.size == (2 * CELL + 2, CELL + 2)
    pixels = np.asarray(sheet)
    assert tuple(pixels[0, 0]) == (0, 0, 255)
    assert tuple(pixels[5, CELL + 2 + 5]) == (255, 0, 0)
    assert tuple(pixels[CELL // 2 + 2 + 5, CELL + 2 + 5]) == (255, 255, 255)  # no target: left white


def test_plain_lines_off_a_terminal() -> None:
    now = [100.0]
    text = io.StringIO()
    bar = ProgressBar(Console(file=text, force_terminal=False, width=20), every=30, clock=lambda: now[0])
    bar.start(run(Path(), first=2))
    for step in range(3, 11):
        now[0] += 20
        bar.log(step, {"loss": 1 / step} | ({"validation/mIoU": 12.345} if step == 5 else {}))
    bar.log(10, {"validation/mIoU": 23.45})  # validation after the last step
    bar.end()
    assert text.getvalue().splitlines() == [
        "piggyback/gogh: 10 steps, from step 2",
        "piggyback/gogh: step 4/10, loss 0.25, 0:02:00 left",
        "piggyback/gogh: step 6/10, loss 0.1667, mIoU 12.35, 0:01:20 left",
        "piggyback/gogh: step 8/10, loss 0.125, mIoU 12.35, 0:00:40 left",
        "piggyback/gogh: step 10/10, loss 0.1, mIoU 23.45",
    ]


def test_a_bar_on_a_terminal() -> None:
    text = io.StringIO()
    bar = ProgressBar(Console(file=text, force_terminal=True, width=120))
    bar.start(run(Path(), steps=4))
    for step in range(1, 5):
        bar.log(step, {"loss": 0.5, "validation/mIoU": 33.0})
    bar.picture(4, Image.new("RGB", (4, 4)))
    bar.end()
    bar.end()
    assert "piggyback/gogh" in text.getvalue()
    assert "loss 0.5, mIoU 33" in text.getvalue()
    assert "4/4" in text.getvalue()


@pytest.mark.skipif(not tensorboard_installed(), reason="needs TensorBoard")
def test_tensorboard_reads_what_a_resumed_run_wrote(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for first, steps, value in ((0, (1, 2, 3, 4), 1.0), (2, (3, 4), 5.0)):
        board = TensorBoard()
        board.start(run(tmp_path, first=first))
        for step in steps:
            board.log(step, {"loss": value * step})
        board.picture(4, Image.new("RGB", (6, 4), (255, 0, 0)))
        board.end()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 1), (2, 2), (3, 15), (4, 20)]
    assert (events.Images("samples")[-1].width, events.Images("samples")[-1].height) == (6, 4)


def test_sinks_are_ended_when_training_fails(tmp_path: Path) -> None:
    class Broken(Files):
        ended = 0

        def log(self, step: int, values: object) -> None:
            raise OSError("disk full")

        def end(self) -> None:
            Broken.ended += 1

    backbone = unet()
    with pytest.raises(OSError, match="disk full"):
        fit(job(tmp_path), masks(backbone), backbone, sinks=[Broken()])
    assert Broken.ended == 1
