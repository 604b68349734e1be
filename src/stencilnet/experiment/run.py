"""Runs the protocol of a config: learns each task by each method, saves, tests again, resumes after interruptions."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from stencilnet.bundle import add_task, task_names
from stencilnet.config.classes import with_classes
from stencilnet.config.schema import Experiment, MethodPlan
from stencilnet.evaluation.protocol import BACKBONE, TRIVIAL, Stage
from stencilnet.evaluation.results import StageResult, read_result, write_result
from stencilnet.experiment.folder import RunError, RunFolder, claim, settle
from stencilnet.experiment.locking import alone
from stencilnet.experiment.memory import read_memory, write_memory
from stencilnet.experiment.session import Session, learning
from stencilnet.experiment.testing import Tester
from stencilnet.experiment.walking import First, Learn, LearnTogether, Remember, Retrain, Step, is_chain, walk
from stencilnet.kinds.catalog import traits_of
from stencilnet.learning.backbones import make_backbone
from stencilnet.learning.counting import DataError, check_all
from stencilnet.learning.joint import Member, learn_jointly
from stencilnet.learning.learn import Learning, adopt, learn_task
from stencilnet.learning.opening import TaskData, open_data
from stencilnet.learning.styles import bind_tasks
from stencilnet.masks import arrays_of
from stencilnet.models import MultiTaskNet, load, save
from stencilnet.tasks.perceptual_task import PerceptualTask
from stencilnet.tasks.task import Task


class Run:
    """A run and its folder. Every finished training and test is written to disk before the next one starts.

    Args:
        experiment: The config.
        session: How to carry it out.

    Raises:
        RunError: If the folder holds a run of another config, or a run that is not to be resumed; also if the first
            task is a style task.
    """

    def __init__(self, experiment: Experiment, session: Session) -> None:
        experiment = with_classes(experiment, session.root)
        self.experiment = experiment
        self.session = session
        self.folder = RunFolder(session.out, experiment.methods[0].name)
        first = experiment.tasks[0].task
        if isinstance(first, PerceptualTask):
            raise RunError(
                f"The first task {self.first!r} cannot be {traits_of(first.kind).category}: style losses need a "
                "trained backbone. Put another task first."
            )
        claim(self.folder, experiment, resume=session.resume)
        self._data: dict[str, TaskData] = {}

    @property
    def first(self) -> str:
        """Name of the first task."""
        return self.experiment.tasks[0].name

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """Tasks by name, style tasks bound to their image and perceptual network; needs the trained backbone."""
        backbone = load(self.folder.backbone).backbone
        images = self.data(self.first).train
        return bind_tasks(self.experiment, backbone, lambda: images, self.session.root, self.folder.perceptual)

    def data(self, name: str) -> TaskData:
        """Return a task's data, opened once."""
        if name not in self._data:
            self._data[name] = open_data(self.experiment.plan(name), self.session.root, memo=self.folder.gray(name))
        return self._data[name]

    def compare(self) -> None:
        """Learn every task by every method that the session selects.

        Raises:
            DataError: If there is nothing to learn or to measure in a task's data. Nothing has been trained.
        """
        self.check_data()
        for method in self._methods():
            self.learn(method)

    def check_data(self) -> None:
        """Count the data of all tasks that are still to be learned, and announce which classes they lack.

        Raises:
            DataError: If there is nothing to learn or to measure in a task's data. A folder in which nothing was
                trained yet can then be used for another config.
        """
        steps = walk(self.experiment, [method.name for method in self._methods()], self.session.only)
        names = {step.stage.task for step in self._pending(steps) if not isinstance(step, Remember)}
        plans = [plan for plan in self.experiment.tasks if plan.name in names]
        try:
            check_all(plans, self.data, self.session.announce, self.folder.counts)
        except DataError:
            self.folder.withdraw()
            raise

    def _methods(self) -> list[MethodPlan]:
        asked = self.session.methods
        return [method for method in self.experiment.methods if not asked or method.name in asked]

    def learn(self, method: MethodPlan) -> None:
        """Learn every task by one method; stages that the folder already holds are skipped.

        Several processes may fill one folder, with different methods or tasks; each stage is done by one of them. If a
        method's tasks depend on each other, they form a chain, on which one process works at a time.
        """
        chain = is_chain(self.experiment, method)
        for step in self._pending(walk(self.experiment, [method.name], self.session.only)):
            stage = step.stage
            with self._alone(stage.method if chain or isinstance(step, First) else f"{stage.method}.{stage.task}"):
                if not self._done(step):  # another process may have done it meanwhile
                    self._do(step)
        self.complete(method)

    def unfinished(self, method: str, tasks: Sequence[str]) -> tuple[str, ...]:
        """Return those of a method's tasks that are still to be learned or tested."""
        steps = walk(self.experiment, [method])
        return tuple(step.stage.task for step in steps if step.stage.task in tasks and not self._done(step))

    def complete(self, method: MethodPlan) -> None:
        """Complete the rows of a method's results that lack earlier tasks, learned later or by another process.

        If every task's own stage is done, its numbers are known and nothing is measured.
        """
        for step in walk(self.experiment, [method.name]):
            if not step.stage.moves_shared and self._done(step) and self._missing(step.stage):
                with self._bundle_alone(step.stage):
                    self._fill(step.stage)

    def _alone(self, name: str) -> AbstractContextManager[None]:
        """Lock a piece of work, waiting for another process that does it; see `alone`."""
        return alone(self.folder.path / f".{name}.lock", self.session.stop, self.session.announce)

    def _bundle_alone(self, stage: Stage) -> AbstractContextManager[None]:
        return self._alone(f"{stage.method}.bundle")  # no task may have this name

    def _bundle(self, stage: Stage) -> Path:
        """Return the bundle that holds the state after a stage."""
        if stage.method == BACKBONE:
            return self.folder.backbone
        return self.folder.bundle(stage.method, stage.task, moves_shared=stage.moves_shared)

    def _holds(self, stage: Stage) -> bool:
        bundle = self._bundle(stage)
        return bundle.exists() and stage.task in task_names(bundle)

    def _done(self, step: Step) -> bool:
        """Return whether a step has its result and its bundle still holds the task."""
        method, task = step.stage.method, step.stage.task
        if isinstance(step, Remember):
            return self.folder.memory(method, task).exists()
        return self.folder.result(method, task).exists() and self._holds(step.stage)

    def _pending(self, steps: Iterable[Step]) -> list[Step]:
        """Return the steps that are asked for and not done; of a method's memory, only what one of them starts from."""
        left = [step for step in steps if step.asked and not self._done(step)]
        starts = {(step.stage.method, step.start.task) for step in left if isinstance(step, Learn)}
        return [s for s in left if not isinstance(s, Remember) or (s.stage.method, s.stage.task) in starts]

    def _do(self, step: Step) -> None:
        """Carry out the unfinished part of a step."""
        stage = step.stage
        self.session.announce(f"{stage.method}: {stage.task}")
        if isinstance(step, Remember):
            write_memory(self.folder.memory(stage.method, stage.task), self._adopted(step).memory)
            return
        if not self._holds(stage):
            self._train(step)
        self._test(stage, load(self._bundle(stage)))

    def _train(self, step: First | Retrain | Learn | LearnTogether) -> None:
        """Train, and save the result."""
        bundle = self._bundle(step.stage)
        match step:
            case First():
                empty = make_backbone(self.experiment.backbone, self.experiment.seed)
                save(self._learned(empty, step), bundle)
            case Retrain():
                self._save_moved(step.stage, self._adopted(step))
            case Learn() if step.stage.moves_shared:
                self._save_moved(step.stage, self._learned(self._start(step), step))
            case Learn():
                net = self._learned(self._start(step), step)
                with self._bundle_alone(step.stage):
                    self._add(bundle, step.stage.task, net)
            case LearnTogether():
                save(self._joint(step), bundle)

    def _save_moved(self, stage: Stage, net: MultiTaskNet) -> None:
        """Save a state whose shared weights have moved, first the method's memory."""
        write_memory(self.folder.memory(stage.method, stage.task), net.memory)
        save(net, self._bundle(stage))

    def _add(self, bundle: Path, task: str, net: MultiTaskNet) -> None:
        """Add a task to a growing bundle in the config's order, so that the bytes do not depend on who adds first."""
        if not bundle.exists():
            save(load(self.folder.backbone), bundle)
        order = [plan.name for plan in self.experiment.tasks].index(task)
        add_task(bundle, task, net.records[task], net.deltas[task], shared=arrays_of(net.state.shared), order=order)

    def _start(self, step: Learn) -> MultiTaskNet:
        """Return the network from which a task is learned, with the method's memory."""
        stage, start = step.stage, step.start
        path = self._bundle(stage if step.needs else start)
        held = task_names(path) if path.exists() else []
        for task in step.needs:
            if task not in held:
                raise RunError(
                    f"{stage.method} starts {stage.task!r} from {task!r}, which {path} does not hold. "
                    f"Learn it first: --only {task}."
                )
        if not path.exists():
            raise RunError(
                f"{stage.method} learns {stage.task!r} from the state after {start.task!r}, which {self.folder.path} "
                f"does not hold. Learn it first: --only {start.task}."
            )
        net = load(path)
        net.memory = read_memory(self.folder.memory(stage.method, start.task))
        return net

    def _adopted(self, step: Remember | Retrain) -> MultiTaskNet:
        """Return the network after what a method does with the first task; see `stencilnet.learning.learn.adopt`."""
        label, name = step.stage.method, step.stage.task
        task, splits = self.experiment.plan(name).task, self.data(name)
        config = self._learning(label, name)
        return adopt(load(self.folder.backbone), task, splits, name=name, method=step.method, config=config)

    def _learned(self, net: MultiTaskNet, step: First | Learn) -> MultiTaskNet:
        label, name = step.stage.method, step.stage.task
        task = self.tasks[name] if net.tasks else self.experiment.plan(name).task
        config = self._learning(label, name)
        return learn_task(net, task, self.data(name), name=name, method=step.method, config=config)

    def _joint(self, step: LearnTogether) -> MultiTaskNet:
        """Train all tasks jointly from the initial backbone and return the network."""
        folder = self.folder.stage(step.stage.method, self.first)
        members = {
            name: Member(
                task=self.tasks[name],
                data=self.data(name),
                config=replace(self._learning(step.stage.method, name), folder=folder),
            )
            for name in step.tasks
        }
        return learn_jointly(make_backbone(self.experiment.backbone, self.experiment.seed), step.method, members)

    def _learning(self, label: str, name: str) -> Learning:
        with self._alone("resolved"):
            trainer = settle(self.folder, self.experiment.trainer, self.session.group)
        experiment = replace(self.experiment, trainer=trainer)
        folder = self.folder.stage(label, name)
        return replace(learning(experiment, self.experiment.plan(name), self.session, folder), label=label)

    def _tester(self) -> Tester:
        return Tester(experiment=self.experiment, tasks=self.tasks, data=self.data, root=self.session.root)

    def _test(self, stage: Stage, net: MultiTaskNet) -> None:
        tester = self._tester()
        trivial = self.folder.result(TRIVIAL, stage.task)
        if not trivial.exists():
            with self._alone(f"{TRIVIAL}.{stage.task}"):
                if not trivial.exists():
                    write_result(trivial, tester.trivial(stage.task))
        result = tester.result(stage, net, self._row(stage, net.tasks), self.results())
        tester.save_pictures(
            stage.task, stage.method, tester.network(net, stage.task), self.folder.pictures(stage.task)
        )
        write_result(self.folder.result(stage.method, stage.task), result)

    def _row(self, stage: Stage, held: Sequence[str]) -> tuple[str, ...]:
        """Return the tasks on which a stage's state is tested: those up to its own, whatever else its bundle holds.

        Earlier tasks of a growing bundle are included only once their own stage is done, since their numbers are then
        known. The others follow when the row is completed.
        """
        if stage.moves_shared:
            return tuple(held)
        tasks = [plan.name for plan in self.experiment.tasks]
        tasks = tasks[1 : tasks.index(stage.task)]
        earlier = [name for name in tasks if name in held and self.folder.result(stage.method, name).exists()]
        return tuple(dict.fromkeys((*([self.first] if self.first in held else []), *earlier, stage.task)))

    def _missing(self, stage: Stage) -> bool:
        result = read_result(self.folder.result(stage.method, stage.task))
        return not result.metrics.keys() >= set(self._row(stage, tuple(task_names(self._bundle(stage)))))

    def _fill(self, stage: Stage) -> None:
        path = self.folder.result(stage.method, stage.task)
        net = load(self._bundle(stage))
        tester = self._tester()
        metrics, digests = tester.row(net, self._row(stage, net.tasks), self.results())
        result = read_result(path)
        full = replace(result, metrics={**metrics, **result.metrics}, digests={**digests, **result.digests})
        write_result(path, full)

    def results(self) -> list[StageResult]:
        """Return the results of every finished stage of the folder, including trivial baselines."""
        return [read_result(path) for path in sorted(self.folder.path.glob("*/*/result.json"))]
