"""One table of methods, one set of laws; a new method is one more row."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from stencilnet.delta import DeltaError
from stencilnet.masks import NetState, Trainable, task_weights
from stencilnet.methods import (
    BUILT_IN,
    EWC,
    AnyMethod,
    Decoder,
    Finetune,
    Fresh,
    HeadOnly,
    Joint,
    JointMethod,
    Method,
    NormOnly,
    PackNet,
    Penalty,
    Piggyback,
    Progressive,
    QuantizedDelta,
    Rehearsal,
    Scratch,
    learn_first,
)
from stencilnet.methods.registry import check
from stencilnet.models import MultiTaskNet, UNet
from stencilnet.models.columns import run
from stencilnet.models.unet import Norm

METHODS: tuple[Method, ...] = (
    Piggyback(lr=1e-2),
    Piggyback(lr=1e-2, price=0.1),
    QuantizedDelta(),
    Piggyback(lr=1e-2, start="weight"),
    QuantizedDelta(target=0.3, sensitivity=0.0),
    QuantizedDelta(base="seed"),
    Scratch(),
    Finetune(),
    Decoder(),
    EWC(strength=100.0, samples=4),
    PackNet(retrain_lr=1.0),
    Rehearsal(strength=30.0),
    HeadOnly(),
    Progressive(),
)
OVER_AFFINE: tuple[Method, ...] = (
    Piggyback(lr=1e-2, norm=True),
    QuantizedDelta(),
    QuantizedDelta(base="seed"),
    NormOnly(),
    HeadOnly(),
    Scratch(),
    Finetune(),
    Decoder(),
    EWC(strength=100.0, samples=4),
    PackNet(retrain_lr=1.0),
    Rehearsal(strength=30.0),
    Progressive(),
)
"""Over a backbone whose norms have scales and shifts."""
OVER_OWN: tuple[Method, ...] = (
    Piggyback(lr=1e-2, norm=True),
    QuantizedDelta(),
    NormOnly(),
    Scratch(),
    Finetune(),
    Decoder(),
    EWC(strength=100.0, samples=4),
    PackNet(retrain_lr=1.0),
    Progressive(),
)
"""Over one whose norms have them for tasks of their own alone."""
TOGETHER: tuple[JointMethod, ...] = (Joint(),)
"""Those that learn all tasks at once, with laws of their own at the end."""
ROWS: tuple[AnyMethod, ...] = (*METHODS, *OVER_AFFINE, *OVER_OWN, *TOGETHER)
FIXED = tuple(method for method in METHODS if not method.moves_shared)
APART = tuple(method for method in FIXED if method.name != "progressive")
"""Those that learn a task from the first one alone."""
KEEPING = tuple(method for method in METHODS if not method.forgets)
FORGETTING = tuple(method for method in METHODS if method.forgets)
HOLDING = tuple(method for method in FORGETTING if method.name != "finetune")

CHANNELS = {"first": 3, "a": 2, "b": 4, "c": 1}
SEEDS = {"first": 1, "a": 2, "b": 3, "c": 4}
AsBytes = Callable[[Mapping[str, Tensor]], Any]


def by_name(methods: Sequence[Method]) -> pytest.MarkDecorator:
    """Each method over the paper's backbone, and those of its like in `OVER_AFFINE` over theirs."""
    like = {promises(method) for method in methods}
    rows: list[tuple[Method, Norm]] = [(method, "instance") for method in methods]
    rows += [(method, "affine") for method in OVER_AFFINE if promises(method) in like]
    rows += [(method, "own") for method in OVER_OWN if promises(method) in like]
    return pytest.mark.parametrize(("method", "norm"), rows, ids=[label(*row) for row in rows])


def promises(method: Method) -> tuple[bool, bool, str]:
    """Whether it moves the shared weights, may forget, and what else sets it apart from others that do."""
    return method.moves_shared, method.forgets, method.name if method.name in ("finetune", "progressive") else ""


def label(method: Method, norm: Norm) -> str:
    options = {f.name: getattr(method, f.name) for f in fields(method)}  # type: ignore[arg-type]
    changed = [f"{name}={value}" for name, value in options.items() if value != getattr(type(method)(), name)]
    return " ".join([method.name, *(c for c in changed if not c.startswith("lr=")), *([norm] * (norm != "instance"))])


