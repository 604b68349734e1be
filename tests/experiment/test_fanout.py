"""A run spread over machines, by hand and by engines: real Ray workers, real submitit processes, the same bytes."""

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import stencilnet as sn
from stencilnet.bundle import merge, verify
from stencilnet.cluster import FanError, FanJob, ProcessesAsk, RayAsk, SlurmAsk, fan_out, jobs, read_ask
from stencilnet.config.reading import ConfigError, read_config
from stencilnet.config.schema import Experiment
from stencilnet.experiment.reporting import write_report
from stencilnet.experiment.run import Run, Session
from stencilnet.training.fit import Interrupted

LOCAL = SlurmAsk(cluster="local", parameters={"timeout_min": 5})


def small(*methods: str, steps: int = 6) -> Experiment:
    """The tiny demo's first three tasks, by some of its methods; `things` takes `steps`."""
    whole = read_config("demo/tiny", ["backbone.width=2", "trainer.checkpoint_every=5"])
    plans = tuple(plan for plan in whole.methods if plan.method.name in methods)
    scenes, things, colour = whole.tasks[:3]
    things = dataclasses.replace(things, recipe=dataclasses.replace(things.recipe, steps=steps))
    return dataclasses.replace(whole, methods=plans, tasks=(scenes, things, colour))


def go_on(folder: Path, experiment: Experiment, **session: Any) -> Run:
    return Run(experiment, Session(out=folder, root=Path(), resume=True, **session))


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Experiment], Path]:
    """``start(experiment)``: a new run folder with the trained backbone, as `--only FIRST` leaves it."""
    folder = tmp_path_factory.mktemp("start") / "run"
    run = Run(small("piggyback"), Session(out=folder, root=Path(), only=("scenes",)))
    run.compare()
    assert not (folder / "bundle").exists()

    def copy(experiment: Experiment) -> Path:
        place = tmp_path_factory.mktemp("machine") / "run"
        Run(experiment, Session(out=place, root=Path()))  # its config; the backbone is the same for all of them
        own = (place / "config.json").read_bytes()
        shutil.copytree(folder, place, dirs_exist_ok=True)
        (place / "config.json").write_bytes(own)
        return place

    return copy


@pytest.fixture(scope="module")
def alone(start: Callable[[Experiment], Path]) -> Run:
    """One machine does it all."""
    experiment = small("piggyback", "finetune")
    run = go_on(start(experiment), experiment)
    run.compare()
    return run


@pytest.fixture(scope="module")
def long_alone(start: Callable[[Experiment], Path]) -> Run:
    """The same, of a task that takes long enough to be disturbed."""
    experiment = small("piggyback", steps=200)
    run = go_on(start(experiment), experiment)
    run.compare()
    return run


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A Ray of this process's own."""
    import ray

    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def deltas(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("delta-*.safetensors")}


def rows(run: Run) -> dict[tuple[str, str], tuple[Any, Any]]:
    return {(r.method, r.task): (dict(r.metrics), dict(r.digests)) for r in run.results()}


def plain_task(path: Path) -> dict[str, Any]:
    """A task's record, without what another run of the same training changes: its time, and so its own hash."""
    record: dict[str, Any] = json.loads(path.read_text())
    del record["sha256"], record["provenance"]["date"], record["provenance"]["seconds"]
    return record


