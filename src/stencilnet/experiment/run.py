"""Runs the protocol of a config: learn each task by each method, save, re-test, go on after an interruption."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from stencilnet.bundle import add_task, load, save, task_names
from stencilnet.evaluation.protocol import BACKBONE, TRIVIAL, Stage, plan, plan_joint
from stencilnet.evaluation.results import StageResult, read_result, write_result
from stencilnet.experiment.backbones import make_backbone
from stencilnet.experiment.classes import with_classes
from stencilnet.experiment.config import Experiment, MethodPlan, is_chain, prerequisites
from stencilnet.experiment.counting import DataError, check_all
from stencilnet.experiment.folder import RunError, RunFolder, claim, settle
from stencilnet.experiment.joint import Member, learn_jointly
from stencilnet.experiment.learning import Learning, Splits, adopt, learn_task
from stencilnet.experiment.locking import alone
from stencilnet.experiment.memory import read_memory, write_memory
from stencilnet.experiment.opening import TaskData, open_data
from stencilnet.experiment.session import Session, learning
from stencilnet.experiment.styles import bind_tasks
from stencilnet.experiment.testing import Tester
from stencilnet.methods import AnyMethod, JointMethod, Method
from stencilnet.models import MultiTaskNet
from stencilnet.tasks.style import StyleTransfer
from stencilnet.tasks.task import Task


class Run:
    """A run folder being filled. Every finished training and test is on disk before the next begins.

    Args:
        experiment: What to do.
        session: How to carry it out.

    Raises:
        RunError: If the folder holds a run and is not to be resumed, or one of another config.
    """

    def __init__(self, experiment: Experiment, session: Session) -> None:
        experiment = with_classes(experiment, session.root)
        self.experiment = experiment
        self.session = session
        self.folder = RunFolder(session.out, experiment.methods[0].name)
        if isinstance(experiment.tasks[0].task, StyleTransfer):
            raise RunError(
                f"Expected the first task {self.first!r} to be no style transfer: style losses look through a finished "
                "backbone. Put another task first."
            )
        claim(self.folder, experiment, resume=session.resume)
        self._data: dict[str, TaskData] = {}

    @property
    def first(self) -> str:
        """Name of the first task."""
        return self.experiment.tasks[0].name

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """Tasks by name, style tasks bound to their image and perceptual network; needs the finished backbone."""
        backbone = load(self.folder.backbone).backbone
        images = self.data(self.first).train
        return bind_tasks(self.experiment, backbone, lambda: images, self.session.root, self.folder.perceptual)

    def data(self, name: str) -> TaskData:
        """Return a task's data, opened once."""
        if name not in self._data:
            self._data[name] = open_data(self.experiment.plan(name), self.session.root, memo=self.folder.gray(name))
        return self._data[name]

    def compare(self) -> None:
        """Learn every task by every method of the config that the session asks for.

        Raises:
            DataError: If there is nothing to learn or to measure in a task's data; nothing has been trained then.
        """
        self.check_data()
        for method in self._methods():
            self.learn(method)

    def check_data(self) -> None:
        """Count the data of all tasks that are still to be learned, and tell which classes they lack.

        Raises:
            DataError: If there is nothing to learn or to measure in a task's data. A folder in which nothing was begun
                is free again.
        """
        stages = [stage for method in self._methods() for stage in self._wanted(method) if not self._done(stage)]
        names = {stage.task for stage in stages}
        if not self.folder.result(BACKBONE, self.first).exists():
            names.add(self.first)
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
        """Learn every task by one method; stages that the folder holds already are not done again.

        Several processes may fill one folder, by different methods or tasks: each stage is done by one of them. The
        tasks of a method that cannot learn them apart form a chain, which one process at a time goes on with.
        """
        if not self.folder.result(BACKBONE, self.first).exists():
            with self._alone(BACKBONE):
                self._first()
        for stage in self._wanted(method):
            if not self._done(stage):
                chain = is_chain(self.experiment, method)
                with self._alone(stage.method if chain else f"{stage.method}.{stage.task}"):
                    self._further(stage, method)
        self.complete(method)

    def unfinished(self, method: str, tasks: Sequence[str]) -> tuple[str, ...]:
        """Return those of a method's tasks that are still to be learned or tested."""
        method_plan = next(plan for plan in self.experiment.methods if plan.name == method)
        return tuple(stage.task for stage in self._stages(method_plan) if stage.task in tasks and not self._done(stage))

    def complete(self, method: MethodPlan) -> None:
        """Fill up the rows of a method's results whose earlier tasks were learned later, or by another process.

        Where every task's own stage is done, its numbers are known, and nothing is run through a network.
        """
        for stage in () if method.method.moves_shared else self._stages(method):
            if self._done(stage) and self._missing(stage):
                with self._bundle_alone(stage):
                    self._fill(stage)

    def _stages(self, method: MethodPlan) -> tuple[Stage, ...]:
        tasks = (self.first, *self.experiment.learned_by(method))
        kind = method.method
        if isinstance(kind, JointMethod):
            return plan_joint(tasks, method.name)
        return plan(tasks, method.name, kind.moves_shared, method.parents, kind.after_first == "retrain")[1:]

    def _wanted(self, method: MethodPlan) -> tuple[Stage, ...]:
        """Return the stages to be done: none at all where none of the further tasks is asked for."""
        only, stages = self.session.only, self._stages(method)
        further = [stage for stage in stages if stage.task != self.first and (not only or stage.task in only)]
        return (*(stage for stage in stages if stage.task == self.first and further), *further)

    def _alone(self, name: str) -> AbstractContextManager[None]:
        """Wait for another process that is at the same work; the system frees the lock of one that crashed."""
        return alone(self.folder.path / f".{name}.lock", self.session.stop, self.session.announce)

    def _bundle_alone(self, stage: Stage) -> AbstractContextManager[None]:
        return self._alone(f"{stage.method}.bundle")  # no task may have this name

    def _first(self) -> None:
        if not self.folder.backbone.exists():
            self.session.announce(f"{BACKBONE}: {self.first}")
            empty = make_backbone(self.experiment.backbone, self.experiment.seed)
            net = self._learned(empty, BACKBONE, self.first, self.experiment.methods[0])
            save(net, self.folder.backbone)
        if not self.folder.result(BACKBONE, self.first).exists():
            stage = Stage(method=BACKBONE, task=self.first, index=0, parent=None, moves_shared=True)
            self._test(stage, load(self.folder.backbone))

    def _further(self, stage: Stage, method: MethodPlan) -> None:
        if self._done(stage):  # another process has done it meanwhile
            return
        self.session.announce(f"{stage.method}: {stage.task}")
        bundle = self.folder.bundle(stage.method, stage.task, moves_shared=stage.moves_shared)
        if stage.moves_shared:
            if not bundle.exists():
                net = self._moved(stage, method)
                write_memory(self.folder.memory(stage.method, stage.task), net.memory)
                save(net, bundle)
        elif isinstance(method.method, JointMethod):
            if not bundle.exists():
                save(self._joint(method, method.method), bundle)
        elif not bundle.exists() or stage.task not in task_names(bundle):
            net = self._learned(load(self._start(stage, method)), stage.method, stage.task, method)
            with self._bundle_alone(stage):
                self._add(bundle, stage.task, net)
        self._test(stage, load(bundle))

    def _add(self, bundle: Path, task: str, net: MultiTaskNet) -> None:
        """Put a task into a growing bundle, at its place in the config: the same bytes, whoever comes first."""
        if not bundle.exists():
            save(load(self.folder.backbone), bundle)
        order = [plan.name for plan in self.experiment.tasks].index(task)
        add_task(bundle, task, net.records[task], net.deltas[task], shared=net.state.shared, order=order)

    def _done(self, stage: Stage) -> bool:
        """Whether a stage has its result, and its bundle still holds the task."""
        bundle = self.folder.bundle(stage.method, stage.task, moves_shared=stage.moves_shared)
        has_result = self.folder.result(stage.method, stage.task).exists()
        return has_result and bundle.exists() and stage.task in task_names(bundle)

    def _start(self, stage: Stage, method: MethodPlan) -> Path:
        """Return the bundle that a task over fixed shared weights is learned in: where what it looks at is."""
        before = prerequisites(self.experiment, method, stage.task)
        if not before:
            return self.folder.backbone
        path = self.folder.bundle(stage.method, stage.task, moves_shared=False)
        held = task_names(path) if path.exists() else []
        for task in before:
            if task not in held:
                raise RunError(
                    f"{stage.method} starts {stage.task!r} from {task!r}, which {path} does not hold. "
                    f"Learn it first: --only {task}."
                )
        return path

    def _moved(self, stage: Stage, method: MethodPlan) -> MultiTaskNet:
        """Return what a stage of a chain makes of the one before it."""
        if stage.task == self.first:
            return self._adopted(method)
        return self._learned(self._parent(stage, method), stage.method, stage.task, method)

    def _parent(self, stage: Stage, method: MethodPlan) -> MultiTaskNet:
        """Return the network that a stage of a chain starts from, with what the method remembers of it."""
        assert stage.parent is not None, "only the backbone has none"
        path = self.folder.bundle(stage.method, stage.parent, moves_shared=True)
        memory = self.folder.memory(stage.method, stage.parent)
        if stage.parent == self.first and _after_first(method.method) != "retrain":
            path = self.folder.backbone
            if _after_first(method.method) == "remember" and not memory.exists():
                write_memory(memory, self._adopted(method).memory)
        if not path.exists():
            raise RunError(
                f"{stage.method} learns {stage.task!r} from the state after {stage.parent!r}, which {self.folder.path} "
                f"does not hold. Learn it first: --only {stage.parent}."
            )
        net = load(path)
        net.memory = read_memory(memory)
        return net

    def _adopted(self, method: MethodPlan) -> MultiTaskNet:
        """Return what a method makes of the backbone before it learns a further task."""
        kind, task = method.method, self.experiment.tasks[0].task
        assert isinstance(kind, Method), "who asks has looked"
        net, splits = load(self.folder.backbone), self._splits(self.first)
        return adopt(net, task, splits, name=self.first, method=kind, config=self._learning(method.name, self.first))

    def _learned(self, net: MultiTaskNet, label: str, name: str, method: MethodPlan) -> MultiTaskNet:
        task = self.tasks[name] if net.tasks else self.experiment.plan(name).task
        config = self._learning(label, name)
        return learn_task(net, task, self._splits(name), name=name, method=method.method, config=config)

    def _joint(self, method: MethodPlan, kind: JointMethod) -> MultiTaskNet:
        """Return what training all tasks at once makes of the backbone's start."""
        names, label = (self.first, *self.experiment.learned_by(method)), method.name
        folder = self.folder.stage(label, self.first)
        members = {
            name: Member(
                task=self.tasks[name],
                data=self._splits(name),
                config=replace(self._learning(label, name), folder=folder),
            )
            for name in names
        }
        return learn_jointly(make_backbone(self.experiment.backbone, self.experiment.seed), kind, members)

    def _splits(self, name: str) -> Splits:
        data = self.data(name)
        return Splits(train=data.train, validation=data.validation)

    def _learning(self, label: str, name: str) -> Learning:
        with self._alone("resolved"):
            trainer = settle(self.folder, self.experiment.trainer, self.session.group)
        experiment = replace(self.experiment, trainer=trainer)
        folder = self.folder.stage(label, name)
        return replace(learning(experiment, self.experiment.plan(name), self.session, folder), label=label)

    def _test(self, stage: Stage, net: MultiTaskNet) -> None:
        tester = Tester(experiment=self.experiment, tasks=self.tasks, data=self.data, root=self.session.root)
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
        """Return the tasks that a stage's state is tested on: those up to it, whatever else its bundle holds by now.

        Of a growing bundle's others, only those whose own stage is done: their numbers are known then. The rest come
        when the row is completed.
        """
        if stage.moves_shared:
            return tuple(held)
        tasks = [plan.name for plan in self.experiment.tasks]
        tasks = tasks[1 : tasks.index(stage.task)]
        earlier = [name for name in tasks if name in held and self.folder.result(stage.method, name).exists()]
        return tuple(dict.fromkeys((*([self.first] if self.first in held else []), *earlier, stage.task)))

    def _missing(self, stage: Stage) -> bool:
        bundle = self.folder.bundle(stage.method, stage.task, moves_shared=False)
        result = read_result(self.folder.result(stage.method, stage.task))
        return not result.metrics.keys() >= set(self._row(stage, tuple(task_names(bundle))))

    def _fill(self, stage: Stage) -> None:
        path = self.folder.result(stage.method, stage.task)
        net = load(self.folder.bundle(stage.method, stage.task, moves_shared=False))
        tester = Tester(experiment=self.experiment, tasks=self.tasks, data=self.data, root=self.session.root)
        metrics, digests = tester.row(net, self._row(stage, net.tasks), self.results())
        result = read_result(path)
        full = replace(result, metrics={**metrics, **result.metrics}, digests={**digests, **result.digests})
        write_result(path, full)

    def results(self) -> list[StageResult]:
        """Return every finished stage of the folder, trivial baselines among them."""
        return [read_result(path) for path in sorted(self.folder.path.glob("*/*/result.json"))]


def _after_first(method: AnyMethod) -> str:
    return "nothing" if isinstance(method, JointMethod) else method.after_first
