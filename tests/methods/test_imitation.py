"""What a fine-tuned network teaches a mask, and what signs and steps take from one: against plain numbers."""

import copy
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stencilnet.masks import Masks, NetState, Sign, Weights
from stencilnet.methods import Fresh, Penalty, Piggyback
from stencilnet.methods.imitation import Imitation
from stencilnet.models import UNet
from stencilnet.models.unet import DECODER


@pytest.fixture(scope="module")
def backbone() -> nn.Module:
    torch.manual_seed(0)
    return UNet(width=2, norm="affine")


@pytest.fixture(scope="module")
def state(backbone: nn.Module) -> NetState:
    return NetState({n: t for n, t in backbone.state_dict().items() if not n.startswith("head.")})


@pytest.fixture
def probe(backbone: nn.Module, make_fit: Any) -> Any:
    return make_fit(backbone, seed=3, steps=12, lr=2e-2)


@pytest.fixture
def fresh(backbone: nn.Module, make_fresh: Any, probe: Any) -> Fresh:
    made: Fresh = make_fresh(backbone, channels=3, seed=5, head="head", decoder=DECODER, probe=probe)
    return made


class Numbers:
    """A network that puts out its weight times what it sees; a probe of a few inputs."""

    images = torch.randn(16, 3, 2, 2, generator=torch.Generator().manual_seed(0))

    def inputs(self, count: int) -> Iterator[Tensor]:
        yield from (self.images[place][None] for place in range(count))

    def run(self, weights: Mapping[str, Tensor], images: Tensor) -> Tensor:
        return weights["w"].view(1, 3, 1, 1) * images

    def generator(self) -> torch.Generator:
        return torch.Generator()


def softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def by_hand(given: np.ndarray, wanted: np.ndarray, *, logits: bool) -> float:
    if not logits:
        return float(((given - wanted) ** 2).mean())
    a, b = softmax(given / 2), softmax(wanted / 2)
    return float(4 * (b * np.log(b / a)).sum(axis=1).mean())


@pytest.mark.parametrize("logits", [False, True], ids=["values", "logits"])
def test_the_distance_by_hand_is_a_share_of_that_before_training(logits: bool) -> None:
    numbers, seen = Numbers(), Numbers.images.double().numpy()
    w = {"teacher": [1.0, 2.0, -1.0], "start": [0.0, 1.0, 2.0], "ours": [0.5, 2.5, 1.0]}
    made = {name: {"w": torch.tensor(values)} for name, values in w.items()}
    penalty = Imitation(made["teacher"], made["start"], logits=logits, strength=0.7, probe=numbers)

    def apart(name: str, images: np.ndarray) -> float:
        given, wanted = (np.array(w[one])[:, None, None] * images for one in (name, "teacher"))
        return by_hand(given, wanted, logits=logits)

    weight = made["ours"]["w"].requires_grad_()
    value = penalty(made["ours"], numbers.images[:4], numbers.run)
    assert value.item() == pytest.approx(0.7 * apart("ours", seen[:4]) / apart("start", seen), rel=1e-5)
    value.backward()
    assert weight.grad is not None
    assert bool(weight.grad.all())
    assert penalty(made["start"], numbers.images, numbers.run).item() == pytest.approx(0.7, rel=1e-5)
    assert penalty(made["teacher"], numbers.images, numbers.run).item() == pytest.approx(0, abs=1e-6)


def test_a_student_that_begins_as_its_teacher_has_a_finite_term() -> None:
    numbers = Numbers()
    one, other = {"w": torch.ones(3)}, {"w": torch.full((3,), 1.5)}
    penalty = Imitation(one, one, logits=False, strength=1.0, probe=numbers)
    assert penalty(one, numbers.images, numbers.run).item() == 0
    assert bool(penalty(other, numbers.images, numbers.run).isfinite())


def test_the_teacher_is_fine_tuned_first_and_the_budget_is_one_trainings(
    state: NetState, fresh: Fresh, probe: Any
) -> None:
    calls: list[tuple[type, float]] = []

    def fit(trainable: Any, *, penalty: Penalty | None = None, share: float = 1.0, **_: object) -> Any:
        calls.append((type(trainable), share))
        if isinstance(trainable, Weights):
            assert penalty is None
            return probe(trainable, share=share)
        assert isinstance(penalty, Imitation)
        images = probe.images
        penalty(trainable.weights(), images, probe.run).backward()
        for parameters in trainable.groups().values():  # every score and the head
            assert all(p.grad is not None and bool(p.grad.any()) for p in parameters)
        trainable.zero_grad()
        return trainable

    learned = Piggyback(lr=1e-2, teacher=1.0, finetune_share=0.25).learn(state, "a", fresh, fit)
    assert calls == [(Weights, 0.25), (Masks, 0.75)]
    assert list(learned.deltas) == ["a"]
    assert all(learned.shared[name] is tensor for name, tensor in state.shared.items())


