"""Depth and normals: measures against NumPy, what counts, and the mean map."""

import numpy as np
import pytest
import torch
from torch import Tensor

from stencilnet.tasks.depth import Depth
from stencilnet.tasks.normals import Normals
from stencilnet.tasks.task import Example, Task


def levels(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.integers(0, 256, shape, dtype=np.uint8))


def prepared(task: Task, target: Tensor) -> dict[str, Tensor]:
    image = torch.zeros(3, *target.shape[-2:], dtype=torch.uint8)
    sample = task.prepare(task.sample(Example(name="a.png", image=image, target=target.expand(3, -1, -1))))
    return {name: part[None] for name, part in sample.items()}


def scored(task: Task, output: Tensor, sample: dict[str, Tensor]) -> dict[str, float]:
    scores = task.scores()
    scores.update(output, sample)
    return scores.compute()


def test_depth_is_measured_where_it_is_finite() -> None:
    rng = np.random.default_rng(0)
    target = levels(rng, 1, 20, 30)
    target[:, :9] = 0
    output = torch.from_numpy(rng.random((1, 1, 20, 30)).astype(np.float32) * 1.4 - 0.2)
    found = scored(Depth(), output, prepared(Depth(), target))
    true = 255 / target.numpy()[0, 9:][target.numpy()[0, 9:] > 0]
    predicted = 1 / output.numpy().clip(1 / 255, 1)[0, 0, 9:][target.numpy()[0, 9:] > 0]
    ratio = np.maximum(predicted / true, true / predicted)
    assert found["AbsRel"] == pytest.approx(np.mean(np.abs(predicted - true) / true), rel=1e-5)
    assert found["delta_1.25"] == pytest.approx(100 * np.mean(ratio <= 1.25), rel=1e-5)


def test_twice_as_near_is_half_off() -> None:
    sample = prepared(Depth(), torch.full((1, 4, 4), 100, dtype=torch.uint8))
    assert scored(Depth(), 2 * sample["target"], sample)["AbsRel"] == pytest.approx(0.5)
    assert scored(Depth(), sample["target"] / 2, sample) == pytest.approx({"AbsRel": 1.0, "delta_1.25": 0.0})


def test_a_picture_of_the_sky_alone_is_not_measured() -> None:
    """Once it counted as right, whatever the output."""
    sample = prepared(Depth(), torch.zeros(1, 4, 4, dtype=torch.uint8))
    with pytest.raises(ValueError, match="at least one image to measure, but got none"):
        scored(Depth(), torch.ones(1, 1, 4, 4), sample)
    other = prepared(Depth(), torch.full((1, 4, 4), 100, dtype=torch.uint8))
    both = {name: torch.cat([sample[name], other[name]]) for name in sample}
    output = torch.cat([torch.ones(1, 1, 4, 4), other["target"] / 2])
    assert scored(Depth(), output, both) == pytest.approx({"AbsRel": 1.0, "delta_1.25": 0.0})
    assert float(Depth().loss(torch.ones(1, 1, 4, 4), sample, None)["l1"]) == 1  # but it is learned


def test_coloured_depth_is_refused() -> None:
    target = torch.zeros(3, 4, 4, dtype=torch.uint8)
    target[2, 1, 1] = 9
    with pytest.raises(ValueError, match=r"Example `a.png`: expected its target to be a gray map .* has colours"):
        Depth().sample(Example(name="a.png", image=target, target=target))


def test_angles_are_numpys() -> None:
    rng = np.random.default_rng(1)
    true = rng.standard_normal((3, 20, 30))
    true /= np.linalg.norm(true, axis=0)
    target = torch.from_numpy(np.floor(255 * (true + 1) / 2 + 0.5).astype(np.uint8))
    target[:, :5] = 128
    output = torch.from_numpy(rng.standard_normal((1, 3, 20, 30)).astype(np.float32))
    output[0, :, 10:] = torch.from_numpy(true[:, 10:] * 3 + 0.1 * rng.standard_normal(true[:, 10:].shape))
    found = scored(Normals(), output, prepared(Normals(), target))
    cosine = (output[0].double().numpy() * true).sum(0) / np.linalg.norm(output[0].double().numpy(), axis=0)
    angle = np.degrees(np.arccos(cosine.clip(-1, 1)))[5:]
    assert found["angle"] == pytest.approx(angle.mean(), abs=0.4)  # 8 bits
    assert found["within_11.25"] == pytest.approx(100 * np.mean(angle <= 11.25), abs=2)
    assert 10 < found["within_11.25"] < 90


def test_no_surface_is_a_vector_of_no_length() -> None:
    target = torch.full((3, 4, 4), 128, dtype=torch.uint8)
    target[:, 0] = torch.tensor([128, 255, 128], dtype=torch.uint8)[:, None]
    sample = prepared(Normals(), target)
    assert sample["target"][0, :, 1:].abs().max() == 0
    assert sample["target"][0, :, 0].norm(dim=0).tolist() == pytest.approx([1.0] * 4)
    assert scored(Normals(), sample["target"] + torch.tensor([0.0, 0.0, 1.0]).view(3, 1, 1), sample)[
        "angle"
    ] == pytest.approx(45, abs=0.3)
    blank = prepared(Normals(), torch.full((3, 4, 4), 128, dtype=torch.uint8))
    both = {name: torch.cat([blank[name], sample[name]]) for name in sample}
    turned = both["target"] + torch.tensor([0.0, 0.0, 1.0]).view(3, 1, 1)
    assert scored(Normals(), turned, both)["angle"] == pytest.approx(45, abs=0.3)  # the blank one does not count
    picture = np.asarray(Normals().to_image(np.full((3, 4, 4), 0.2, np.float32), np.zeros((3, 4, 4), np.float32)))
    assert (picture == 128).all()


@pytest.mark.parametrize("task", [Depth(), Normals()], ids=["depth", "normals"])
def test_the_mean_map_is_the_mean_at_each_place(task: Task) -> None:
    rng = np.random.default_rng(2)
    samples = [prepared(task, levels(rng, 1, 32, 48)) for _ in range(3)]
    output = task.baseline({name: part[0] for name, part in sample.items()} for sample in samples)(samples[0])
    mean = torch.stack([sample["target"][0] for sample in samples]).mean(0)
    assert output.shape == samples[0]["target"].shape
    assert float(output.mean()) == pytest.approx(float(mean.mean()), abs=0.02)
    half = [prepared(task, torch.cat([torch.full((1, 16, 48), v), torch.full((1, 16, 48), 255 - v)], 1).to(torch.uint8))
            for v in (20, 40)]  # fmt: skip
    there = task.baseline({name: part[0] for name, part in sample.items()} for sample in half)(half[0])
    expected = torch.stack([sample["target"] for sample in half]).mean(0)
    assert float((there - expected)[..., :14, :].abs().max()) < 1e-5
    assert float((there - expected)[..., 18:, :].abs().max()) < 1e-5
    with pytest.raises(ValueError, match="training examples to fit the trivial baseline"):
        task.baseline([])
