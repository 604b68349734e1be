import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.func import functional_call

from stencilnet.masks import Masks, task_weights
from stencilnet.tasks.task import Recipe, Sample
from stencilnet.training import loop
from stencilnet.training.fit import DivergedError, make_fit
from stencilnet.training.sampling import Order
from stencilnet.training.seeds import derived_seed
from stencilnet.training.settings import Settings, resolve

from .fit_toys import Blobs, Duel, Invert, Normed, Still, delta_bytes, fit, job, masks, parts, seeded, unet, weights


def rows(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "fit-0" / "metrics.jsonl").read_text().splitlines()]


def mse(backbone: torch.nn.Module, tensors: dict[str, Tensor], data: Still) -> float:
    """Score without any of the code under test."""
    backbone.eval()
    with torch.no_grad():
        errors = [
            (functional_call(backbone, tensors, (s["input"][None],))[0] - s["target"]).double().square().numpy().ravel()
            for s in (data[index] for index in range(len(data)))
        ]
    return float(np.concatenate(errors).mean())


@pytest.mark.parametrize("make", [masks, weights])
def test_learns(tmp_path: Path, make) -> None:
    backbone, data = unet(), Still(5)
    before = mse(backbone, make(backbone).weights(), data)
    trained = fit(
        job(tmp_path, mask_lr=3e-3, recipe=Recipe(steps=25, batch=4, lr=3e-2)),
        make(backbone),
        backbone,
        evaluate_every=25,
    )
    assert mse(backbone, trained.weights(), data) < 0.5 * before
    if make is masks:
        assert trained.zeros() > 0


@pytest.mark.parametrize("higher", [False, True])
def test_returns_the_step_that_validation_selects(tmp_path: Path, higher: bool) -> None:
    backbone, data = unet(), Still(5, uneven=True)
    task = Invert(higher=higher)
    recipe = Recipe(steps=14, batch=4, lr=1e-2)
    trained = fit(job(tmp_path, task=task, recipe=recipe, validation=data), masks(backbone), backbone, evaluate_every=4)
    scored = {row["step"]: row["validation/MSE"] for row in rows(tmp_path) if "validation/MSE" in row}
    assert list(scored) == [4, 8, 12, 14]
    best = (max if higher else min)(scored, key=lambda step: scored[step])
    assert best == 4 or not higher  # the error falls, so the worst step is the first
    assert mse(backbone, trained.weights(), data) == pytest.approx(scored[best], rel=1e-5)
    selected = json.loads((tmp_path / "fit-0" / "selected.json").read_text())
    assert selected.pop("seconds") > 0
    scores = {"MSE": scored[best], "pixels": 5 * 32 * 32 + 2 * 5 * 32}
    way = {"precision": "float32", "compiled": False}
    assert selected == {"step": best, "steps": 14, "scores": scores, **way}


class Constant:
    def update(self, output: Tensor, sample: Sample) -> None:
        pass

    def compute(self) -> dict[str, float]:
        return {"MSE": 0.5, "pixels": 0.0}


@dataclass(frozen=True, kw_only=True)
class Indifferent(Invert):
    def scores(self) -> Constant:  # type: ignore[override]
        return Constant()


@pytest.mark.parametrize("higher", [False, True])
def test_of_equal_steps_the_first_is_selected(tmp_path: Path, higher: bool) -> None:
    backbone = unet()
    fit(job(tmp_path, task=Indifferent(higher=higher)), weights(backbone), backbone)
    assert json.loads((tmp_path / "fit-0" / "selected.json").read_text())["step"] == 2


