"""`stencil merge`, and what `--on` and `--ask` refuse, as commands."""

import shutil
from pathlib import Path

import pytest
import torch

import stencilnet as sn
from stencilnet.bundle import TaskRecord, add_task
from stencilnet.delta import Replace, TaskDelta
from stencilnet.masks import array_of, arrays_of
from stencilnet.models import save

from ..command_line import Stencil


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """``base``, a bundle of the first task; ``one`` and ``two``, the same and a task each; ``other``, another one."""
    record = TaskRecord(kind="restoration", channels=3, method="piggyback")

    def task(net: sn.MultiTaskNet, seed: int) -> TaskDelta:
        head = net.fresh_head(3, torch.Generator().manual_seed(seed))
        return TaskDelta({name: Replace(array_of(tensor)) for name, tensor in head.items()})

    for folder, seed in (("base", 0), ("other", 1)):
        torch.manual_seed(seed)
        net = sn.MultiTaskNet(sn.UNet(width=2))
        net = net.with_state(net.state.add("first", task(net, seed)), {"first": record})
        save(net, tmp_path / folder)
    for order, name in enumerate(("one", "two"), start=1):
        shutil.copytree(tmp_path / "base", tmp_path / name)
        net = sn.load(tmp_path / name)
        add_task(tmp_path / name, name, record, task(net, order), shared=arrays_of(net.state.shared), order=order)
    return tmp_path


def test_bundles_and_task_folders_are_merged(stencil: Stencil, desk: Path) -> None:
    done = stencil("merge", "base", "two/tasks/two", "one", cwd=desk)
    assert (done.returncode, done.stdout) == (0, "added   one\nadded   two\npresent first\n"), done.stderr
    assert sn.load(desk / "base").tasks == ("first", "one", "two")
    again = stencil("merge", "base", "two", cwd=desk)
    assert (again.returncode, again.stdout) == (0, "present first\npresent two\n")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("merge", "base", "one", "other"), 1, "other/tasks/first/task.json: another backbone's task. Expected one"),
        (("merge", "base", "somebody/bundle"), 1, "somebody/bundle: nothing to merge. Expected a bundle's folder"),
        (("merge", "base"), 2, "Missing argument 'SOURCE...'"),
        (("train", "demo/tiny", "--ask", "num_cpus=1"), 2, "--ask requires --on processes, ray or slurm"),
        (("compare", "demo/tiny", "--on", "slurm", "--devices", "2"), 2, "--devices requires --on here"),
        pytest.param(
            *(
                ("train", "demo/tiny", "--on", "ray", "--ask", "address=127.0.0.1:1"),
                1,
                "a Ray cluster at `127.0.0.1:1`",
            ),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *(("train", "demo/tiny", "--on", "slurm"), 1, "Start this on a login node"), marks=pytest.mark.slow
        ),
    ],
)
def test_refusals_are_one_message(
    words: tuple[str, ...], code: int, message: str, stencil: Stencil, desk: Path
) -> None:
    done = stencil(*words, cwd=desk)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert done.stdout == ""
    assert sn.load(desk / "base").tasks == ("first",)


def test_a_task_is_packed_and_merged(stencil: Stencil, desk: Path) -> None:
    done = stencil("pack", "one", "one", "-o", "task.zip", cwd=desk)
    size = (desk / "task.zip").stat().st_size
    assert (done.returncode, done.stdout) == (0, f"task.zip  {size:,} bytes\n"), done.stderr
    assert stencil("merge", "base", "task.zip", cwd=desk).stdout == "added   one\n"
    refused = stencil("merge", "other", "task.zip", cwd=desk)
    assert refused.returncode == 1
    assert "task.zip/one/task.json: another backbone's task. Expected one learned over" in refused.stderr
