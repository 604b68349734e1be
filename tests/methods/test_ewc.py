"""EWC: what matters, against closed forms and finite differences; and where a weight comes to rest."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import stencilnet as sn
from stencilnet.delta import Replace, TaskDelta
from stencilnet.masks import NetState, Trainable, array_of
from stencilnet.methods import EWC, Fresh, Penalty
from stencilnet.methods.ewc import fisher

MADE = {"first": 3, "second": 2, "third": 4}


@dataclass(frozen=True, kw_only=True)
class Looking:
    """A probe of given images."""

    network: nn.Module
    images: Tensor
    seed: int = 0

    def inputs(self, count: int) -> Iterator[Tensor]:
        yield from (self.images[position % len(self.images)][None] for position in range(count))

    def run(self, weights: Mapping[str, Tensor], images: Tensor) -> Tensor:
        output: Tensor = torch.func.functional_call(self.network, dict(weights), (images,))
        return output

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)


def linear() -> nn.Module:
    """``f(x) = H (W x + b)``, pixel by pixel."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 2, 1), nn.Conv2d(2, 3, 1))


def pictures(count: int = 2) -> Tensor:
    return torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(1))


def measured(network: nn.Module, *, logits: bool, samples: int) -> dict[str, np.ndarray]:
    names = ("0.weight", "0.bias")
    found = fisher(
        network.state_dict(), names, Looking(network=network, images=pictures()), logits=logits, samples=samples
    )
    return {name: tensor.double().numpy().squeeze() for name, tensor in found.items()}


def test_values_of_a_linear_network_have_gauss_newtons_diagonal() -> None:
    """``E (d<v, f> / dW_ij)^2 = (sum_c H_ci^2) (sum_p x_jp^2)``, a mean over images."""
    network = linear()
    head = network[1].weight.detach().double().numpy().squeeze()
    x = pictures().double().numpy().reshape(2, 3, -1)
    gain = np.square(head).sum(axis=0)
    found = measured(network, logits=False, samples=2000)
    np.testing.assert_allclose(found["0.weight"], np.outer(gain, np.square(x).sum(axis=2).mean(axis=0)), rtol=0.15)
    np.testing.assert_allclose(found["0.bias"], gain * 16, rtol=0.15)


def test_logits_of_a_linear_network_have_fishers_diagonal() -> None:
    """``sum_p x_jp^2 H_i' (diag(q_p) - q_p q_p') H_i`` for the softmax q_p of a pixel: labels are drawn for each."""
    network = linear()
    head = network[1].weight.detach().double().numpy().squeeze()
    x = pictures().double().numpy().reshape(2, 3, -1)
    q = network(pictures()).softmax(dim=1).detach().double().numpy().reshape(2, 3, -1)
    mean = np.einsum("ncp,ci->nip", q, head)
    spread = np.einsum("ncp,ci->nip", q, np.square(head)) - np.square(mean)
    found = measured(network, logits=True, samples=2000)
    np.testing.assert_allclose(found["0.weight"], np.einsum("nip,njp->ij", spread, np.square(x)) / 2, rtol=0.15)
    np.testing.assert_allclose(found["0.bias"], spread.sum(axis=2).mean(axis=0), rtol=0.15)


@pytest.mark.parametrize("logits", [False, True], ids=["values", "logits"])
def test_one_images_importance_is_a_squared_finite_difference(logits: bool) -> None:
    torch.manual_seed(2)
    layers = (nn.Conv2d(3, 4, 3, padding=1), nn.InstanceNorm2d(4), nn.Tanh(), nn.Conv2d(4, 2, 3), nn.Conv2d(2, 3, 1))
    network = nn.Sequential(*layers).double()
    probe = Looking(network=network, images=pictures(1).double(), seed=5)
    weights = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
    output = probe.run(weights, probe.images).detach()
    if logits:
        likely = output.softmax(dim=1).movedim(1, -1).reshape(-1, 3).contiguous()
        labels = torch.multinomial(likely, 1, generator=probe.generator()).view(1, 1, *output.shape[2:])
        drawn = torch.zeros_like(output).scatter(1, labels, 1.0)
    else:
        drawn = torch.randn(output.shape, generator=probe.generator()).double()

    def value(moved: Mapping[str, Tensor]) -> float:
        given = probe.run(moved, probe.images)
        return float(((given.log_softmax(dim=1) if logits else given) * drawn).sum().detach())

    found = fisher(weights, ("0.weight", "3.weight"), probe, logits=logits, samples=1)
    for name, tensor in found.items():
        for place in (0, 7, tensor.numel() - 1):
            step = torch.zeros_like(weights[name]).view(-1)
            step[place] = 1e-5
            up, down = ({**weights, name: weights[name] + s * step.view_as(weights[name])} for s in (1, -1))
            slope = (value(up) - value(down)) / 2e-5
            assert float(tensor.view(-1)[place]) == pytest.approx(slope**2, rel=1e-4)
            assert abs(slope) > 1e-4