def test_outputs_come_nearer_to_the_teachers_than_without(state: NetState, fresh: Fresh, probe: Any) -> None:
    """Both have half the steps, and the same teacher; only what it weighs differs."""
    teachers = []

    def fit(trainable: Any, **how: Any) -> Any:
        trained = probe(trainable, **how)
        if isinstance(trained, Weights):
            teachers.append({name: tensor.detach().clone() for name, tensor in trained.weights().items()})
        return trained

    def apart(strength: float) -> float:
        learned = Piggyback(lr=2e-2, teacher=strength).learn(state, "a", fresh, fit)
        wanted = probe.run(teachers[-1], probe.images)
        return float((probe.run(learned.weights("a"), probe.images) - wanted).square().mean())

    alone, taught = apart(1e-6), apart(30.0)
    assert all(torch.equal(teachers[0][name], tensor) for name, tensor in teachers[1].items())
    assert taught < 0.7 * alone


def test_a_teacher_needs_a_look_at_the_data(state: NetState, fresh: Fresh) -> None:
    blind = Fresh(layout=fresh.layout, head=fresh.head, shared=fresh.shared)
    with pytest.raises(ValueError, match="Expected a `probe` of 'a': how far a mask is"):
        Piggyback(teacher=1.0).learn(state, "a", blind, lambda trainable, **_: trainable)


SIGNS = Piggyback(mask="sign", init="finetune", norm=True)


def test_signs_and_steps_are_those_of_the_fine_tunes_change(state: NetState, fresh: Fresh, probe: Any) -> None:
    tuned: dict[str, Tensor] = {}

    def fit(trainable: Any, *, share: float, **_: object) -> Any:
        if isinstance(trainable, Weights):
            probe(trainable, share=share)
            tuned.update({name: tensor.detach().clone() for name, tensor in trainable.weights().items()})
        return trainable

    learned = SIGNS.learn(state, "a", fresh, fit)
    layout, entries, weights = fresh.layout, learned.deltas["a"].entries, learned.weights("a")
    moved = {name for name in state.shared if not torch.equal(tuned[name], state.shared[name])}
    assert moved == {*layout.masked, *layout.norms}  # no bias, which signs could not take over
    for name in layout.masked:
        entry, change = entries[name], tuned[name] - state.shared[name]
        assert isinstance(entry, Sign)
        assert torch.equal(entry.bits.unpack(), change >= 0)
        others = (0, 2, 3) if name in layout.transposed else (1, 2, 3)
        torch.testing.assert_close(entry.scale, change.abs().mean(dim=others, keepdim=True))
    for name in (*layout.norms, *layout.head):
        assert torch.equal(weights[name], tuned[name])
    near, far = ((tuned[n] - w[n]).square().sum() for n in layout.masked[:1] for w in (weights, state.shared))
    assert near < far


def test_steps_norms_and_head_are_trained_on_and_signs_stay(
    state: NetState, fresh: Fresh, probe: Any, caplog: pytest.LogCaptureFixture
) -> None:
    started: list[Masks] = []

    def fit(trainable: Any, **how: Any) -> Any:
        if isinstance(trainable, Masks):
            assert trainable.groups().keys() == {"scale", "norm", "head"}
            started.append(copy.deepcopy(trainable))
        return probe(trainable, **how)

    with caplog.at_level(logging.WARNING):
        entries = SIGNS.learn(state, "a", fresh, fit).deltas["a"].entries
    first = started[0].delta().entries
    for name in fresh.layout.masked:
        before, after = first[name], entries[name]
        assert isinstance(before, Sign)
        assert isinstance(after, Sign)
        assert before.bits == after.bits
        assert not torch.equal(before.scale, after.scale)
    for name in (*fresh.layout.norms, *fresh.layout.head):
        assert not torch.equal(first[name].apply(None), entries[name].apply(None))
    assert not caplog.records  # that no sign flips is the point


def test_a_weight_that_no_fine_tune_has_moved_has_no_step(state: NetState, fresh: Fresh) -> None:
    learned = SIGNS.learn(state, "a", fresh, lambda trainable, **_: trainable)
    assert all(torch.equal(learned.weights("a")[name], state.shared[name]) for name in fresh.layout.masked)
