"""One whole run at the tiny size: what it leaves behind, and that it goes on after an interruption."""

import dataclasses
import hashlib
import json
import shutil
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock

import stencilnet as sn
from stencilnet.bundle import remove_task
from stencilnet.cluster.jobs import jobs
from stencilnet.config.reading import read_config
from stencilnet.config.schema import Experiment
from stencilnet.evaluation.results import StageResult
from stencilnet.experiment import testing
from stencilnet.experiment.adding import add_tasks
from stencilnet.experiment.analyzing import analyze_bundle
from stencilnet.experiment.folder import RunError, RunFolder, claim, settle
from stencilnet.experiment.forecast import forecast
from stencilnet.experiment.pictures import saved
from stencilnet.experiment.reporting import write_report
from stencilnet.experiment.run import Run, Session
from stencilnet.training import settings
from stencilnet.training.distributed import ALONE
from stencilnet.training.fit import Interrupted
from stencilnet.training.settings import Settings


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
    with pytest.raises(RunError, match=r"already holds a run\. Pass --resume to continue it"):
        start(finished.folder.path, finished.experiment)
    other = dataclasses.replace(finished.experiment, seed=1)
    with pytest.raises(RunError, match=r"another config; it differs in seed\."):
        start(finished.folder.path, other, resume=True)


def test_weights_may_have_been_downloaded_on_another_machine(tmp_path: Path) -> None:
    def given(weights: str) -> Experiment:
        keys = ("perceptual.weights", "backbone.weights")
        sources = ["perceptual.source=vgg", "backbone.width=64", "backbone.init=vgg13"]
        return read_config("demo/tiny", [*sources, *(f"{key}={weights}" for key in keys)])

    folder = RunFolder(tmp_path / "run", "piggyback")
    claim(folder, given("download"), resume=False)
    before = folder.config.read_bytes()
    for weights in ("cache", "download"):
        claim(folder, given(weights), resume=True)
    assert folder.config.read_bytes() == before
    with pytest.raises(RunError, match=r"it differs in backbone\.weights, perceptual\.weights\. Choose"):
        claim(folder, given("mine.pth"), resume=True)


def test_a_style_cannot_come_first(tmp_path: Path) -> None:
    whole = read_config("demo/tiny")
    style = next(plan for plan in whole.tasks if plan.task.kind == "style")
    with pytest.raises(RunError, match="style losses need a trained backbone"):
        start(tmp_path, dataclasses.replace(whole, methods=whole.methods[:1], tasks=(style, *whole.tasks[:2])))


def test_a_damaged_config_of_a_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"title": "ha')
    with pytest.raises(RunError, match=r"config\.json is damaged .* Restore it"):
        start(tmp_path, two_tasks("piggyback"), resume=True)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("x")
    with pytest.raises(RunError, match="is not empty and holds no run"):
        start(tmp_path, two_tasks("piggyback"))
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_run_cut_off_between_training_and_result_is_gone_on_with(finished: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished.folder.path, folder)
    (folder / "piggyback" / "colour" / "result.json").unlink()
    (folder / "finetune" / "colour" / "result.json").unlink()
    (folder / "pictures" / "colour" / "00000-finetune.png").unlink()
    run = start(folder, finished.experiment, resume=True)
    run.compare()
    assert {s: r.digests for s, r in by_stage(run).items()} == {s: r.digests for s, r in by_stage(finished).items()}
    assert tree(folder / "pictures") == tree(finished.folder.path / "pictures")


def test_a_moving_methods_task_needs_its_parent(tmp_path: Path) -> None:
    run = Run(two_tasks("finetune"), Session(out=tmp_path / "run", root=Path(), only=("colour",)))
    with pytest.raises(RunError, match=r"from the state after 'things', .* Learn it first: --only things"):
        run.compare()


def test_the_masks_of_a_bundle_are_analysed_also_without_its_first_task(finished: Run, tmp_path: Path) -> None:
    shutil.copytree(finished.folder.path / "bundle", tmp_path / "bundle")
    written = analyze_bundle(tmp_path / "bundle", tmp_path / "masks")
    assert [path.name for path in written] == ["zeros-things.svg", "zeros-colour.svg", "kappa-layers.svg", "masks.json"]
    found = json.loads((tmp_path / "masks" / "masks.json").read_text())
    assert found["agreement"][0]["first"] == "scenes"
    assert found["agreement"][0]["value"] == pytest.approx(1 - found["zero_ratio"]["things"]["total"])
    remove_task(tmp_path / "bundle", "scenes")
    analyze_bundle(tmp_path / "bundle", tmp_path / "again")
    again = json.loads((tmp_path / "again" / "masks.json").read_text())
    assert again["agreement"][0] == {**found["agreement"][0], "first": "all ones"}


