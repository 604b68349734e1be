"""A batch cut into parts that run one after the other, against the whole batch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from stencilnet.models import UNet
from stencilnet.tasks.colorization import Colorization
from stencilnet.tasks.edges2photo import Edges2Photo
from stencilnet.tasks.segmentation import Segmentation
from stencilnet.tasks.task import Recipe, Task
from stencilnet.training.checkpoint import environment
from stencilnet.training.fit import Interrupted
from stencilnet.training.settings import Precision, Settings, resolve
from stencilnet.training.step import Learner, make_learner, train_step
from stencilnet.training.validation import validate

from .fit_toys import Duel, Normed, Still, StopAfter, fit, job, masks, seeded, unet, weights

WEIGHTS = (1.0, 0.25, 3.0)
LABELS = Segmentation(classes=("a", "b", "c"), class_weights=WEIGHTS)
PAINTING = Edges2Photo(critic_layers=1, critic_width=4)


def batch(task: Task) -> dict[str, Tensor]:
    """Four compact samples; the labels of the first are nearly all void, those of the last not at all."""
    generator = torch.Generator().manual_seed(3)

    def levels(*shape: int, below: int = 256) -> Tensor:
        return torch.randint(below, shape, dtype=torch.uint8, generator=generator)

    if isinstance(task, Colorization):
        return {"image": levels(4, 3, 32, 32)}
    if isinstance(task, Edges2Photo):
        return {"input": levels(4, 1, 32, 32), "target": levels(4, 3, 32, 32)}
    target = levels(4, 32, 32, below=3)
    for position, void in enumerate((1000, 700, 30, 0)):
        target[position].view(-1)[:void] = 255
    return {"input": levels(4, 3, 32, 32), "target": target}


def learner(task: Task, accumulate: int, make: Any = masks, precision: Precision = "float32") -> Learner:
    backbone = seeded(lambda: UNet(width=2, channels=task.channels))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        critic = task.critic()
    settings = Settings(device="cpu", accumulate=accumulate, precision=precision)
    return make_learner(
        backbone.train(),
        make(backbone),
        critic,
        task=task,
        recipe=Recipe(steps=4, batch=4, lr=1e-3),
        mask_lr=1e-3,
        resolved=resolve(settings),
    )


def gradients(module: nn.Module) -> list[Tensor]:
    return [parameter.grad for parameter in module.parameters() if parameter.grad is not None]


def assert_close(ours: list[Tensor], theirs: list[Tensor], rounding: float = 1e-5) -> None:
    """Within rounding of the largest: a bias before a normalisation has no gradient but rounding."""
    largest = max(float(tensor.abs().max()) for tensor in theirs)
    assert largest > 0
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=rounding * largest)


@pytest.mark.parametrize("parts", [2, 4])
def test_uneven_void_pixels_count_as_in_the_whole_batch(parts: int) -> None:
    ours, theirs, sample = learner(LABELS, parts), learner(LABELS, 1), batch(LABELS)
    images, target = sample["input"].float() / 255, sample["target"].long()
    output = functional_call(theirs.backbone, theirs.trainable.weights(), (images,))
    loss = F.cross_entropy(output, target, torch.tensor(WEIGHTS), ignore_index=255)  # PyTorch's own reduction
    loss.backward()
    values = train_step(ours, sample, 0)
    assert_close(gradients(ours.trainable), gradients(theirs.trainable))
    assert float(values["loss"]) == pytest.approx(loss.item(), rel=1e-6)
    assert float(values["loss/cross_entropy"]) == pytest.approx(loss.item(), rel=1e-6)
    separate = [
        float(F.cross_entropy(one, label, torch.tensor(WEIGHTS), ignore_index=255))
        for one, label in zip(output.detach().chunk(parts), target.chunk(parts), strict=True)
    ]
    assert abs(sum(separate) / parts - loss.item()) > 1e-4  # what equal weights would give


@pytest.mark.parametrize("make", [masks, weights])
@pytest.mark.parametrize("parts", [2, 4])
@pytest.mark.parametrize("task", [Colorization(), PAINTING], ids=lambda task: task.kind)
def test_a_step_in_parts_is_the_whole_batchs(task: Task, parts: int, make: Any) -> None:
    ours, theirs, sample = learner(task, parts, make), learner(task, 1, make), batch(task)
    values, expected = train_step(ours, sample, 0), train_step(theirs, sample, 0)
    assert values.keys() == expected.keys()
    for name, value in expected.items():
        assert float(values[name]) == pytest.approx(float(value), rel=1e-5), name
    assert_close(gradients(ours.trainable), gradients(theirs.trainable))
    if ours.critic is not None and theirs.critic is not None:
        assert_close(gradients(ours.critic.module), gradients(theirs.critic.module))


@pytest.mark.parametrize("parts", [2, 4])
def test_a_step_in_parts_is_the_whole_batchs_in_bf16(parts: int) -> None:
    ours, theirs, sample = learner(LABELS, parts, precision="bf16"), learner(LABELS, 1, precision="bf16"), batch(LABELS)
    loss, expected = (float(train_step(one, sample, 0)["loss"]) for one in (ours, theirs))
    assert loss == pytest.approx(expected, rel=1e-6)  # an image's forward pass is the same in any part
    # Autocast rounds each part's gradient of the weights to 8 bits before they are added: 0.0015 (2 parts) and 0.0050
    # (4) of the largest were measured, of which this is three times the larger. Parts of equal weight: 0.065.
    assert_close(gradients(ours.trainable), gradients(theirs.trainable), rounding=0.015)
    exact = float(train_step(learner(LABELS, 1), sample, 0)["loss"])
    assert abs(expected - exact) > 1e-4 * exact  # bf16 was on: 3e-4 were measured


def test_all_void_is_no_loss_and_no_gradient() -> None:
    sample = batch(LABELS)
    sample["target"].fill_(255)
    ours = learner(LABELS, 2)
    assert float(train_step(ours, sample, 0)["loss"]) == 0
    assert all(not gradient.any() for gradient in gradients(ours.trainable))


@pytest.mark.parametrize(
    ("task", "parts", "sizes"),
    [
        (LABELS, 1, [4]),
        (LABELS, 4, [1, 1, 1, 1]),
        (PAINTING, 1, [4]),  # one run serves both steps
        (PAINTING, 2, [2, 2, 2, 2]),
    ],
    ids=["whole", "parts", "critic", "critic, parts"],
)
def test_parts_run_one_by_one(task: Task, parts: int, sizes: list[int]) -> None:
    ours = learner(task, parts)
    seen, alive = [], []

    def note(_module: nn.Module, images: tuple[Tensor], output: Tensor) -> None:
        seen.append(len(images[0]))
        assert not any(alive), "the graph of the part before is still there"
        if output.requires_grad:
            alive.append(True)
            output.register_hook(lambda _gradient: alive.clear())

    ours.backbone.register_forward_hook(note)
    train_step(ours, batch(task), 0)
    assert seen == sizes


@dataclass(frozen=True, kw_only=True)
class Quiet(Duel):
    def critic(self) -> nn.Module:
        return nn.Conv2d(4, 1, 3)


def test_running_statistics_move_once_a_part(tmp_path: Path) -> None:
    backbone = seeded(Normed)
    recipe = Recipe(steps=3, batch=4, lr=1e-3)
    trained = fit(job(tmp_path, task=Quiet(), recipe=recipe), masks(backbone), backbone, accumulate=2)
    assert int(trained.weights()["norm.num_batches_tracked"]) == 6  # the critic's runs of the parts do not count


def test_a_training_in_parts_ends_where_the_whole_one_does(tmp_path: Path) -> None:
    backbone = unet()
    whole = fit(job(tmp_path / "whole"), weights(backbone), backbone)
    parts = fit(job(tmp_path / "parts"), weights(backbone), backbone, accumulate=4)
    images = torch.stack([Still(5)[index]["input"] for index in range(5)])
    untrained, ours, theirs = (
        functional_call(backbone, made.weights(), (images,)).detach() for made in (weights(backbone), parts, whole)
    )
    moved = float((theirs - untrained).abs().mean())
    assert moved > 1e-2
    # Adam takes a whole step where a gradient is rounding alone, and that differs from processor to processor.
    assert float((ours - theirs).abs().mean()) < 0.02 * moved


def test_a_batch_that_cannot_be_cut_is_refused(tmp_path: Path) -> None:
    backbone = unet()
    with pytest.raises(ValueError, match="batch") as caught:
        fit(job(tmp_path), masks(backbone), backbone, accumulate=3)
    assert str(caught.value) == (
        "piggyback/invert: expected the recipe's `batch` to be divisible by devices x `accumulate` = 1 x 3, but got 4. "
        "Change the batch (which changes the result) or one of the two (which does not)."
    )
    assert not any(tmp_path.iterdir())


def test_a_changed_number_of_parts_is_told(tmp_path: Path, caplog) -> None:
    backbone = unet()
    with pytest.raises(Interrupted):
        fit(job(tmp_path), masks(backbone), backbone, stop=StopAfter(1))
    fit(job(tmp_path), masks(backbone), backbone, resume=True, accumulate=2)
    assert any("was written with accumulate = 1, this run has 2" in message for message in caplog.messages)


def test_a_checkpoint_that_does_not_say_was_written_by_one_device_in_one_part(tmp_path: Path, caplog) -> None:
    backbone = unet()
    with pytest.raises(Interrupted):
        fit(job(tmp_path), masks(backbone), backbone, stop=StopAfter(1))
    path = tmp_path / "fit-0" / "checkpoint.pt"
    record = torch.load(path, weights_only=True)
    assert record["environment"] == environment(resolve(Settings(device="cpu")))
    assert (record["environment"].pop("devices"), record["environment"].pop("accumulate")) == (1, 1)
    torch.save(record, path)
    fit(job(tmp_path), masks(backbone), backbone, resume=True)
    assert not [message for message in caplog.messages if "was written with" in message]


@pytest.mark.parametrize(("parts", "batches"), [(1, [4, 4, 2]), (2, [2] * 5), (4, [1] * 10)])
def test_validation_holds_no_more_at_once_than_a_step(parts: int, batches: list[int]) -> None:
    whole = batch(LABELS)
    samples = [{name: tensor[index % 4] for name, tensor in whole.items()} for index in range(10)]
    seen: list[int] = []
    trained = learner(LABELS, parts)
    trained.backbone.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    found = validate(trained, samples, shown=0, stop=bool)
    assert seen == batches
    assert found.scores == pytest.approx(validate(learner(LABELS, 1), samples, shown=0, stop=bool).scores, rel=1e-5)