@dataclass(frozen=True, kw_only=True)
class Lab:
    """A tiny U-Net that has learned its first task, and what the next tasks need."""

    backbone: UNet
    fits: Mapping[str, Any]
    fresh: Mapping[str, Fresh]
    first: NetState
    starts: dict[str, NetState] = field(default_factory=dict)
    learned: dict[tuple[Method, int, str], tuple[NetState, NetState]] = field(default_factory=dict)
    image: Tensor = field(default_factory=lambda: torch.linspace(0, 1, 3 * 40 * 33).view(1, 3, 40, 33))

    def start(self, method: Method) -> NetState:
        """What a method learns its further tasks from."""
        if method.name not in self.starts:
            self.starts[method.name] = method.adopt(self.first, "first", self.fresh["first"], self.fits["first"])
        return self.starts[method.name]

    def learn(self, method: Method, state: NetState, *tasks: str) -> NetState:
        """Learn tasks one after another; what was learned from this very state before is not trained again."""
        for task in tasks:
            key = method, id(state), task
            if key not in self.learned:  # the state is kept, so that no other gets its id
                self.learned[key] = state, method.learn(state, task, self.fresh[task], self.fits[task])
            state = self.learned[key][1]
        return state

    def output(self, state: NetState, task: str) -> Tensor:
        return run(self.backbone.eval(), state.weights(task), self.image)

    def loss(self, state: NetState, task: str) -> float:
        fit = self.fits[task]
        return float(fit.loss(run(self.backbone.eval(), state.weights(task), fit.images)))


@pytest.fixture(scope="module")
def labs(make_fit: Any, make_fresh: Any) -> Mapping[Norm, Lab]:
    return {norm: make_lab(norm, make_fit, make_fresh) for norm in get_args(Norm)}


@pytest.fixture
def lab(labs: Mapping[Norm, Lab], norm: Norm) -> Lab:
    return labs[norm]


def make_lab(norm: Norm, make_fit: Any, make_fresh: Any) -> Lab:
    torch.manual_seed(0)
    backbone = UNet(width=2, norm=norm)
    fits = {t: make_fit(backbone, seed=seed, steps=40 if t == "first" else 6, lr=2e-2) for t, seed in SEEDS.items()}
    fresh = {
        task: make_fresh(
            backbone, channels=count, seed=SEEDS[task], head="head", decoder=backbone.decoder, probe=fits[task]
        )
        for task, count in CHANNELS.items()
    }
    return Lab(backbone=backbone, fits=fits, fresh=fresh, first=learn_first("first", fresh["first"], fits["first"]))


def everything(state: NetState, as_bytes: AsBytes) -> dict[str, Any]:
    """A whole state as bytes, in order."""
    tasks = {task: as_bytes(task_weights(delta, state.shared)) for task, delta in state.deltas.items()}
    parts = {
        f"{task}/{name}": as_bytes(entry.tensors())
        for task, delta in state.deltas.items()
        for name, entry in delta.entries.items()
    }
    return {"shared": as_bytes(state.shared), "tasks": tasks, "order": list(tasks), "parts": parts}


def test_every_method_has_a_row() -> None:
    """Laws hold for what is in the tables above: a method without a row obeys none."""
    assert {method.name for method in ROWS} == {method.name for method in BUILT_IN}


def test_names_and_promises_are_pinned() -> None:
    assert {method.name: (method.moves_shared, method.forgets) for method in ROWS} == {
        "piggyback": (False, False),
        "quantized_delta": (False, False),
        "scratch": (False, False),
        "finetune": (True, True),
        "decoder": (False, False),
        "ewc": (True, True),
        "packnet": (True, False),
        "rehearsal": (True, True),
        "head_only": (False, False),
        "joint": (False, False),
        "norm_only": (False, False),
        "progressive": (False, False),
    }


@pytest.mark.parametrize("method", ROWS, ids=[label(method, "instance") for method in ROWS])
def test_declarations_go_together(method: AnyMethod) -> None:
    check(method.name, type(method))
    assert method.title
    assert method.forgets <= method.moves_shared
    assert method.prerequisites("b", ("a",)) in ((), ("a",))