def test_gradients_are_squared_image_by_image() -> None:
    """Two images whose gradients cancel: the square of their mean would find that nothing matters."""
    network = nn.Sequential(nn.Conv2d(3, 1, 1, bias=False), nn.Conv2d(1, 1, 1, bias=False))
    weights = {"0.weight": torch.ones(1, 3, 1, 1), "1.weight": torch.ones(1, 1, 1, 1)}
    image = pictures(1)
    probe = Looking(network=network, images=torch.cat([image, -image]))
    assert bool((fisher(weights, ("0.weight",), probe, logits=False, samples=2)["0.weight"] > 0).all())


def fresh_of(network: nn.Module, make_fresh: Any, seed: int = 0, channels: int = 3) -> Fresh:
    probe = Looking(network=network, images=pictures(), seed=seed)
    made: Fresh = make_fresh(network, channels=channels, seed=seed, head="1", decoder=(), probe=probe)
    return made


def learned(network: nn.Module, fresh: Fresh) -> NetState:
    shared = {n: t.clone() for n, t in network.state_dict().items() if not n.startswith("1.")}
    return NetState(shared).add(
        "first", TaskDelta({name: Replace(array_of(tensor)) for name, tensor in fresh.head.items()})
    )


def test_a_weight_comes_to_rest_between_its_tasks(make_fresh: Any) -> None:
    """The new loss being ``sum (theta - c)^2 a / 2``, theta is ``(a c + lambda F theta*) / (a + lambda F)``."""
    network, strength, a, c = linear(), 3.0, 2.0, 0.7
    fresh = fresh_of(network, make_fresh)
    method = EWC(strength=strength, samples=7)
    state = method.adopt(learned(network, fresh), "first", fresh, never)

    def fit(trainable: Trainable, *, penalty: Penalty) -> Trainable:
        moving = trainable.groups()["weight"]
        for _ in range(400):
            loss = sum(a / 2 * (parameter - c).square().sum() for parameter in moving)
            loss = loss + penalty(trainable.weights(), pictures(), never)
            gradients = torch.autograd.grad(loss, moving)
            with torch.no_grad():
                for parameter, gradient in zip(moving, gradients, strict=True):
                    parameter -= 0.02 * gradient
        return trainable

    after = method.learn(state, "second", fresh, fit)
    importance = fisher(state.weights("first"), state.shared, fresh.probe, logits=False, samples=7)  # type: ignore[arg-type]
    mean = sum(float(tensor.sum()) for tensor in importance.values()) / sum(t.numel() for t in importance.values())
    for name, old in state.shared.items():
        pull = strength * importance[name] / mean
        torch.testing.assert_close(after.shared[name], (a * c + pull * old) / (a + pull), rtol=1e-4, atol=1e-5)
        assert not torch.allclose(after.shared[name], old, atol=1e-2)


def never(*_: object, **__: object) -> Any:
    raise AssertionError("nothing is trained or run")