def act_at_checkpoint(folder: Path, task: str, act: Callable[[int], None]) -> threading.Thread:
    """When a training has its first checkpoint, do something to the process that its log names."""

    def watch() -> None:
        checkpoint = folder / "piggyback" / task / "fit-0" / "checkpoint.pt"
        while not checkpoint.exists():
            time.sleep(0.005)
        log = (folder / "logs" / f"piggyback.{task}.log").read_text()
        act(int(re.findall(r"process (\d+)", log)[-1]))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def test_jobs_are_one_a_task_or_one_a_chain() -> None:
    experiment = small("piggyback", "finetune", "scratch")
    backbone = FanJob(name="backbone", method="piggyback", tasks=("scenes",))
    chain = FanJob(name="finetune", method="finetune", tasks=("things", "colour"))

    def single(method: str, task: str) -> FanJob:
        return FanJob(name=f"{method}/{task}", method=method, tasks=(task,))

    free = [single(method, task) for method in ("piggyback", "scratch") for task in ("things", "colour")]
    assert jobs(experiment) == (backbone, *free, chain)
    assert jobs(experiment, methods=("finetune",)) == (dataclasses.replace(backbone, method="finetune"), chain)
    assert jobs(experiment, ("piggyback",), only=("colour",)) == (backbone, single("piggyback", "colour"))
    assert jobs(experiment, only=("scenes",)) == (backbone,)
    warm = dataclasses.replace(experiment.methods[0], method=sn.Piggyback(warm_start="things"))
    whole = FanJob(name="piggyback", method="piggyback", tasks=("things", "colour"))
    assert jobs(dataclasses.replace(experiment, methods=(warm,))) == (backbone, whole)


@pytest.mark.slow
def test_machines_apart_and_merged_are_one_machine(start: Callable[[Experiment], Path], alone: Run) -> None:
    experiment = small("piggyback", "finetune")
    one, other = start(experiment), start(experiment)
    go_on(one, experiment, only=("colour",), methods=("piggyback",)).compare()
    go_on(other, experiment, only=("things",), methods=("piggyback",)).compare()
    assert merge(one / "bundle", [other / "bundle"]).added == ("things",)
    whole = alone.folder.path / "bundle"
    assert deltas(one / "bundle") == deltas(whole)
    assert sn.load(one / "bundle").tasks == ("scenes", "things", "colour")
    for name in ("scenes", "things", "colour"):
        files = [folder / "tasks" / name / "task.json" for folder in (one / "bundle", whole)]
        assert plain_task(files[0]) == plain_task(files[1])
    run = go_on(one, experiment)
    run.compare()  # only tests what was merged; finetune is learned
    assert not (one / "piggyback" / "things" / "fit-0").exists()
    assert rows(run) == rows(alone)
    assert write_report(run).exists()  # a task without curves is no trouble


@pytest.mark.slow
def test_ray_gives_the_same_bytes(cluster: None, start: Callable[[Experiment], Path], alone: Run) -> None:
    experiment = small("piggyback", "finetune")
    told: list[str] = []
    run = go_on(start(experiment), experiment, announce=told.append)
    assert fan_out(run, RayAsk()) == {}
    assert deltas(run.folder.path) == deltas(alone.folder.path)
    assert rows(run) == rows(alone)
    assert verify(run.folder.path / "bundle").ok
    for job in jobs(experiment)[1:]:
        assert any(line.startswith(f"{job.name} | starts on ") for line in told)
        assert f"{job.name}: done" in told
    assert not any(line.startswith("backbone") for line in told)  # it was there
    told.clear()
    assert fan_out(run, RayAsk()) == {}
    assert not told  # nothing is done twice
    import ray

    assert ray.is_initialized()  # it was not started by us


def test_processes_give_the_same_bytes(start: Callable[[Experiment], Path], alone: Run) -> None:
    experiment = small("piggyback", "finetune")
    told: list[str] = []
    run = go_on(start(experiment), experiment, announce=told.append)
    before = torch.get_num_threads()
    torch.set_num_threads(2 * before)  # two jobs at once share them equally: each has as many as the run alone
    try:
        assert fan_out(run, ProcessesAsk(jobs=2)) == {}
    finally:
        torch.set_num_threads(before)
    assert deltas(run.folder.path) == deltas(alone.folder.path)
    assert rows(run) == rows(alone)
    assert verify(run.folder.path / "bundle").ok
    log = "\n".join(told)
    assert len(set(re.findall(r"starts on .*, process (\d+)", log))) == 2
    assert str(os.getpid()) not in re.findall(r"process (\d+)", log)
    told.clear()
    assert fan_out(run, ProcessesAsk()) == {}
    assert not told  # nothing is done twice


