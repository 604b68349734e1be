"""Adding to a bundle where something stands in the way: another process, changed data, a bundle that is read-only."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

import stencilnet as sn
from stencilnet.bundle import task_names
from stencilnet.config.reading import read_config
from stencilnet.config.schema import Experiment
from stencilnet.experiment.adding import add_tasks
from stencilnet.experiment.folder import RunError
from stencilnet.experiment.session import Session
from stencilnet.scenes import Scenes
from stencilnet.training.fit import CheckpointError, Interrupted

CONFIG = """
title: One more
methods: [{method: {kind: piggyback, lr: 1.0e-2}}]
tasks:
  - name: clean
    title: Clean
    task: {kind: restoration}
    data:
      about: noise
      train: {kind: pairs, inputs: in, targets: out}
      test: {kind: pairs, inputs: in, targets: out}
    view: {crop: 32, test: crop}
    recipe: {steps: 2, batch: 2}
"""


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle of one task, a config, and pairs of pictures."""
    folder = tmp_path_factory.mktemp("learned")
    scenes = sn.Splits(train=Scenes(count=2, size=32), validation=Scenes(count=2, size=32, first=9))
    config = sn.Learning(view=sn.View(crop=32), recipe=sn.Recipe(steps=1, batch=2))
    net = sn.learn(sn.MultiTaskNet(sn.UNet(width=2)), sn.Colorization(), scenes, name="colour", config=config)
    sn.save(net, folder / "bundle")
    (folder / "my.yaml").write_text(CONFIG)
    for part in ("in", "out"):
        (folder / part).mkdir()
        for number in range(6):
            pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / part / f"{number}.png")
    return folder


@pytest.fixture
def desk(learned: Path, tmp_path: Path) -> Path:
    return shutil.copytree(learned, tmp_path / "desk")


@pytest.fixture
def session(desk: Path) -> Session:
    return Session(out=desk / "bundle.training", root=desk)


def config(desk: Path) -> Experiment:
    return read_config(str(desk / "my.yaml"), ())


def test_one_of_two_processes_learns_a_task(desk: Path, session: Session) -> None:
    said: list[str] = []
    other = FileLock(session.out / ".clean.lock")

    def announce(line: str) -> None:
        said.append(line)
        if line.startswith("waiting for another process"):
            shutil.copytree(desk / "bundle" / "tasks" / "colour", desk / "bundle" / "tasks" / "clean")
            other.release()

    session.out.mkdir()
    other.acquire()
    assert add_tasks(desk / "bundle", config(desk), replace(session, announce=announce)) == ()
    assert [line.partition(" (")[0] for line in said] == [
        "waiting for another process that does the same work",
        "clean: skipped, since the bundle has a task of this name",
    ]


def test_changed_data_are_named_with_the_folder_to_delete(desk: Path, session: Session) -> None:
    asked = iter((False, True))
    with pytest.raises(Interrupted):
        add_tasks(desk / "bundle", config(desk), replace(session, stop=lambda: next(asked)))
    folder = session.out / "piggyback" / "clean"
    with pytest.raises(CheckpointError, match=rf"Resume it \(`--resume`\), or delete {folder} to start afresh\."):
        add_tasks(desk / "bundle", config(desk), session)
    for part in ("in", "out"):
        (desk / part / "3.png").unlink()
    with pytest.raises(CheckpointError) as caught:
        add_tasks(desk / "bundle", config(desk), replace(session, resume=True))
    assert str(caught.value) == (
        f"{folder / 'fit-0' / 'checkpoint.pt'} is a checkpoint of another training: `training examples` was 5, is 4. "
        f"Undo this to resume it, or delete {folder} to start afresh."
    )
    shutil.rmtree(folder)
    assert add_tasks(desk / "bundle", config(desk), session) == ("clean",)
    assert task_names(desk / "bundle") == ["clean", "colour"]


def test_a_bundle_that_cannot_be_written_to_is_refused_first(
    desk: Path, session: Session, full_disk: Callable[[int], None]
) -> None:
    said: list[str] = []
    full_disk(0)
    with pytest.raises(RunError, match=r"Cannot write to .*bundle: File too large\. Nothing was trained\. Change its"):
        add_tasks(desk / "bundle", config(desk), replace(session, announce=said.append))
    assert said == []
    assert not session.out.exists()
    assert list((desk / "bundle").glob(".*")) == []
