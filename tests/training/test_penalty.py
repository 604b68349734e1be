"""A method's own term beside the task's loss, a share of the recipe, and looking at training inputs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from stencilnet.models import UNet
from stencilnet.tasks.segmentation import Segmentation
from stencilnet.tasks.task import Recipe
from stencilnet.training.fit import CheckpointError, Interrupted
from stencilnet.training.probing import make_probe
from stencilnet.training.sampling import Order
from stencilnet.training.seeds import derived_seed
from stencilnet.training.settings import Settings, resolve
from stencilnet.training.step import Learner, make_learner, train_step

from .fit_toys import Blobs, Normed, Pull, StopAfter, delta_bytes, fit, job, masks, seeded, unet, weights

LABELS = Segmentation(classes=("a", "b", "c"))


def labelled() -> dict[str, Tensor]:
    """Four compact samples, of which the first are nearly all void."""
    generator = torch.Generator().manual_seed(3)
    target = torch.randint(3, (4, 32, 32), dtype=torch.uint8, generator=generator)
    for position, void in enumerate((1000, 700, 30, 0)):
        target[position].view(-1)[:void] = 255
    images = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return {"input": images // torch.tensor([1, 2, 3, 4]).view(4, 1, 1, 1), "target": target}


def learner(accumulate: int, *, strength: float | None = 0.01, precision: Any = "float32") -> Learner:
    backbone = seeded(lambda: UNet(width=2, channels=3))
    return make_learner(
        backbone.train(),
        weights(backbone),
        None,
        task=LABELS,
        recipe=Recipe(steps=4, batch=4, lr=1e-3),
        mask_lr=1e-3,
        resolved=resolve(Settings(device="cpu", accumulate=accumulate, precision=precision)),
        penalty=None if strength is None else Pull(strength),
    )


def gradients(module: nn.Module) -> list[Tensor]:
    return [parameter.grad for parameter in module.parameters() if parameter.grad is not None]


def rows(folder: Path, call: int = 0) -> list[dict[str, float]]:
    lines = (folder / f"fit-{call}" / "metrics.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if "loss" in row]


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_a_step_minimises_the_tasks_loss_and_the_penalty(parts: int) -> None:
    """In parts of uneven void pixels too: a part counts by its images for the penalty, by its pixels for the task."""
    ours, reference, sample = learner(parts), learner(1), labelled()
    images = sample["input"].float() / 255
    theirs = reference.trainable.weights()
    output = functional_call(reference.backbone, theirs, (images,))
    loss = F.cross_entropy(output, sample["target"].long(), ignore_index=255)
    trunk = [tensor for name, tensor in theirs.items() if name.endswith("weight") and "head" not in name]
    far = sum((tensor - 0.1).square().sum() for tensor in trunk)
    pulls = [0.01 * far / 2 * (part.mean() + run.square().mean()) for part, run in zip(images, output, strict=True)]
    pull = torch.stack(pulls).mean()
    (loss + pull).backward()
    values = train_step(ours, sample, 0)
    assert pull.item() > 0.01
    assert float(values["loss/pull"]) == pytest.approx(pull.item(), rel=1e-5)
    assert float(values["loss/cross_entropy"]) == pytest.approx(loss.item(), rel=1e-5)
    assert float(values["loss"]) == pytest.approx((loss + pull).item(), rel=1e-5)
    largest = max(float(tensor.abs().max()) for tensor in gradients(reference.trainable))
    for one, other in zip(gradients(ours.trainable), gradients(reference.trainable), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * largest)


def test_the_penalty_is_run_in_the_training_s_precision() -> None:
    exact, rounded = (
        float(train_step(learner(1, precision=p), labelled(), 0)["loss/pull"]) for p in ("float32", "bf16")
    )
    assert rounded == pytest.approx(exact, rel=2e-2)
    assert rounded != exact


def test_a_network_is_penalised_as_it_will_be_used(tmp_path: Path) -> None:
    """Without dropout, by running statistics, and without moving these: they move once a step."""
    backbone = seeded(Normed)
    recipe = Recipe(steps=3, batch=4, lr=1e-9)
    trained = fit(job(tmp_path, recipe=recipe), weights(backbone), backbone, penalty=Pull(), evaluate_every=3)
    assert int(trained.weights()["norm.num_batches_tracked"]) == 3
    still = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    data = Blobs(10)
    images = torch.stack([data[key]["input"] for key in first_batch(tmp_path)])
    with torch.no_grad():
        functional_call(backbone.train(), still, (images,))  # the task's own run of the step comes first
        expected = Pull()(still, images, lambda given, seen: functional_call(backbone.eval(), given, (seen,)))
        target = torch.stack([data[key]["target"] for key in first_batch(tmp_path)])
        output = functional_call(backbone.eval(), dict(backbone.state_dict()), (images,))
        first = F.mse_loss(output, target) + 0.1 * F.l1_loss(output, target)  # the unit: the loss before training
    assert rows(tmp_path)[0]["loss/pull"] == pytest.approx(float(first * expected), rel=1e-5)


def first_batch(folder: Path) -> list[tuple[int, int]]:
    return Order(seed=derived_seed(job(folder).seed, 0), size=10, batch=4, steps=1).keys(0)


def test_a_penalty_changes_what_is_learned(tmp_path: Path) -> None:
    backbone = unet()
    plain = fit(job(tmp_path / "plain"), weights(backbone), backbone)
    pulled = fit(job(tmp_path / "pulled"), weights(backbone), backbone, penalty=Pull(1.0))
    assert delta_bytes(plain) != delta_bytes(pulled)
    found = [row["loss/pull"] for row in rows(tmp_path / "pulled")]
    assert found[-1] < found[0]
    assert "loss/pull" not in rows(tmp_path / "plain")[0]


def test_interrupted_and_resumed_is_the_same_bytes_and_another_penalty_is_refused(tmp_path: Path) -> None:
    backbone = unet()
    whole = fit(job(tmp_path / "whole"), weights(backbone), backbone, penalty=Pull())
    for _ in range(2):
        with pytest.raises(Interrupted):
            fit(job(tmp_path / "two"), weights(backbone), backbone, penalty=Pull(), resume=True, stop=StopAfter(5))
    for penalty, differs in (
        (Pull(2.0), r"`penalty\.strength` was 1\.0, is 2\.0"),
        (Pull(point=0.2), r"`penalty tensors \(SHA-256\)` was"),
        (None, "`penalty` was 'pull', is 'absent'"),
    ):
        with pytest.raises(CheckpointError, match=differs):
            fit(job(tmp_path / "two"), weights(backbone), backbone, penalty=penalty, resume=True)
    again = fit(job(tmp_path / "two"), weights(backbone), backbone, penalty=Pull(), resume=True)
    assert delta_bytes(whole) == delta_bytes(again)


def test_a_share_of_the_steps_at_a_share_of_the_rate(tmp_path: Path) -> None:
    backbone, recipe = unet(), Recipe(steps=10, batch=4, lr=1e-3, schedule="linear")
    fit(job(tmp_path, recipe=recipe), masks(backbone), backbone, share=0.4, lr_scale=0.1)
    found = rows(tmp_path)
    assert [row["step"] for row in found] == [1, 2, 3, 4]
    assert [row["lr/head"] for row in found] == pytest.approx([1e-4, 1e-4, 1e-4, 5e-5])  # the shorter one's schedule
    assert [row["lr/mask"] for row in found] == pytest.approx([2e-4, 2e-4, 2e-4, 1e-4])
    with pytest.raises(CheckpointError, match=r"`recipe\.lr` was .*; `recipe\.steps` was 4, is 10"):
        fit(job(tmp_path, recipe=recipe), masks(backbone), backbone, resume=True)
    fit(job(tmp_path / "least", recipe=recipe), masks(backbone), backbone, share=0.01)
    assert len(rows(tmp_path / "least")) == 1


@pytest.mark.parametrize("wrong", [{"share": 0.0}, {"lr_scale": -1.0}])
def test_shares_are_positive(wrong: dict[str, float], tmp_path: Path) -> None:
    backbone = unet()
    with pytest.raises(ValueError, match="expected `share` and `lr_scale` to be positive, but got"):
        fit(job(tmp_path), masks(backbone), backbone, **wrong)


def test_a_probe_shows_training_inputs(tmp_path: Path) -> None:
    backbone, data = unet(), Blobs(4)
    probe = make_probe(backbone, job(tmp_path, train=data), "cpu")
    shown = list(probe.inputs(6))
    assert [tuple(image.shape) for image in shown] == [(1, 3, 32, 32)] * 6
    known = {(epoch, index): data[epoch, index]["input"] for epoch in range(2) for index in range(4)}
    keys = [next(key for key, image in known.items() if torch.equal(image, one[0])) for one in shown]
    assert sorted(keys[:4]) == [(0, index) for index in range(4)]  # each of them, before any comes again
    assert {epoch for epoch, _ in keys[4:]} == {1}
    assert all(torch.equal(one, other) for one, other in zip(shown, probe.inputs(6), strict=True))
    other = make_probe(backbone, replace(job(tmp_path, train=data), seed=8), "cpu")
    assert not all(torch.equal(one, two) for one, two in zip(shown, other.inputs(6), strict=True))


def test_a_probe_runs_the_network_as_it_will_be_used(tmp_path: Path) -> None:
    backbone = seeded(Normed)
    probe = make_probe(backbone.train(), job(tmp_path), "cpu")
    image = next(probe.inputs(1))
    given = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    expected = functional_call(backbone.eval(), dict(backbone.state_dict()), (image,))
    assert torch.equal(probe.run(given, image), expected)
    assert int(given["norm.num_batches_tracked"]) == 0
    one, two = (torch.rand(3, generator=probe.generator()) for _ in range(2))
    assert torch.equal(one, two)
