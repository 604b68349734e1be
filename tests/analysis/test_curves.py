import math
from pathlib import Path

import pytest

from stencilnet.analysis.curves import Curves, joined, read_curves
from stencilnet.tasks.task import Metric
from stencilnet.training.sinks import Files, TrainingInfo

MIOU = Metric(name="mIoU", higher_is_better=True)


def test_what_the_training_wrote_is_read(tmp_path: Path) -> None:
    files = Files()
    files.start(TrainingInfo(name="r", folder=tmp_path, first=0, steps=3, headline="validation/mIoU"))
    files.log(1, {"loss": 2.5, "loss/l2": 2.5})
    files.log(2, {"loss": math.nan})
    files.log(2, {"validation/mIoU": 40.25, "validation/accuracy": 90.0})
    files.end()
    found = read_curves(tmp_path / "metrics.csv", MIOU, selected=2)
    assert found.loss[0] == (1, 2)
    assert found.loss[1][0] == 2.5
    assert math.isnan(found.loss[1][1])
    assert found.validation == ((2,), (40.25,))
    assert found.selected == 2


def test_a_training_without_evaluation_has_an_empty_curve(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("step,name,value\n1,loss,3.0\n")
    assert read_curves(tmp_path / "m.csv", MIOU) == Curves(loss=((1,), (3.0,)), validation=((), ()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"m\.csv to begin with 'step,name,value', but got ''"),
        ("step,loss\n1,2\n", "to begin with 'step,name,value', but got 'step,loss'"),
        ("step,name,value\n1,loss,2.0\n2,lo", r"line 3 of .*m\.csv to be a step, a name and a number, but got '2,lo'"),
        ("step,name,value\n1,loss,high\n", "line 2 of .* but got '1,loss,high'. If the training was"),
    ],
)
def test_another_file_is_told(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_curves(tmp_path / "m.csv", MIOU)


def test_trainings_one_after_the_other_are_one() -> None:
    first = Curves(loss=((1, 5, 10), (3.0, 2.0, 1.0)), validation=((10,), (0.5,)), selected=10)
    second = Curves(loss=((1, 4), (1.5, 0.5)), validation=((4,), (0.7,)), selected=4)
    assert joined([first, second], selected=14) == Curves(
        loss=((1, 5, 10, 11, 14), (3.0, 2.0, 1.0, 1.5, 0.5)), validation=((10, 14), (0.5, 0.7)), selected=14
    )
    assert joined([first], selected=10) == first