@by_name(METHODS)
def test_what_follows_the_first_task_is_as_declared(method: Method, lab: Lab, as_bytes: AsBytes) -> None:
    start = lab.start(method)
    same = everything(start, as_bytes) == everything(lab.first, as_bytes)
    found = "retrain" if not same else "remember" if start.memory else "nothing"
    assert found == method.after_first


@by_name(METHODS)
def test_prerequisites_are_what_a_task_cannot_be_learned_or_run_without(method: Method, lab: Lab) -> None:
    state = lab.learn(method, lab.start(method), "a", "b")
    assert set(state.deltas["b"].needs) <= {"first", *method.prerequisites("b", ("a",))}


@pytest.mark.parametrize("norm", get_args(Norm))
def test_the_first_task_becomes_the_shared_weights_and_a_head(lab: Lab) -> None:
    assert list(lab.first.deltas) == ["first"]
    assert list(lab.first.deltas["first"].entries) == ["head.weight", "head.bias"]
    assert list(lab.first.shared) == [n for n in lab.backbone.state_dict() if not n.startswith("head.")]
    start = NetState(lab.fresh["first"].shared).add("first", lab.first.deltas["first"])
    assert not torch.equal(start.shared["conv1_1.weight"], lab.first.shared["conv1_1.weight"])
    assert lab.loss(lab.first, "first") < 0.6 * lab.loss(start, "first")


def untrained(trainable: Trainable, **_: object) -> Any:
    return trainable


@by_name(METHODS)
def test_learning_leaves_the_passed_state_and_the_fresh_tensors_alone(
    method: Method, lab: Lab, as_bytes: AsBytes
) -> None:
    before, start = everything(lab.first, as_bytes), lab.start(method)
    adopted = everything(start, as_bytes)
    fresh = as_bytes(lab.fresh["a"].head), as_bytes(lab.fresh["a"].shared)
    state = method.learn(start, "a", lab.fresh["a"], lab.fits["a"])
    after_a = everything(state, as_bytes)
    method.learn(state, "b", lab.fresh["b"], lab.fits["b"])
    assert everything(lab.first, as_bytes) == before
    assert everything(start, as_bytes) == adopted
    assert everything(state, as_bytes) == after_a
    assert (as_bytes(lab.fresh["a"].head), as_bytes(lab.fresh["a"].shared)) == fresh


@by_name(METHODS)
def test_each_delta_fits_the_backbone_with_the_tasks_own_head(method: Method, lab: Lab) -> None:
    state = lab.learn(method, lab.start(method), "a", "b")
    net = MultiTaskNet(copy.deepcopy(lab.backbone)).with_state(state, {})
    assert net.tasks == ("first", "a", "b")
    for task in net.tasks:
        net.check(net.deltas[task])
        assert net.deltas[task].entries["head.weight"].shape == (CHANNELS[task], 2, 1, 1)
        assert net.deltas[task].entries["head.bias"].shape == (CHANNELS[task],)
        assert torch.equal(net(lab.image, task), lab.output(state, task))
        assert torch.equal(net.materialize(task)(lab.image), lab.output(state, task))


@by_name(METHODS)
def test_the_task_is_learned(method: Method, lab: Lab) -> None:
    before = method.learn(lab.start(method), "a", lab.fresh["a"], untrained)
    after = lab.learn(method, lab.start(method), "a")
    assert lab.loss(after, "a") < 0.8 * lab.loss(before, "a")


@by_name(METHODS)
def test_the_trained_weights_are_the_states(method: Method, lab: Lab, as_bytes: AsBytes) -> None:
    """What the fit selected is, bit for bit, what the task runs on."""
    trained = []

    def fit(trainable: Any, **how: Any) -> Any:
        trained.append(as_bytes(lab.fits["b"](trainable, **how).weights()))
        return trainable

    state = method.learn(lab.start(method), "b", lab.fresh["b"], fit)
    assert trained[-1] == as_bytes(state.weights("b"))


