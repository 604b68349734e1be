"""Restoration: pairs, both distances, the identity."""

import numpy as np
import pytest
import torch
from torch import Tensor

from stencilnet.kinds.catalog import kind_from_record
from stencilnet.kinds.restoration import RestorationKind
from stencilnet.tasks.restoration import Restoration
from stencilnet.tasks.task import Example


def photo(seed: int, height: int = 16, width: int = 20) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("distance", ["l1", "l2"])
def test_loss_is_the_distance(distance: str) -> None:
    rng = np.random.default_rng(0)
    output, target = rng.standard_normal((2, 3, 5, 6)), rng.random((2, 3, 5, 6))
    found = Restoration(distance=distance).loss(
        torch.from_numpy(output).float(), {"input": torch.zeros(1), "target": torch.from_numpy(target).float()}, None
    )
    expected = np.abs(output - target).mean() if distance == "l1" else np.mean((output - target) ** 2)
    assert found.keys() == {distance}
    assert float(found[distance]) == pytest.approx(expected, rel=1e-5)


def test_unknown_distance_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^Expected restoration's `distance` to be one of l1, l2, but got 'huber'\."):
        Restoration(distance="huber")


def test_identity_is_the_input() -> None:
    task = Restoration()
    sample = {
        name: part[None]
        for name, part in task.prepare(task.sample(Example(name="a", image=photo(0), target=photo(1)))).items()
    }
    scores = task.scores()
    scores.update(task.baseline([])(sample), sample)
    error = np.mean((photo(0).double().numpy() - photo(1).double().numpy()) ** 2)
    assert scores.compute()["MSE"] == pytest.approx(error, rel=1e-5)
    assert scores.compute()["PSNR"] == pytest.approx(10 * np.log10(255**2 / error), rel=1e-5)


def test_pictures_and_metrics_clamp_wild_outputs() -> None:
    output = torch.tensor([-3.0, 0.5, 7.0]).view(3, 1, 1).expand(3, 12, 12)
    picture = np.asarray(Restoration().to_image(output.numpy(), np.zeros((3, 12, 12), np.float32)))
    assert picture[0, 0].tolist() == [0, 128, 255]
    scores = Restoration().scores()
    scores.update(output[None], {"input": output[None], "target": output.clamp(0, 1)[None]})
    assert scores.compute()["MSE"] == 0


def test_pairs_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Example `b.png`: expected its target .* 20x16 px, but got 21x16 px"):
        Restoration().sample(Example(name="b.png", image=photo(0), target=photo(1, 16, 21)))


def test_a_residual_is_added_to_the_input() -> None:
    task, given = Restoration(residual=True), torch.tensor([0.25, 0.5, 0.75]).view(3, 1, 1).expand(3, 12, 12)
    output = torch.tensor([2.5, -5.0, 5.0]).view(3, 1, 1).expand(3, 12, 12)
    assert np.asarray(task.to_image(output.numpy(), given.numpy()))[0, 0].tolist() == [128, 0, 255]
    sample = {"input": given[None], "target": torch.tensor([0.5, 0.0, 1.0]).view(1, 3, 1, 1).expand(1, 3, 12, 12)}
    assert float(task.loss(output[None], sample, None)["l1"]) == pytest.approx(0.25 / 3)
    scores = task.scores()
    scores.update(output[None], sample)
    assert scores.compute()["MSE"] == 0  # clamped
    assert kind_from_record("restoration", task.settings()) == RestorationKind(residual=True)
    assert Restoration().settings() == {}  # as in bundles that do not know the setting
