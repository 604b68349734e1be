"""Edges to photos: both kinds of data, the loss in closed form, the critic's field, the mean colour."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from stencilnet.tasks.critic import FIELDS, PatchCritic, critic_loss
from stencilnet.tasks.edges2photo import Edges2Photo
from stencilnet.tasks.task import Example


def photo(seed: int = 0, height: int = 33, width: int = 41) -> Tensor:
    """A disk on a ground, uint8."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(height) - height // 2, torch.arange(width) - width // 2, indexing="ij")
    disk = (y**2 + x**2 < (height // 3) ** 2)[None]
    inside, ground = 0.5 * torch.rand(2, 3, 1, 1, generator=generator)
    return (255 * torch.where(disk, 0.5 + inside, ground)).to(torch.uint8)


def picture(image: Tensor) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).numpy())


class Constant(nn.Module):
    """A critic of one opinion on real photos, and another on the rest."""

    def __init__(self, logit: float) -> None:
        super().__init__()
        self.logit = nn.Parameter(torch.tensor(logit))

    def forward(self, image: Tensor, output: Tensor) -> Tensor:
        return self.logit.expand(output.shape[0], 1, 3, 3)


def softplus(x: float) -> float:
    return float(np.log1p(np.exp(x)))


def test_drawings_are_black_lines_on_white_around_what_is_there() -> None:
    task = Edges2Photo()
    sample = task.prepare(task.sample(Example(name="a", image=photo())))
    drawing = sample["input"]
    assert drawing.unique().tolist() == [0, 1]
    assert torch.equal(drawing[0], drawing[1])
    assert torch.equal(drawing[0], drawing[2])
    lines = (drawing[0] == 0).nonzero()
    radii = (lines - torch.tensor([16, 20])).float().norm(dim=1)
    assert len(lines) > 40
    assert radii.min() > 33 // 3 - 2
    assert radii.max() < 33 // 3 + 2
    torch.testing.assert_close(sample["target"], photo() / 255)
    assert np.array_equal(task.to_input(picture(photo())), drawing)


def test_pairs_give_their_drawing_as_it_is() -> None:
    task = Edges2Photo()
    drawing = torch.full((3, 33, 41), 255, dtype=torch.uint8)
    drawing[:, 5] = 40
    sample = task.prepare(task.sample(Example(name="a", image=drawing, target=photo())))
    torch.testing.assert_close(sample["input"], drawing / 255)
    torch.testing.assert_close(sample["target"], photo() / 255)
    assert np.array_equal(task.drawing_to_input(picture(drawing)), sample["input"])
    assert not np.array_equal(task.to_input(picture(drawing)), sample["input"])


def test_edge_settings_are_used_and_kept() -> None:
    task = Edges2Photo(edge_sigma=2.0, edge_low=0.9, edge_high=0.95)
    assert task.settings() == {"edge_sigma": 2.0, "edge_low": 0.9, "edge_high": 0.95}
    assert bool((task.to_input(picture(photo())) == 1).all())


def test_loss_is_the_gan_term_and_100_l1() -> None:
    rng = np.random.default_rng(0)
    raw, target = rng.standard_normal((2, 3, 6, 7)), rng.random((2, 3, 6, 7))
    sample = {"input": torch.ones(2, 3, 6, 7), "target": torch.from_numpy(target).float()}
    terms = Edges2Photo().loss(torch.from_numpy(raw).float(), sample, Constant(0.7))
    assert list(terms) == ["gan", "l1"]
    assert terms["gan"].item() == pytest.approx(softplus(-0.7), rel=1e-5)
    assert terms["l1"].item() == pytest.approx(100 * np.abs(np.tanh(raw) - (2 * target - 1)).mean(), rel=1e-5)


def test_gan_term_reaches_the_output() -> None:
    task, generator = Edges2Photo(l1_weight=0.0, critic_layers=1, critic_width=4), torch.Generator().manual_seed(0)
    sample = {"input": torch.rand(1, 3, 16, 16, generator=generator), "target": torch.zeros(1, 3, 16, 16)}
    output = torch.randn(1, 3, 16, 16, generator=generator, requires_grad=True)
    terms = task.loss(output, sample, task.critic())
    (gradient,) = torch.autograd.grad(terms["gan"] + terms["l1"], output)
    assert gradient.abs().sum() > 0


def test_loss_without_critic_is_refused() -> None:
    sample = {"input": torch.zeros(1, 3, 8, 8), "target": torch.zeros(1, 3, 8, 8)}
    with pytest.raises(
        TypeError, match=r"a critic for the loss of the task kind `edges2photo`.*Pass one made by `critic\(\)`"
    ):
        Edges2Photo().loss(torch.zeros(1, 3, 8, 8), sample, None)


@pytest.mark.parametrize("logit", [0.0, 1.5, -4.0])
def test_critic_loss_on_constants(logit: float) -> None:
    sample = {"input": torch.zeros(2, 3, 8, 8), "target": torch.zeros(2, 3, 8, 8)}
    found = Edges2Photo().critic_loss(Constant(logit), torch.zeros(2, 3, 8, 8), sample)
    assert found.item() == pytest.approx((softplus(-logit) + softplus(logit)) / 2, rel=1e-5)