def test_frozen_weights_keep_their_bytes_and_only_declared_parameters_get_gradients(tmp_path: Path) -> None:
    backbone = unet()
    own = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    state, buffers, head = parts(backbone)
    shared = {name: tensor.clone() for name, tensor in state.items()}
    touched: set[int] = set()
    trainable = Masks(state, buffers, head, [name for name in state if name.endswith("weight")])
    for parameter in trainable.parameters():
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(lambda p: touched.add(id(p)))
    trained = fit(job(tmp_path), trainable, backbone)
    assert touched == {id(p) for group in trained.groups().values() for p in group}
    assert all(parameter.grad is None for parameter in [*trained.parameters(), *backbone.parameters()])
    for name, tensor in shared.items():
        assert state[name].numpy().tobytes() == tensor.numpy().tobytes()
        assert trained.shared()[name].numpy().tobytes() == tensor.numpy().tobytes()
    for name, tensor in backbone.state_dict().items():
        assert torch.equal(tensor, own[name])
    assert not backbone.training


def test_running_statistics_move_in_training_alone_and_land_in_the_delta(tmp_path: Path) -> None:
    backbone = seeded(Normed)
    state, buffers, head = parts(backbone)
    trained = fit(job(tmp_path), Masks(state, buffers, head, ["conv.weight"]), backbone, evaluate_every=6)
    delta = task_weights(trained.delta(), state)
    assert int(delta["norm.num_batches_tracked"]) == 6  # six steps; passes over validation data do not count
    assert not torch.equal(delta["norm.running_mean"], torch.zeros(6))
    assert torch.equal(state["norm.running_mean"], torch.zeros(6))
    assert torch.equal(backbone.state_dict()["norm.running_mean"], torch.zeros(6))
    for name, tensor in trained.weights().items():
        assert torch.equal(tensor, delta[name])


def test_running_statistics_follow_batch_norms_definition(tmp_path: Path) -> None:
    backbone = seeded(Normed)
    state, buffers, head = parts(backbone)
    one = job(tmp_path, recipe=Recipe(steps=1, batch=10, lr=1e-3))
    trained = fit(one, Masks(state, buffers, head, ["conv.weight"]), backbone)
    images = torch.stack([Blobs(10)[0, index]["input"] for index in range(10)])
    features = torch.nn.functional.conv2d(images, state["conv.weight"], state["conv.bias"], padding=1)
    expected = 0.1 * features.mean(dim=(0, 2, 3))
    torch.testing.assert_close(task_weights(trained.delta(), state)["norm.running_mean"], expected)


def test_the_critic_is_trained_and_moves_the_result(tmp_path: Path) -> None:
    backbone = unet()
    alone = fit(job(tmp_path / "a"), weights(backbone), backbone)
    duel = fit(job(tmp_path / "b", task=Duel()), weights(backbone), backbone)
    assert delta_bytes(alone) != delta_bytes(duel)
    steps = [row for row in rows(tmp_path / "b") if "critic" in row]
    assert [row["step"] for row in steps] == [1, 2, 3, 4, 5, 6]
    assert steps[-1]["critic"] < steps[0]["critic"]
    for row in steps:
        assert row["lr/critic"] == pytest.approx(1e-3 * (1 + np.cos(np.pi * (row["step"] - 1) / 6)) / 2)
        assert row["loss"] == pytest.approx(row["loss/gan"] + row["loss/l1"], rel=1e-6)


def test_metrics_rows_hold_rates_zeros_and_terms(tmp_path: Path) -> None:
    backbone = unet()
    fit(job(tmp_path, recipe=Recipe(steps=12, batch=4, lr=1e-3)), masks(backbone), backbone, evaluate_every=12)
    training = [row for row in rows(tmp_path) if "loss" in row]
    assert [row["step"] for row in training] == list(range(1, 13))
    for row in training:
        factor = (1 + np.cos(np.pi * (row["step"] - 1) / 12)) / 2
        assert row["lr/mask"] == pytest.approx(2e-3 * factor)
        assert row["lr/head"] == pytest.approx(1e-3 * factor)
        assert row["examples_per_second"] > 0
    zeros = [row["mask/zeros"] for row in training]
    assert zeros[0] == 0
    assert 0 < zeros[-1] < 1