@by_name(KEEPING)
@pytest.mark.parametrize(
    "order",
    # In the first two of the six, every pair of tasks comes both ways.
    [pytest.param(tuple(order), id=order) for order in ("abc", "cba")]
    + [pytest.param(tuple("bca"), id="bca", marks=pytest.mark.slow)],
)
def test_no_forgetting_in_any_order(method: Method, order: tuple[str, ...], lab: Lab, as_bytes: AsBytes) -> None:
    state = lab.start(method)
    outputs = {"first": lab.output(state, "first")}
    for task in order:
        before, state = state, lab.learn(method, state, task)
        outputs[task] = lab.output(state, task)
        assert method.moves_shared or as_bytes(state.shared) == as_bytes(before.shared)
        assert all(torch.equal(lab.output(state, earlier), output) for earlier, output in outputs.items())
    gone = ("first", order[1]) if method.name != "progressive" else (order[2], order[1])  # what no other needs
    for task in gone:
        state = state.remove(task)
        assert all(torch.equal(lab.output(state, left), outputs[left]) for left in state.deltas)
    assert list(state.deltas) == [task for task in ("first", *order) if task not in gone]


@by_name(APART)
def test_what_a_task_becomes_does_not_depend_on_the_tasks_before_it(
    method: Method, lab: Lab, as_bytes: AsBytes
) -> None:
    alone, last = lab.learn(method, lab.first, "c"), lab.learn(method, lab.first, "a", "b", "c")
    assert as_bytes(alone.weights("c")) == as_bytes(last.weights("c"))


@by_name(FIXED)
def test_fixed_shared_weights_are_the_same_tensors(method: Method, lab: Lab) -> None:
    state = lab.learn(method, lab.first, "a", "b")
    assert all(state.shared[name] is tensor for name, tensor in lab.first.shared.items())


@by_name(FORGETTING)
def test_moving_the_shared_weights_forgets(method: Method, lab: Lab, as_bytes: AsBytes) -> None:
    """The test of the test: what the laws above rule out is large enough to be seen."""
    state = lab.learn(method, lab.start(method), "a")
    assert as_bytes(state.shared) != as_bytes(lab.first.shared)
    assert method in HOLDING or lab.loss(state, "first") > 1.3 * lab.loss(lab.first, "first")
    assert not torch.equal(lab.output(state, "first"), lab.output(lab.first, "first"))
    assert state.deltas["first"] is lab.first.deltas["first"]


@by_name(HOLDING)
def test_a_penalty_holds_earlier_tasks_better_than_fine_tuning(method: Method, lab: Lab) -> None:
    before = lab.loss(lab.first, "first")
    tuned = lab.loss(lab.learn(Finetune(), lab.first, "a"), "first")
    held = lab.loss(lab.learn(method, lab.start(method), "a"), "first")
    assert held - before < 0.5 * (tuned - before)


@by_name(HOLDING)
def test_a_penalty_is_not_zero_once_weights_have_moved(method: Method, lab: Lab) -> None:
    """A regulariser that does nothing, unnoticed: what each task of a chain is held by has a value and gradients."""
    found: list[str] = []
    moved = [name for name in lab.fresh["a"].layout.parameters if name.endswith("weight")]

    def fit(trainable: Trainable, *, penalty: Penalty, **how: Any) -> Trainable:
        task = "ab"[len(found)]
        images, run = lab.fits[task].images, lab.fits[task].run
        if task == "a":  # there is one earlier task, whose weights these are
            assert penalty(trainable.weights(), images, run).item() == 0.0
        trained: Trainable = lab.fits[task](trainable, **how)
        trained.zero_grad()
        value = penalty(trained.weights(), images, run)
        value.backward()
        assert value.item() > 1e-3
        gradients = {n: w.grad for n, w in trained.weights().items() if n in moved}
        assert all(gradient is not None and bool(gradient.any()) for gradient in gradients.values())
        trained.zero_grad()
        found.append(task)
        return trained

    state = method.learn(lab.start(method), "a", lab.fresh["a"], fit)
    method.learn(state, "b", lab.fresh["b"], fit)
    assert found == ["a", "b"]


QUANTISED = (QuantizedDelta(), QuantizedDelta(base="seed"))
REFUSING = {
    "ewc": "no Fisher information",
    "packnet": "free weights to learn",
    "rehearsal": "every earlier task to be a head",
}
"""Those that cannot hold a quantised task in place, and what they say."""