def test_the_term_is_the_sum_of_all_earlier_tasks(make_fresh: Any) -> None:
    """One quadratic with the gradient of three, and their value less a constant."""
    network, method = linear(), EWC(strength=2.0, samples=5)
    state, singles, seen = learned(network, fresh_of(network, make_fresh)), [], []

    def fit(trainable: Trainable, *, penalty: Penalty) -> Trainable:
        seen.append(penalty)
        with torch.no_grad():
            for position, parameter in enumerate(trainable.groups()["weight"]):
                parameter += 0.3 + 0.1 * position + 0.05 * torch.arange(parameter.numel()).view_as(parameter)
        return trainable

    for position, (task, channels) in enumerate(MADE.items()):
        fresh = fresh_of(network, make_fresh, seed=position, channels=channels)
        learn = method.adopt if task == "first" else method.learn
        state = learn(state, task, fresh, fit)
        found = fisher(state.weights(task), state.shared, fresh.probe, logits=False, samples=5)  # type: ignore[arg-type]
        mean = sum(float(t.sum()) for t in found.values()) / sum(t.numel() for t in found.values())
        singles.append(({name: tensor / mean for name, tensor in found.items()}, dict(state.shared)))
    method.learn(state, "last", fresh_of(network, make_fresh), fit)

    def separately(at: Mapping[str, Tensor]) -> Tensor:
        return sum(((f[n] * (at[n] - old[n]).square()).sum() for f, old in singles for n in at), torch.zeros(()))

    points = [{name: (tensor + step).requires_grad_() for name, tensor in state.shared.items()} for step in (0.0, -0.4)]
    ours = [seen[-1](point, pictures(), never) for point in points]
    theirs = [separately(point) for point in points]
    assert (ours[1] - ours[0]).item() == pytest.approx((theirs[1] - theirs[0]).item(), rel=1e-4)
    for point, one, other in zip(points, ours, theirs, strict=True):
        mine, wanted = (torch.autograd.grad(value, list(point.values())) for value in (one, other))
        for gradient, expected in zip(mine, wanted, strict=True):
            torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-4)


def test_importance_is_one_on_average_whatever_the_outputs_scale(make_fresh: Any) -> None:
    network = linear()
    fresh = fresh_of(network, make_fresh)
    state = learned(network, fresh)
    louder = state.remove("first").add(
        "first", TaskDelta({name: Replace(array_of(100 * tensor)) for name, tensor in fresh.head.items()})
    )
    one, other = (EWC(samples=4).adopt(given, "first", fresh, never).memory for given in (state, louder))
    kept = [name for name in one if "importance" in name]
    assert sum(float(one[name].sum()) for name in kept) / sum(one[name].numel() for name in kept) == pytest.approx(1)
    for name in kept:
        torch.testing.assert_close(one[name], other[name], rtol=1e-4, atol=0)
    assert other["ewc/task/first"].item() == pytest.approx(1e4 * one["ewc/task/first"].item(), rel=1e-4)


def test_a_task_of_which_nothing_is_known_is_named(make_fresh: Any) -> None:
    network = linear()
    fresh = fresh_of(network, make_fresh)
    with pytest.raises(ValueError, match=r"no Fisher information for first: bundles do not store it\. Continue with"):
        EWC().learn(learned(network, fresh), "second", fresh, never)


def test_outputs_that_hang_on_nothing_are_refused(make_fresh: Any) -> None:
    network = linear()
    fresh = fresh_of(network, make_fresh)
    silent = TaskDelta({name: Replace(array_of(torch.zeros_like(tensor))) for name, tensor in fresh.head.items()})
    state = learned(network, fresh).remove("first").add("first", silent)
    with pytest.raises(ValueError, match=r"the outputs of 'first' to depend on the shared weights, but .* is 0\."):
        EWC(samples=2).adopt(state, "first", fresh, never)


def test_what_is_remembered_never_ships(tmp_path: Path) -> None:
    net = sn.MultiTaskNet(sn.UNet(width=2))
    net.memory = {"ewc/task/first": torch.ones(())}
    assert net.with_state(net.state, {}).memory == net.memory
    sn.save(net, tmp_path / "bundle")
    assert sn.load(tmp_path / "bundle").memory == {}
    assert b"ewc" not in b"".join(path.read_bytes() for path in (tmp_path / "bundle").rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("wrong", "told"), [({"strength": 0.0}, "`strength` to be pos"), ({"samples": 0}, "`samples`")]
)
def test_mistaken_settings_are_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=f"Expected EWC's {told}"):
        EWC(**wrong)