def test_contact_sheet(tmp_path: Path) -> None:
    backbone = unet()
    fit(job(tmp_path), weights(backbone), backbone, samples=3, evaluate_every=6)
    with Image.open(tmp_path / "fit-0" / "samples" / "step-000006.png") as sheet:
        assert sheet.size == (3 * 32 + 2 * 2, 3 * 32 + 2 * 2)
        pixels = np.asarray(sheet.convert("RGB"), dtype=float)
    sample = Still(5)[1]  # second row: input, then target
    np.testing.assert_allclose(pixels[34:66, :32], sample["input"].permute(1, 2, 0).numpy() * 255, atol=0.51)
    np.testing.assert_allclose(pixels[34:66, 34:66, 0], sample["target"][0].numpy() * 255, atol=1.01)


def test_fewer_examples_than_a_batch(tmp_path: Path) -> None:
    backbone = unet()
    tiny = job(tmp_path, train=Blobs(3), validation=Still(1), recipe=Recipe(steps=2, batch=8))
    assert fit(tiny, masks(backbone), backbone)


def test_global_generators_stay_as_they_were(tmp_path: Path) -> None:
    backbone = seeded(Normed)
    trainable = weights(backbone)
    before = torch.random.get_rng_state().clone()
    fit(job(tmp_path, task=Duel()), trainable, backbone)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_result_does_not_hang_on_the_global_generator(tmp_path: Path) -> None:
    backbone = seeded(Normed)
    first = fit(job(tmp_path / "a", task=Duel()), weights(backbone), backbone)
    torch.rand(5)
    second = fit(job(tmp_path / "b", task=Duel()), weights(backbone), backbone)
    other = fit(job(tmp_path / "c", task=Duel(), seed=8), weights(backbone), backbone)
    assert delta_bytes(first) == delta_bytes(second) != delta_bytes(other)


def test_real_masks_and_optimiser_states_stay_float32_under_bf16(tmp_path: Path) -> None:
    backbone = unet()
    exact = fit(job(tmp_path / "a"), masks(backbone), backbone)
    trained = fit(job(tmp_path / "b"), masks(backbone), backbone, precision="bf16")
    assert {p.dtype for p in trained.parameters()} == {torch.float32}
    assert delta_bytes(trained) != delta_bytes(exact)  # the option does something
    close = trained.weights()["head.weight"] - exact.weights()["head.weight"]
    assert float(close.detach().abs().max()) < 2e-3


def test_a_second_call_has_a_folder_of_its_own(tmp_path: Path) -> None:
    backbone = unet()
    twice = make_fit(
        backbone, job(tmp_path), resolve(Settings(device="cpu", precision="float32", evaluate_every=3, samples=0))
    )
    first, second = twice(weights(backbone)), twice(weights(backbone))
    assert {path.name for path in tmp_path.iterdir()} == {"fit-0", "fit-1"}
    assert delta_bytes(first) != delta_bytes(second)  # another order of examples


@dataclass(frozen=True, kw_only=True)
class Bursting(Invert):
    """A loss that is infinite on one example."""

    kind: ClassVar[str] = "bursting"
    bad: int = 0

    def loss(self, output: Tensor, sample: Sample, critic: torch.nn.Module | None) -> dict[str, Tensor]:
        terms = super().loss(output, sample, critic)
        poison = (sample["input"] == Blobs(10)[0, self.bad]["input"]).flatten(1).all(dim=1).any()
        return {**terms, "burst": torch.where(poison, torch.inf, 0.0) * output.mean().abs()}