def test_critic_loss_tells_real_from_fake() -> None:
    real, fake = torch.full((2, 1, 3, 3), 2.0), torch.full((2, 1, 3, 3), -1.0)
    assert critic_loss(real, fake).item() == pytest.approx((softplus(-2.0) + softplus(-1.0)) / 2, rel=1e-5)
    assert critic_loss(real, fake) < critic_loss(fake, real)


def test_critic_sees_the_drawing_with_each_photo() -> None:
    task, generator = Edges2Photo(critic_layers=1, critic_width=4), torch.Generator().manual_seed(0)
    sample = {name: torch.rand(2, 3, 24, 24, generator=generator) for name in ("input", "target")}
    output, critic = torch.randn(2, 3, 24, 24, generator=generator), task.critic()
    with torch.no_grad():
        real = critic(sample["input"], sample["target"])
        fake = critic(sample["input"], (output.tanh() + 1) / 2)
        found = task.critic_loss(critic, output, sample)
        swapped = critic(sample["input"].flip(0), sample["target"])
    torch.testing.assert_close(found, critic_loss(real, fake))
    assert not torch.allclose(real, swapped)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_critics_field_measured_by_gradient(layers: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(layers)
        critic = PatchCritic(layers=layers, width=4)
    for name, module in list(critic.net.named_children()):
        if isinstance(module, nn.InstanceNorm2d):
            critic.net.register_module(name, nn.Identity())  # normalisation looks at the whole image
    image = torch.rand(1, 3, 160, 160, generator=torch.Generator().manual_seed(0), requires_grad=True)
    logits = critic(torch.zeros(1, 3, 160, 160), image)
    middle = logits.shape[-1] // 2
    (gradient,) = torch.autograd.grad(logits[0, 0, middle, middle], image)
    rows, columns = gradient[0].abs().amax(dim=0).nonzero().unbind(1)
    assert int(rows.max() - rows.min()) + 1 == FIELDS[layers] == {1: 16, 2: 34, 3: 70}[layers]
    assert int(columns.max() - columns.min()) + 1 == FIELDS[layers]


def test_critic_is_pix2pixs() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        critic = PatchCritic()
    kernels = {name: tuple(p.shape) for name, p in critic.named_parameters() if name.endswith("weight")}
    assert list(kernels.values()) == [
        (64, 6, 4, 4),
        (128, 64, 4, 4),
        (256, 128, 4, 4),
        (512, 256, 4, 4),
        (1, 512, 4, 4),
    ]
    weights = torch.cat([p.detach().flatten() for p in critic.parameters() if p.dim() == 4])
    assert float(weights.std()) == pytest.approx(0.02, rel=0.01)
    assert critic(torch.rand(1, 3, 256, 256), torch.rand(1, 3, 256, 256)).shape == (1, 1, 30, 30)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_critic_refuses_images_it_cannot_judge(layers: int) -> None:
    critic = PatchCritic(layers=layers, width=2)
    least = torch.rand(1, 3, critic.least, critic.least)
    assert critic(least, least).isfinite().all()
    small = least[..., 1:]
    message = f"at least {critic.least}x{critic.least} px, but got {critic.least - 1}x{critic.least}. Use larger crops"
    with pytest.raises(ValueError, match=message):
        critic(small, small)
    with pytest.raises(ValueError, match="`layers` to be 1, 2 or 3"):
        PatchCritic(layers=4)


def test_baseline_is_the_mean_colour_of_all_pixels() -> None:
    task = Edges2Photo()
    red, black = torch.zeros(3, 4, 4), torch.zeros(3, 4, 12)
    red[0] = 1
    predict = task.baseline([{"target": red}, {"target": black}])
    output = predict({"input": torch.zeros(2, 3, 5, 7)})
    assert output.shape == (2, 3, 5, 7)
    shown = np.asarray(task.to_image(output[0].numpy(), np.zeros((3, 5, 7), np.float32)))
    assert shown[2, 2].tolist() == [64, 0, 0]
    with pytest.raises(ValueError, match="mean colour, but got none"):
        task.baseline([])


def test_all_wrong_settings_are_reported_at_once() -> None:
    with pytest.raises(ValueError, match=r"^Expected edges2photo's `edge_sigma` to be positive and finite") as caught:
        Edges2Photo(
            l1_weight=-1.0, critic_layers=5, critic_width=0, edge_sigma=float("inf"), edge_low=0.3, edge_high=0.2
        )
    for part in ("`l1_weight`", "1 to 3, but got 5", "`critic_width`", "not below `edge_low` (0.3), but got 0.2"):
        assert part in str(caught.value)


def test_recipe_is_pix2pixs() -> None:
    recipe = Edges2Photo.recipe()
    assert (recipe.lr, recipe.betas, recipe.schedule) == (2e-4, (0.5, 0.999), "linear")