def test_rows_hold_the_tasks_up_to_their_own_whoever_came_first(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Learned in another order, the results are the same; completing a row runs nothing through a network."""
    experiment = dataclasses.replace(finished.experiment, methods=finished.experiment.methods[:1])
    folder = tmp_path / "run"
    measured: list[str] = []
    measure = testing.Tester.measure

    def counted(self: testing.Tester, name: str, predict: object) -> dict[str, float]:
        measured.append(name)
        return measure(self, name, predict)

    monkeypatch.setattr(testing.Tester, "measure", counted)
    Run(experiment, Session(out=folder, root=Path(), only=("colour",))).compare()
    run = start(folder, experiment, resume=True)
    assert list(by_stage(run)["piggyback", "colour"].metrics) == ["scenes", "colour"]
    run.compare()
    done = by_stage(run)
    assert list(done["piggyback", "things"].metrics) == ["scenes", "things"]
    assert sorted(measured) == ["colour", "colour", "scenes", "scenes", "things", "things"]  # each, and its baseline
    reference = by_stage(finished)
    for stage, result in done.items():
        assert (result.metrics, result.digests) == (reference[stage].metrics, reference[stage].digests)
    assert sn.load(folder / "bundle").tasks == ("scenes", "things", "colour")
    before = tree(folder)
    run.compare()
    assert tree(folder) == before


@pytest.mark.parametrize("lock", [".backbone.lock", ".piggyback.things.lock", ".finetune.lock"])
def test_waiting_for_another_process_can_be_stopped(lock: str, finished: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished.folder.path, folder)
    for method in ("piggyback", "finetune", "backbone"):
        (folder / method / ("scenes" if method == "backbone" else "things") / "result.json").unlink()
    if lock != ".backbone.lock":
        shutil.copy(finished.folder.result("backbone", "scenes"), folder / "backbone" / "scenes")
    held, request = threading.Event(), threading.Event()

    def other_process() -> None:
        with FileLock(folder / lock):
            held.set()
            request.wait(20)

    other = threading.Thread(target=other_process)
    other.start()
    assert held.wait(20)
    methods = ("finetune",) if "finetune" in lock else ()
    session = Session(out=folder, root=Path(), resume=True, methods=methods, stop=lambda: True)
    began = time.monotonic()
    with pytest.raises(Interrupted, match="waiting for another process"):
        Run(finished.experiment, session).compare()
    assert time.monotonic() - began < 10
    request.set()
    other.join()
    start(folder, finished.experiment, resume=True).compare()
    assert set(by_stage(start(folder, finished.experiment, resume=True))) == set(by_stage(finished))


def test_a_task_that_left_the_bundle_is_learned_again(finished: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished.folder.path, folder)
    remove_task(folder / "bundle", "colour")
    assert "colour" not in sn.load(folder / "bundle").tasks
    start(folder, finished.experiment, resume=True).compare()
    assert "colour" in sn.load(folder / "bundle").tasks


@pytest.mark.parametrize("fast", [False, True])
def test_a_run_goes_on_in_the_precision_its_first_training_found(
    fast: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, open_ = RunFolder(tmp_path, "piggyback"), Settings(device="cpu")
    monkeypatch.setattr(settings, "has_fast_bf16", lambda _: fast)
    found = settle(folder, open_, ALONE)
    assert found == dataclasses.replace(open_, precision="bf16" if fast else "float32")
    monkeypatch.setattr(settings, "has_fast_bf16", lambda _: not fast)
    assert settle(folder, open_, ALONE) == found
    assert (
        settle(folder, dataclasses.replace(open_, precision="float32"), ALONE).precision == "float32"
    )  # who asks, is heard
    folder.resolved.write_text("{")
    with pytest.raises(RunError, match=r'resolved\.json is damaged .* \{"precision": "float32"\} .* delete the file'):
        settle(folder, open_, ALONE)
    folder.resolved.write_text('{"precision": "float32"}')  # what the message says
    assert settle(folder, open_, ALONE).precision == "float32"


def test_two_plans_of_one_kind_stand_side_by_side(tmp_path: Path) -> None:
    """Each has its own folder, bundle, pictures and column; bundles tell them apart by the method's settings."""
    experiment = two_tasks("piggyback")
    (plan,) = experiment.methods
    priced = dataclasses.replace(plan, name="cheap-ones", method=sn.Piggyback(lr=1e-2, price=0.5))
    quick = dataclasses.replace(plan, name="quick", method=sn.Piggyback(lr=2e-2))
    run = start(tmp_path / "run", dataclasses.replace(experiment, methods=(priced, quick, plan)))
    run.compare()
    assert {key for key in by_stage(run) if key[0] not in ("backbone", "trivial")} == {
        (name, task) for name in ("cheap-ones", "quick", "piggyback") for task in ("things", "colour")
    }
    bundles = [tmp_path / "run" / name for name in ("bundle", "quick/bundle", "piggyback/bundle")]
    records = [sn.load(bundle).records["colour"] for bundle in bundles]
    assert [record.method for record in records] == ["piggyback"] * 3
    assert [record.recipe["method"]["price"] for record in records] == [0.5, 0.0, 0.0]
    assert [record.recipe["method"]["lr"] for record in records] == [1e-2, 2e-2, 1e-2]
    one, other = (sn.load(bundle).deltas["colour"].masks for bundle in bundles[1:])
    assert one != other
    report = write_report(run).with_name("report.md").read_text()
    (head,) = {line for line in report.splitlines() if line.startswith("|  | metric | ")}
    assert head == "|  | metric | Piggyback | cheap-ones | quick | trivial |"
    pictures = run.folder.pictures("colour")
    assert {path.name for path in saved(pictures, "quick").values()} == {"00000-quick.png", "00002-quick.png"}
    assert jobs(run.experiment, methods=("quick",), only=("colour",))[1].name == "quick/colour"
    planned = forecast(run.experiment, Path(), methods=("quick",), only=("colour",), say=lambda _: None)
    assert [row.stage.method for row in planned.trainings] == ["backbone", "quick"]
    before = tree(tmp_path / "run")
    start(tmp_path / "run", run.experiment, resume=True).compare()
    assert tree(tmp_path / "run") == before


def warm(experiment: Experiment, task: str) -> Experiment:
    """Piggyback whose other tasks start from one task's mask."""
    (plan,) = experiment.methods
    return dataclasses.replace(
        experiment, methods=(dataclasses.replace(plan, method=sn.Piggyback(lr=1e-2, warm_start=task)),)
    )


def test_tasks_start_warm_from_another_of_the_run(tmp_path: Path) -> None:
    cold, started = two_tasks("piggyback"), warm(two_tasks("piggyback"), "things")
    runs = [start(tmp_path / name, experiment) for name, experiment in (("cold", cold), ("warm", started))]
    for run in runs:
        run.compare()
    one, other = (sn.load(run.folder.path / "bundle") for run in runs)
    assert other.tasks == ("scenes", "things", "colour")
    assert one.deltas["things"].masks == other.deltas["things"].masks
    assert one.deltas["colour"].masks != other.deltas["colour"].masks
    alike = [
        sum(int((a[key].unpack() == b[key].unpack()).sum()) for key in a)
        for a, b in ((net.deltas["things"].masks, net.deltas["colour"].masks) for net in (one, other))
    ]
    assert alike[1] > alike[0]  # it has kept to where it started
    rows = by_stage(runs[1])["piggyback", "colour"]
    assert set(rows.metrics) == {"scenes", "things", "colour"}


def test_a_warm_start_that_is_not_learned_yet_is_asked_for(tmp_path: Path) -> None:
    experiment = warm(two_tasks("piggyback"), "things")
    run = Run(experiment, Session(out=tmp_path / "run", root=Path(), only=("colour",)))
    with pytest.raises(RunError, match=r"starts 'colour' from 'things', .* Learn it first: --only things\."):
        run.compare()


def test_an_added_task_starts_warm_from_one_of_the_bundle(finished: Run, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(finished.folder.path / "bundle", bundle)
    remove_task(bundle, "colour")
    experiment = warm(two_tasks("piggyback"), "things")
    assert add_tasks(bundle, experiment, Session(out=tmp_path / "work", root=Path())) == ("colour",)
    assert sn.load(bundle).tasks == ("scenes", "things", "colour")
    remove_task(bundle, "things")
    remove_task(bundle, "colour")
    only = Session(out=tmp_path / "work", root=Path(), only=("colour",))
    with pytest.raises(ValueError, match="to name an earlier task with a mask, but 'things' does not exist"):
        add_tasks(bundle, experiment, only)