@pytest.mark.parametrize("norm", ["instance"])
@pytest.mark.parametrize("method", METHODS, ids=[label(method, "instance") for method in METHODS])
def test_quantised_tasks_before_another_method(method: Method, lab: Lab, as_bytes: AsBytes) -> None:
    """Methods that do not forget leave them as they are; seeded weights stay so even while the shared ones move."""
    state = lab.start(method)
    for task, quantised in zip("ab", QUANTISED, strict=True):
        state = lab.learn(quantised, state, task)
    if method.name in REFUSING:
        with pytest.raises(ValueError, match=REFUSING[method.name]):
            lab.learn(method, state, "c")
        return
    later = lab.learn(method, state, "c")
    masked = lab.fresh["b"].layout.masked
    before, after = ({name: found.weights("b")[name] for name in masked} for found in (state, later))
    assert as_bytes(before) == as_bytes(after)
    for task in ("first", "a", "b"):
        assert method.forgets or as_bytes(later.weights(task)) == as_bytes(state.weights(task))
    assert method.forgets == (as_bytes(later.weights("a")) != as_bytes(state.weights("a")))
    assert lab.output(later, "c").isfinite().all()


@pytest.mark.parametrize("norm", ["instance"])
@pytest.mark.parametrize("method", METHODS, ids=[label(method, "instance") for method in METHODS])
def test_quantised_tasks_after_another_method(method: Method, lab: Lab, as_bytes: AsBytes) -> None:
    state = lab.learn(method, lab.start(method), "a")
    later = state
    for task, quantised in zip("bc", QUANTISED, strict=True):
        later = lab.learn(quantised, later, task)
    assert as_bytes(later.shared) == as_bytes(state.shared)
    for task in ("first", "a"):
        assert torch.equal(lab.output(later, task), lab.output(state, task))


@by_name(METHODS)
def test_a_task_is_never_written_over(method: Method, lab: Lab) -> None:
    state = lab.learn(method, lab.start(method), "a")
    with pytest.raises(DeltaError, match=r"Task `a` has been learned already\."):
        lab.learn(method, state, "a")


together = pytest.mark.parametrize(
    ("method", "norm"), [(method, norm) for method in TOGETHER for norm in get_args(Norm)], ids=lambda value: str(value)
)


def learned_together(method: JointMethod, lab: Lab, fit: Any) -> NetState:
    return method.learn_together({task: lab.fresh[task].head for task in "abc"}, lab.fresh["first"], fit)


@together
def test_tasks_learned_together_run_as_they_were_trained(method: JointMethod, lab: Lab, as_bytes: AsBytes) -> None:
    """Each delta fits the backbone, and its outputs are its channels of the trained network, bit for bit."""
    outputs = []

    def fit(trainable: Any) -> Any:
        trained = lab.fits["a"](trainable)
        outputs.append(run(lab.backbone.eval(), trained.weights(), lab.image))
        return trained

    before = as_bytes(lab.fresh["first"].shared)
    state = learned_together(method, lab, fit)
    assert as_bytes(lab.fresh["first"].shared) == before
    assert list(state.deltas) == ["a", "b", "c"]
    net = MultiTaskNet(copy.deepcopy(lab.backbone)).with_state(state, {})
    (whole,) = outputs
    for task, expected in zip("abc", whole.split([CHANNELS[task] for task in "abc"], dim=1), strict=True):
        net.check(net.deltas[task])
        torch.testing.assert_close(net(lab.image, task), expected)


@together
def test_tasks_are_learned_together(method: JointMethod, lab: Lab) -> None:
    problem = lab.fits["a"]

    def loss(state: NetState) -> float:
        outputs = [run(lab.backbone.eval(), state.weights(task), problem.images) for task in state.deltas]
        return float(problem.loss(torch.cat(outputs, dim=1)))

    assert loss(learned_together(method, lab, problem)) < 0.8 * loss(learned_together(method, lab, untrained))


@together
def test_tasks_learned_together_leave_each_other_alone(method: JointMethod, lab: Lab) -> None:
    state = learned_together(method, lab, lab.fits["a"])
    left = state.remove("a")
    assert all(torch.equal(lab.output(left, task), lab.output(state, task)) for task in "bc")
