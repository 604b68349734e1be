import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stencilnet.tasks.task import Recipe
from stencilnet.training.checkpoint import check
from stencilnet.training.fit import CheckpointError, Interrupted
from stencilnet.training.settings import Settings, resolve

from .fit_toys import (
    Blobs,
    Duel,
    Invert,
    Normed,
    StopAfter,
    delta_bytes,
    fit,
    job,
    masks,
    seeded,
    unet,
    weights,
)

# torch's loader forks; Python 3.12 and newer warn of that in a process with threads
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def rows(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "fit-0" / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "examples_per_second"} for line in lines]


# Questions are asked before each of 6 steps and before the 2 batches of each of 3 evaluations (steps 2, 4, 6).
@pytest.mark.parametrize(
    ("task", "net", "make", "questions"),
    [
        pytest.param(task, net, make, questions, id=f"{name}-after-{questions}")
        for name, task, net, make, asked in (
            ("masks", Invert(), unet, masks, (1, 3, 4, 5, 11)),
            ("gan", Duel(), unet, weights, (5,)),
            ("gan-dropout-norm", Duel(), lambda: seeded(Normed), masks, (4, 5)),
        )
        for questions in asked
    ],
)
def test_interrupted_or_not_the_bytes_are_the_same(tmp_path: Path, task, net, make, questions: int) -> None:
    backbone = net()
    whole = fit(job(tmp_path / "whole", task=task), make(backbone), backbone)
    with pytest.raises(Interrupted):
        fit(job(tmp_path / "cut", task=task), make(backbone), backbone, stop=StopAfter(questions))
    torch.rand(3)  # the global generator is elsewhere when a process starts anew
    cut = fit(job(tmp_path / "cut", task=task), make(backbone), backbone, resume=True)
    assert delta_bytes(cut) == delta_bytes(whole)
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")
    assert selection(tmp_path / "cut") == selection(tmp_path / "whole")


def selection(folder: Path) -> dict[str, object]:
    """What was selected; the time it took is nobody's law."""
    found: dict[str, object] = json.loads((folder / "fit-0" / "selected.json").read_text())
    assert found.pop("seconds") > 0
    return found


def test_stopping_again_and_again_comes_to_the_same_bytes(tmp_path: Path) -> None:
    backbone = unet()
    whole = fit(job(tmp_path / "whole", task=Duel()), masks(backbone), backbone)
    done = []
    while not (tmp_path / "cut" / "fit-0" / "selected.json").exists():
        with contextlib.suppress(Interrupted):
            cut = fit(job(tmp_path / "cut", task=Duel()), masks(backbone), backbone, resume=True, stop=StopAfter(2))
        done.append(len(rows(tmp_path / "cut")))
    assert len(done) > 4
    assert delta_bytes(cut) == delta_bytes(whole)
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")


def test_workers_do_not_change_the_bytes(tmp_path: Path) -> None:
    backbone = unet()
    whole = fit(job(tmp_path / "0"), masks(backbone), backbone)
    workers = fit(job(tmp_path / "2"), masks(backbone), backbone, workers=2)
    with pytest.raises(Interrupted):
        fit(job(tmp_path / "cut"), masks(backbone), backbone, workers=2, stop=StopAfter(3))
    cut = fit(job(tmp_path / "cut"), masks(backbone), backbone, workers=0, resume=True)
    assert delta_bytes(whole) == delta_bytes(workers) == delta_bytes(cut)


class Crashing(Blobs):
    """The machine goes down while an example of the second epoch is read."""

    def __getitem__(self, key: tuple[int, int]) -> dict[str, torch.Tensor]:
        if key[0] == 1:
            raise RuntimeError("power cut")
        return super().__getitem__(key)


def test_rows_after_the_checkpoint_come_once_after_a_crash(tmp_path: Path) -> None:
    backbone = unet()
    recipe = Recipe(steps=8, batch=2, lr=1e-3)
    whole = fit(job(tmp_path / "whole", recipe=recipe), masks(backbone), backbone, checkpoint_every=3)
    crash = job(tmp_path / "cut", recipe=recipe, train=Crashing(10))
    with pytest.raises(RuntimeError, match="power cut"):
        fit(crash, masks(backbone), backbone, checkpoint_every=3, samples=1)
    folder = tmp_path / "cut" / "fit-0"
    assert {row["step"] for row in rows(tmp_path / "cut")} == {1, 2, 3, 4, 5}
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "los')  # cut off within a line
    cut = fit(job(tmp_path / "cut", recipe=recipe), masks(backbone), backbone, checkpoint_every=3, resume=True)
    assert delta_bytes(cut) == delta_bytes(whole)
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")
    csv = (folder / "metrics.csv").read_text().splitlines()
    assert csv[0] == "step,name,value"
    assert [line for line in csv if ",loss," in line] == [
        f"{row['step']},loss,{row['loss']!r}" for row in rows(tmp_path / "whole") if "loss" in row
    ]
    assert {path.name for path in (folder / "samples").iterdir()} == {"step-000002.png"}