@pytest.mark.parametrize("ready", [True, False], ids=["values at once", "values read later, as of a GPU"])
def test_a_loss_that_is_no_number_stops_with_one_error(
    ready: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "READY", frozenset({"cpu"}) if ready else frozenset())
    backbone = unet()
    recipe = Recipe(steps=6, batch=2, lr=1e-3)
    order = Order(seed=derived_seed(7, 0), size=10, batch=2, steps=6)
    keys = order.keys(4)
    sick = job(tmp_path, task=Bursting(bad=keys[1][1]), recipe=recipe)
    with pytest.raises(DivergedError) as caught:
        fit(sick, masks(backbone), backbone, log_every=100)
    text = str(caught.value)
    assert text.startswith("Expected a finite loss, but step 5 of 6 of piggyback/invert got loss = inf, loss/l2 = ")
    assert f"loss/burst = inf on training examples {keys[0][1]}, {keys[1][1]} (by index). The checkpoint of st" in text
    assert "The checkpoint of step 4" in text
    assert "Lower the learning rate (the recipe's `lr` is 0.001, the masks' is 0.002)" in text
    record = torch.load(tmp_path / "fit-0" / "checkpoint.pt", weights_only=True)
    assert record["step"] == 4
    assert all(tensor.isfinite().all() for tensor in record["trained"].values())


def test_values_that_are_read_later_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone, rows = unet(), []
    for name, ready in (("now", {"cpu"}), ("later", set())):
        monkeypatch.setattr(loop, "READY", frozenset(ready))
        fit(job(tmp_path / name), masks(backbone), backbone, log_every=4, evaluate_every=3)
        lines = (tmp_path / name / "fit-0" / "metrics.jsonl").read_text().splitlines()
        rows.append([{k: v for k, v in json.loads(line).items() if k != "examples_per_second"} for line in lines])
    assert rows[0] == rows[1]
    assert [row["step"] for row in rows[0] if "loss" in row] == [1, 4, 6]


@dataclass(frozen=True, kw_only=True)
class Hole(Invert):
    """A finite loss whose gradient is not a number: d sqrt(x)/dx * 0 at x = 0."""

    kind: ClassVar[str] = "hole"

    def loss(self, output: Tensor, sample: Sample, critic: torch.nn.Module | None) -> dict[str, Tensor]:
        return {"hole": (output * 0).abs().sqrt().sum() + output.nan_to_num().square().mean().detach()}


def test_parameters_that_are_no_numbers_are_noticed_behind_a_finite_loss(tmp_path: Path) -> None:
    backbone = unet()
    with pytest.raises(DivergedError, match=r"Expected finite parameters, but after step 1 .*_head.*are not. Lower"):
        fit(job(tmp_path, task=Hole()), masks(backbone), backbone, evaluate_every=1)
    assert not (tmp_path / "fit-0" / "checkpoint.pt").exists()


class NoScore:
    def update(self, output: Tensor, sample: Sample) -> None:
        pass

    def compute(self) -> dict[str, float]:
        return {"MSE": float("nan"), "pixels": 0.0}


@dataclass(frozen=True, kw_only=True)
class Unscored(Invert):
    def scores(self) -> NoScore:  # type: ignore[override]
        return NoScore()


def test_a_headline_that_is_no_number_is_an_error(tmp_path: Path) -> None:
    backbone = unet()
    with pytest.raises(DivergedError, match=r"Expected a number for `MSE` on validation data.*nan at step 2\. Check"):
        fit(job(tmp_path, task=Unscored()), masks(backbone), backbone)


def test_another_backbones_trainable_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Expected the trainable to give every tensor of Normed .*missing \['conv"):
        fit(job(tmp_path), masks(unet()), seeded(Normed))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"seed": -1}, "piggyback/invert: expected `seed` to be at least 0, but got -1."),
        ({"mask_lr": 0.0}, "`mask_lr` to be positive, but got 0.0"),
        ({"train": Blobs(0)}, "training examples, but there are none"),
        ({"validation": Still(0)}, "validation examples, but there are none"),
    ],
)
def test_a_job_that_cannot_be_trained(tmp_path: Path, changes, text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 -- the text is compared below
        job(tmp_path, **changes)
    assert text in str(caught.value)


def test_says_which_step_was_selected(tmp_path: Path, caplog) -> None:
    backbone = unet()
    with caplog.at_level(logging.INFO, logger="stencilnet"):
        fit(job(tmp_path), weights(backbone), backbone)
    assert any("piggyback/invert: selected step" in message for message in caplog.messages)