@pytest.mark.slow
def test_a_process_that_dies_is_told_and_the_run_goes_on(start: Callable[[Experiment], Path], long_alone: Run) -> None:
    experiment = long_alone.experiment
    run = go_on(start(experiment), experiment, only=("things",))
    killer = act_at_checkpoint(run.folder.path, "things", lambda pid: os.kill(pid, signal.SIGKILL))
    assert fan_out(run, ProcessesAsk(jobs=1)) == {
        "piggyback/things": "a process died, perhaps for lack of memory: ask for fewer jobs"
    }
    killer.join()
    assert fan_out(run, ProcessesAsk(jobs=1)) == {}
    assert re.search(r"200 steps, from step [1-9]", (run.folder.path / "logs" / "piggyback.things.log").read_text())
    bundles = [whole.folder.path / "bundle" / "tasks" / "things" for whole in (run, long_alone)]
    assert deltas(bundles[0]) == deltas(bundles[1])


def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    words = ["train", "demo/tiny", "--out", str(tmp_path / "run"), "--only", "scenes", "--on", "processes"]
    driver = subprocess.Popen([sys.executable, "-m", "stencilnet", *words], stderr=subprocess.PIPE)
    log = tmp_path / "run" / "logs" / "backbone.log"
    while not (log.exists() and "starts on" in log.read_text()):
        assert driver.poll() is None
        time.sleep(0.05)
    driver.kill()
    driver.communicate()  # ends when no process is left that could write there


@pytest.mark.slow
def test_a_killed_ray_worker_goes_on_from_its_checkpoint(
    cluster: None, start: Callable[[Experiment], Path], long_alone: Run
) -> None:
    experiment = long_alone.experiment
    run = go_on(start(experiment), experiment, only=("things",))
    killer = act_at_checkpoint(run.folder.path, "things", lambda pid: os.kill(pid, signal.SIGKILL))
    assert fan_out(run, RayAsk()) == {}
    killer.join()
    log = (run.folder.path / "logs" / "piggyback.things.log").read_text()
    assert log.count("starts on") == 2
    assert re.search(r"200 steps, from step [1-9]", log)
    bundles = [whole.folder.path / "bundle" / "tasks" / "things" for whole in (run, long_alone)]
    assert deltas(bundles[0]) == deltas(bundles[1])


@pytest.mark.slow
def test_a_failed_job_is_named_and_the_others_end(cluster: None, start: Callable[[Experiment], Path]) -> None:
    experiment = small("piggyback")
    source = read_config("photos").tasks[0].data
    colour = dataclasses.replace(experiment.tasks[2], data=dataclasses.replace(source, validation=None))
    experiment = dataclasses.replace(experiment, tasks=(*experiment.tasks[:2], colour))
    run = go_on(start(experiment), experiment)
    failures = fan_out(run, RayAsk())
    assert list(failures) == ["piggyback/colour"]
    assert "Expected" in failures["piggyback/colour"]
    assert sn.load(run.folder.path / "bundle").tasks == ("scenes", "things")
    message = str(FanError(failures))
    assert message.startswith("one job failed. Finished work is kept; pass --resume to continue:\n  piggyback/colour: ")


@pytest.mark.parametrize("ask", [ProcessesAsk(jobs=1), pytest.param(RayAsk(), marks=pytest.mark.slow)], ids=repr)
def test_stopping_leaves_checkpoints(
    ask: ProcessesAsk | RayAsk, request: pytest.FixtureRequest, start: Callable[[Experiment], Path]
) -> None:
    if isinstance(ask, RayAsk):
        request.getfixturevalue("cluster")
    experiment = small("piggyback", steps=100_000)
    stop = threading.Event()
    run = go_on(start(experiment), experiment, only=("things",), stop=stop.is_set)
    act_at_checkpoint(run.folder.path, "things", lambda _: stop.set())
    with pytest.raises(Interrupted):
        fan_out(run, ask)
    folder = run.folder.stage("piggyback", "things") / "fit-0"
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])["step"]
    assert torch.load(folder / "checkpoint.pt", weights_only=True)["step"] >= last
    assert not list(run.folder.path.glob(".stop-*"))


