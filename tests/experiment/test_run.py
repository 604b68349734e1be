"""One whole run at the tiny size: what it leaves behind, and that it goes on after an interruption."""

import dataclasses
import hashlib
from pathlib import Path

import pytest

import stencilnet as sn
from stencilnet.evaluation.results import StageResult
from stencilnet.experiment.config import Experiment
from stencilnet.experiment.folder import RunError
from stencilnet.experiment.reading import read_config
from stencilnet.experiment.run import Run, Session
from stencilnet.training.fit import Interrupted


def two_tasks(*methods: str) -> Experiment:
    """The tiny demo's first three tasks, by some of its methods."""
    whole = read_config("demo/tiny")
    plans = tuple(plan for plan in whole.methods if plan.method.name in methods)
    return dataclasses.replace(whole, methods=plans, tasks=whole.tasks[:3])


def start(out: Path, experiment: Experiment, *, resume: bool = False, steps: int | None = None) -> Run:
    """A run that is told to stop after some steps."""
    asked = iter(range(10**9))
    stop = bool if steps is None else lambda: next(asked) >= steps
    return Run(experiment, Session(out=out, root=Path(), resume=resume, stop=stop))


def by_stage(run: Run) -> dict[tuple[str, str], StageResult]:
    return {(result.method, result.task): result for result in run.results()}


def tree(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = start(tmp_path_factory.mktemp("run"), two_tasks("piggyback", "finetune"))
    run.compare()
    return run


def test_every_stage_leaves_a_result_and_its_pictures(finished: Run) -> None:
    assert set(by_stage(finished)) == {
        ("backbone", "scenes"),
        *((method, task) for method in ("piggyback", "finetune") for task in ("things", "colour")),
        *(("trivial", task) for task in ("scenes", "things", "colour")),
    }
    names = {path.name for path in finished.folder.pictures("colour").iterdir()}
    assert names == {f"0000{n}-{label}.png" for n in (0, 2) for label in ("input", "target", "piggyback", "finetune")}


def test_masks_do_not_forget_and_fine_tuning_moves(finished: Run) -> None:
    results = by_stage(finished)
    first = results["backbone", "scenes"]
    last = results["piggyback", "colour"]
    assert last.digests["scenes"] == first.digests["scenes"]
    assert last.digests["things"] == results["piggyback", "things"].digests["things"]
    assert last.metrics["scenes"] == first.metrics["scenes"]
    tuned = results["finetune", "colour"]
    assert tuned.parent == "things"
    assert tuned.digests["scenes"] != first.digests["scenes"]
    assert tuned.metrics["scenes"] != first.metrics["scenes"]


def test_sizes_are_the_bytes_of_what_is_stored(finished: Run) -> None:
    results = by_stage(finished)
    net = sn.load(finished.folder.path / "bundle")
    weights = sum(tensor.numel() for tensor in net.state.shared.values())
    assert results["piggyback", "things"].sizes.shared == 4 * weights
    assert results["piggyback", "things"].sizes.delta < results["finetune", "things"].sizes.snapshot / 20


def test_the_bundle_turns_a_photo_into_every_tasks_output(finished: Run) -> None:
    from PIL import Image

    engine = sn.Engine(finished.folder.path / "bundle")
    assert engine.tasks == ("scenes", "things", "colour")
    photo = Image.effect_noise((45, 37), 64).convert("RGB")
    assert [engine.run(photo, task=task).size for task in engine.tasks] == [(45, 37)] * 3


def test_interrupted_and_resumed_is_the_same_bytes(finished: Run, tmp_path: Path) -> None:
    experiment = two_tasks("piggyback", "finetune")
    for steps in (5, 9, 14):  # in the backbone's training, then in a further task's
        with pytest.raises(Interrupted):
            start(tmp_path / "run", experiment, resume=steps > 5, steps=steps).compare()
    run = start(tmp_path / "run", experiment, resume=True)
    run.compare()
    digests = {stage: result.digests for stage, result in by_stage(run).items()}
    assert digests == {stage: result.digests for stage, result in by_stage(finished).items()}
    assert tree(tmp_path / "run" / "pictures") == tree(finished.folder.path / "pictures")


def test_a_finished_run_is_not_done_again(finished: Run) -> None:
    before = tree(finished.folder.path)
    start(finished.folder.path, finished.experiment, resume=True).compare()
    assert tree(finished.folder.path) == before


def test_a_folder_in_use_is_refused(finished: Run) -> None:
    with pytest.raises(RunError, match=r"holds a run already\. Go on with it by --resume"):
        start(finished.folder.path, finished.experiment)
    other = dataclasses.replace(finished.experiment, seed=1)
    with pytest.raises(RunError, match=r"another config; it differs in seed\."):
        start(finished.folder.path, other, resume=True)


def test_a_style_cannot_come_first(tmp_path: Path) -> None:
    whole = read_config("demo/tiny")
    style = next(plan for plan in whole.tasks if plan.task.kind == "style")
    with pytest.raises(RunError, match="style losses look through a finished backbone"):
        start(tmp_path, dataclasses.replace(whole, methods=whole.methods[:1], tasks=(style, *whole.tasks[:2])))