def test_a_finished_fit_returns_at_once(tmp_path: Path) -> None:
    backbone = unet()
    done = fit(job(tmp_path), masks(backbone), backbone)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = fit(job(tmp_path, train=Crashing(10)), masks(backbone), backbone, resume=True, stop=lambda: True)
    assert delta_bytes(again) == delta_bytes(done)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_finished_checkpoint_holds_the_selected_step_alone(tmp_path: Path) -> None:
    backbone = unet()
    fit(job(tmp_path, task=Duel()), masks(backbone), backbone)
    record = torch.load(tmp_path / "fit-0" / "checkpoint.pt", weights_only=True)
    assert record["finished"] is True
    assert set(record) == {"format", "fingerprint", "environment", "step", "evaluated", "seconds", "best", "finished"}
    assert {path.name for path in (tmp_path / "fit-0").iterdir()} == {
        "checkpoint.pt",
        "metrics.jsonl",
        "metrics.csv",
        "selected.json",
    }


def test_the_message_says_how_to_go_on(tmp_path: Path) -> None:
    backbone = unet()
    path = tmp_path / "fit-0" / "checkpoint.pt"
    with pytest.raises(Interrupted) as caught:
        fit(job(tmp_path), masks(backbone), backbone, stop=StopAfter(1))
    assert str(caught.value) == (
        f"Stopped at step 1 of 6 of piggyback/invert. Saved up to step 1 in {path}; repeat the call with resume "
        "(`--resume`) to continue."
    )
    assert (caught.value.step, caught.value.path) == (1, path)


def test_stopped_before_the_first_step(tmp_path: Path) -> None:
    backbone = unet()
    with pytest.raises(
        Interrupted, match=r"Stopped at step 0 of 6 .*\. Nothing was saved yet; repeat the call"
    ) as caught:
        fit(job(tmp_path), masks(backbone), backbone, stop=lambda: True)
    assert caught.value.step == 0
    assert fit(job(tmp_path), masks(backbone), backbone)  # nothing is there to be resumed


class Pressing(Blobs):
    """Somebody presses Ctrl-C while an example of the second epoch is read."""

    def __getitem__(self, key: tuple[int, int]) -> dict[str, torch.Tensor]:
        if key[0] == 1:
            raise KeyboardInterrupt
        return super().__getitem__(key)


def test_keyboard_interrupt_between_two_steps_saves(tmp_path: Path) -> None:
    backbone = unet()
    whole = fit(job(tmp_path / "whole"), masks(backbone), backbone)
    with pytest.raises(Interrupted, match=r"Stopped at step 2 of 6.*Saved up to step 2") as caught:
        fit(job(tmp_path / "cut", train=Pressing(10)), masks(backbone), backbone, checkpoint_every=100)
    assert isinstance(caught.value.__cause__, KeyboardInterrupt)
    cut = fit(job(tmp_path / "cut"), masks(backbone), backbone, checkpoint_every=100, resume=True)
    assert delta_bytes(cut) == delta_bytes(whole)


def test_keyboard_interrupt_within_a_step_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    backbone = unet()
    whole = fit(job(tmp_path / "whole"), masks(backbone), backbone)
    trainable = masks(backbone)
    seen = []

    def press(parameter: torch.Tensor) -> None:
        seen.append(parameter)
        if len(seen) == 4:
            raise KeyboardInterrupt

    trainable.groups()["head"][0].register_post_accumulate_grad_hook(press)
    with pytest.raises(Interrupted, match=r"Stopped at step 3 of 6.*Saved up to step 2"):
        fit(job(tmp_path / "cut"), trainable, backbone)
    cut = fit(job(tmp_path / "cut"), masks(backbone), backbone, resume=True)
    assert delta_bytes(cut) == delta_bytes(whole)


def test_an_earlier_training_is_not_written_over(tmp_path: Path) -> None:
    backbone = unet()
    fit(job(tmp_path), masks(backbone), backbone)
    with pytest.raises(CheckpointError, match=r"checkpoint.pt holds an earlier training of piggyback/invert\. Resume"):
        fit(job(tmp_path), masks(backbone), backbone)