@pytest.mark.slow
def test_submitit_gives_the_same_bytes_also_when_preempted(
    start: Callable[[Experiment], Path], long_alone: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))  # the same bytes need as many threads
    experiment = long_alone.experiment
    run = go_on(start(experiment), experiment)
    preempted = act_at_checkpoint(run.folder.path, "things", lambda pid: os.kill(pid, signal.SIGUSR2))
    assert fan_out(run, LOCAL) == {}
    preempted.join()
    log = (run.folder.path / "logs" / "piggyback.things.log").read_text()
    assert log.count("starts on") == 2
    assert re.search(r"200 steps, from step [1-9]", log)
    assert deltas(run.folder.path) == deltas(long_alone.folder.path)
    assert rows(run) == rows(long_alone)
    assert list((run.folder.path / "logs" / "submitit").glob("*_log.out"))


def test_what_is_asked_is_read() -> None:
    asked = ["num_gpus=0.5", "memory=4e9", "address=10.0.0.1:6379"]
    assert read_ask("ray", asked) == RayAsk(num_gpus=0.5, memory=4_000_000_000, address="10.0.0.1:6379")
    assert read_ask("processes", ["jobs=3"]) == ProcessesAsk(jobs=3)
    found = read_ask("slurm", ["cluster=local", "slurm_partition=gpu", "slurm_time=01:00:00", "gpus_per_node=1"])
    assert found == SlurmAsk(
        cluster="local",
        parameters={"timeout_min": 1440, "slurm_partition": "gpu", "slurm_time": "01:00:00", "gpus_per_node": 1},
    )


@pytest.mark.parametrize(
    ("engine", "words", "message"),
    [
        ("ray", ["gpus=1"], "unknown key 'gpus' for ray. Known: address, num_cpus, num_gpus, memory, max_retries"),
        ("ray", ["num_cpus=many"], "expected `num_cpus` to be a number >= 0, but got 'many'"),
        ("ray", ["max_retries=1.5"], "expected `max_retries` to be a whole number >= 0, but got 1.5"),
        ("processes", ["jobs=many"], "expected `jobs` to be a whole number >= 0, but got 'many'"),
        ("processes", ["cores=2"], "unknown key 'cores' for processes. Known: jobs"),
        ("slurm", ["partition"], "expected KEY=VALUE, but got 'partition'"),
        ("slurm", ["cluster=moon"], "expected `cluster` to be slurm or local, but got 'moon'"),
    ],
)
def test_usage_errors_are_named(engine: str, words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        read_ask(engine, words)


@pytest.mark.parametrize(("engine", "package"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_missing_engine_says_how_to_get_it(engine: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"{package} is not installed: pip install 'stencilnet\[{engine}\]'"):
        read_ask(engine, [])


def test_an_engine_that_is_not_there_is_told(start: Callable[[Experiment], Path]) -> None:
    experiment = small("piggyback")
    run = go_on(start(experiment), experiment)
    with pytest.raises(ValueError, match="Expected a machine that can submit to Slurm"):
        fan_out(run, SlurmAsk())
    with pytest.raises(ConfigError, match="Use 'slurm_partition' instead"):
        fan_out(run, SlurmAsk(cluster="local", parameters={"partition": "gpu"}))


def test_a_machine_that_does_not_see_the_folder_says_so(start: Callable[[Experiment], Path], tmp_path: Path) -> None:
    from stencilnet.cluster.work import Outcome, Work, carry_out

    experiment = small("piggyback")
    job = jobs(experiment)[1]
    work = Work(experiment=experiment, job=job, out=tmp_path / "far", root=tmp_path, stop_request=tmp_path / "stop")
    outcome = carry_out(work)
    assert outcome == Outcome(state="failed", message=outcome.message)
    assert f"Expected the run folder {tmp_path / 'far'} on " in outcome.message
    assert "file system that all machines see" in outcome.message