@pytest.mark.parametrize(
    ("changes", "settings", "text"),
    [
        ({"seed": 8}, {}, "`seed` was 7, is 8"),
        ({"mask_lr": 1e-3}, {}, "`mask_lr` was 0.002, is 0.001"),
        ({"recipe": Recipe(steps=7, batch=4, lr=1e-3)}, {}, "`recipe.steps` was 6, is 7"),
        ({"task": Invert(poison=3)}, {}, "`task.poison` was -1, is 3"),
        ({"train": Blobs(11)}, {}, "`training examples` was 10, is 11"),
        ({"name": "scratch/invert"}, {}, "`job` was 'piggyback/invert', is 'scratch/invert'"),
        ({}, {"precision": "bf16"}, "`precision` was 'float32', is 'bf16'"),
        ({}, {"evaluate_every": 3}, "`evaluate_every` was 2, is 3"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_another_config_is_refused_by_name(tmp_path: Path, changes, settings, text: str) -> None:
    backbone = unet()
    with pytest.raises(Interrupted):
        fit(job(tmp_path), masks(backbone), backbone, stop=StopAfter(1))
    with pytest.raises(CheckpointError) as caught:
        fit(job(tmp_path, **changes), masks(backbone), backbone, resume=True, **settings)
    path = tmp_path / "fit-0" / "checkpoint.pt"
    assert str(caught.value) == (
        f"{path} is a checkpoint of another training: {text}. "
        f"Undo this to resume it, or delete {tmp_path} to start afresh."
    )


def test_another_backbone_is_refused(tmp_path: Path) -> None:
    backbone = unet()
    with pytest.raises(Interrupted):
        fit(job(tmp_path), masks(backbone), backbone, stop=StopAfter(1))
    with torch.no_grad():
        backbone.conv1_1.weight[0, 0, 0, 0] += 1e-6
    with pytest.raises(
        CheckpointError, match=r"another training: `starting tensors \(SHA-256\)` was '\w+', is '\w+'\."
    ):
        fit(job(tmp_path), masks(backbone), backbone, resume=True)


def test_settings_that_do_not_change_the_bytes_may_change(tmp_path: Path) -> None:
    backbone = unet()
    whole = fit(job(tmp_path / "whole"), masks(backbone), backbone)
    with pytest.raises(Interrupted):
        fit(job(tmp_path / "cut"), masks(backbone), backbone, stop=StopAfter(4))
    changed = {"checkpoint_every": 5, "log_every": 3, "samples": 1}
    cut = fit(job(tmp_path / "cut"), masks(backbone), backbone, resume=True, **changed)
    assert delta_bytes(cut) == delta_bytes(whole)


def test_a_damaged_checkpoint_is_one_clear_error(tmp_path: Path) -> None:
    backbone = unet()
    with pytest.raises(Interrupted):
        fit(job(tmp_path), masks(backbone), backbone, stop=StopAfter(1))
    path = tmp_path / "fit-0" / "checkpoint.pt"
    whole = path.read_bytes()
    flipped = bytearray(whole)
    mask = torch.load(path, weights_only=True)["trained"]["_real.5"]
    flipped[whole.index(mask.numpy().tobytes()) + 10] ^= 4
    for damaged in (b"", b"hello", whole[:50], whole[:-200], bytes(flipped)):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"Expected a checkpoint in .*, but the file is damaged\. Delete"):
            fit(job(tmp_path), masks(backbone), backbone, resume=True)


def test_another_format_is_refused(tmp_path: Path) -> None:
    backbone = unet()
    path = tmp_path / "fit-0" / "checkpoint.pt"
    path.parent.mkdir()
    torch.save({"format": 99}, path)
    with pytest.raises(CheckpointError, match=r"Expected a checkpoint of format 1 in .*, but got 99\. Continue with"):
        fit(job(tmp_path), masks(backbone), backbone, resume=True)


def test_another_thread_count_is_told(tmp_path: Path, caplog) -> None:
    backbone = unet()
    with pytest.raises(Interrupted):
        fit(job(tmp_path), masks(backbone), backbone, stop=StopAfter(1))
    path = tmp_path / "fit-0" / "checkpoint.pt"
    record = torch.load(path, weights_only=True)
    record["environment"]["threads"] = 64
    torch.save(record, path)
    fit(job(tmp_path), masks(backbone), backbone, resume=True)
    assert any("was written with threads = 64, this run has" in message for message in caplog.messages)


def test_a_failing_write_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch) -> None:
    backbone = unet()
    with pytest.raises(Interrupted):
        fit(job(tmp_path), masks(backbone), backbone, stop=StopAfter(1))
    path = tmp_path / "fit-0" / "checkpoint.pt"
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        fit(job(tmp_path), masks(backbone), backbone, resume=True)
    assert path.read_bytes() == before


def test_a_full_disk_is_an_error_that_names_the_file_and_can_be_resumed(
    tmp_path: Path, full_disk: Callable[[int], None]
) -> None:
    backbone = unet()
    whole = fit(job(tmp_path / "whole"), masks(backbone), backbone)
    full_disk(20_000)
    with pytest.raises(OSError, match="large") as caught:
        fit(job(tmp_path / "cut"), masks(backbone), backbone)
    full_disk(10**9)
    assert caught.value.filename == str(tmp_path / "cut" / "fit-0" / "checkpoint.pt")
    assert list(tmp_path.rglob(".new-*")) == []
    assert delta_bytes(fit(job(tmp_path / "cut"), masks(backbone), backbone, resume=True)) == delta_bytes(whole)


def test_a_message_about_a_strange_checkpoint_is_short() -> None:
    fingerprint = {f"key {number}": "v" * 10_000 for number in range(500)} | {"k" * 10**6: 1}
    with pytest.raises(CheckpointError, match=r"and 491 more\. Undo this to resume it") as caught:
        check(Path("checkpoint.pt"), {"fingerprint": fingerprint}, {}, resolve(Settings(device="cpu")))
    assert len(str(caught.value)) < 6000
