"""Damage to clean images: against other libraries, drawn by the generator alone, the same whenever it is evaluated."""

import os
import re

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from stencilnet.config.reading import ConfigError, read_config, to_plain
from stencilnet.data.damage import HOLE, Blur, Damage, Downscale, Holes, Noise, damaged, generator_for
from stencilnet.data.samples import EvaluationSamples, TrainingSamples
from stencilnet.data.transforms import View
from stencilnet.tasks.restoration import Restoration
from stencilnet.tasks.task import Example

ALL: tuple[Damage, ...] = (Noise(), Blur(), Downscale(), Holes())
each = pytest.mark.parametrize("damage", ALL, ids=lambda damage: damage.kind)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def photo(height: int = 60, width: int = 47, seed: int = 0) -> torch.Tensor:
    """Smooth blobs and noise: there is something to lose."""
    rng = np.random.default_rng(seed)
    blobs = gaussian_filter(rng.random((3, height, width)), (0, 4, 4)) * 2000 - 900
    return torch.from_numpy((blobs + rng.normal(0, 12, blobs.shape)).clip(0, 255).astype(np.uint8))


def example(name: str = "a.png", seed: int = 0) -> Example:
    return Example(name=name, image=photo(seed=seed))


@each
@pytest.mark.parametrize("size", [(60, 47), (33, 32), (3, 40)])
def test_images_stay_bytes_of_their_size_and_are_changed(damage: Damage, size: tuple[int, int]) -> None:
    clean = photo(*size)
    kept = clean.clone()
    result = damage.apply(clean, generator())
    assert (result.dtype, result.shape) == (torch.uint8, clean.shape)
    assert not torch.equal(result, clean)
    assert torch.equal(clean, kept)


@each
def test_only_the_generator_decides(damage: Damage) -> None:
    torch.manual_seed(5)
    first = damage.apply(photo(), generator(1))
    torch.manual_seed(6)
    assert torch.equal(damage.apply(photo(), generator(1)), first)
    drawn = isinstance(damage, Noise | Holes)
    assert torch.equal(damage.apply(photo(), generator(2)), first) != drawn


def test_noise_has_its_deviation_on_each_channel() -> None:
    gray = torch.full((3, 200, 200), 128, dtype=torch.uint8)
    found = Noise(sigma=20).apply(gray, generator()).double().flatten(1).numpy() - 128
    assert found.mean(1) == pytest.approx(0, abs=0.4)
    assert found.std(1) == pytest.approx(20, rel=0.02)
    assert np.abs(np.corrcoef(found) - np.eye(3)).max() < 0.02


@pytest.mark.parametrize("kind", [Noise, Blur])
def test_a_range_of_strengths_is_drawn_for_each_image(kind: type[Noise | Blur]) -> None:
    clean, varied = photo(), kind(sigma=8.0, least=0.0)
    away = [float((varied.apply(clean, generator(seed)).float() - clean).square().mean()) for seed in range(40)]
    full = float((kind(sigma=8.0).apply(clean, generator()).float() - clean).square().mean())
    assert min(away) < 0.1 * full
    assert 0.8 * full < max(away) < 1.1 * full
    constant = kind(sigma=8.0, least=8.0).apply(torch.full_like(clean, 128), generator(3))
    assert constant.float().std() == pytest.approx(8 if kind is Noise else 0, rel=0.05)
    assert torch.equal(kind(sigma=8.0, least=0.0).apply(clean, generator(1)), varied.apply(clean, generator(1)))


def test_blur_is_scipys() -> None:
    image = photo()
    expected = gaussian_filter(image.double().numpy(), (0, 2, 2), mode="mirror", truncate=3)
    assert np.abs(Blur(sigma=2).apply(image, generator()).numpy() - expected).max() < 0.51


def test_downscaling_is_pillows() -> None:
    image = photo()
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    low = picture.resize((round(47 / 3), 20), Image.Resampling.BICUBIC).resize((47, 60), Image.Resampling.BICUBIC)
    found = Downscale(factor=3).apply(image, generator()).permute(1, 2, 0).numpy()
    away = np.abs(found.astype(int) - np.asarray(low))  # Pillow rounds between rows and columns
    assert away.max() <= 2
    assert away.mean() < 0.5


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_holes_cover_their_share_and_leave_the_rest(share: float) -> None:
    clean = torch.randint(0, HOLE, (3, 64, 96), generator=generator(), dtype=torch.uint8)
    found = Holes(share=share).apply(clean, generator(3))
    hole = (found == HOLE).all(0)
    assert torch.equal(found[:, ~hole], clean[:, ~hole])
    assert share <= hole.float().mean() < share + 0.06


def test_holes_are_everywhere_alike() -> None:
    white = torch.full((3, 32, 32), 255, dtype=torch.uint8)
    often = torch.stack([Holes().apply(white, generator(seed))[0] == HOLE for seed in range(2000)]).float().mean(0)
    assert float(often.min() / often.max()) > 0.75


@each
def test_training_draws_anew_and_evaluation_repeats(damage: Damage) -> None:
    view, source = View(crop=32, flip=False, damage=damage), [example("a.png"), example("b.png")]
    training = TrainingSamples(source, view, Restoration(), seed=0)
    assert torch.equal(training[0, 1]["input"], TrainingSamples(source, view, Restoration(), seed=0)[0, 1]["input"])
    assert not torch.equal(training[0, 0]["input"], training[1, 0]["input"])
    for whole in (False, True):
        first = EvaluationSamples(source, view, Restoration(), whole)
        again = EvaluationSamples(list(reversed(source)), view, Restoration(), whole)
        assert all(torch.equal(first[0][part], again[1][part]) for part in ("input", "target"))
        assert torch.equal(first[0]["target"], first[1]["target"])  # one picture by two names
        assert torch.equal(first[0]["input"], first[1]["input"]) != isinstance(damage, Noise | Holes)


def test_the_target_is_the_clean_view() -> None:
    clean = View(crop=32, scale=(0.8, 1.2))
    noisy = View(crop=32, scale=(0.8, 1.2), damage=Noise(sigma=10))
    pair = TrainingSamples([example()], noisy, Restoration(), seed=4)[2, 0]
    seen = training_image(clean)
    assert torch.equal(pair["target"], seen)
    assert 5 < (pair["input"].double() - seen).std() < 11


def training_image(view: View) -> torch.Tensor:
    from stencilnet.data.samples import sample_seed
    from stencilnet.data.transforms import training_view

    return training_view(example(), view, generator(sample_seed(4, 2, 0))).image


def test_pairs_are_not_damaged() -> None:
    with pytest.raises(ValueError, match=r"Example `a.png`: expected a clean image without target .* Remove `damage`"):
        damaged(Example(name="a.png", image=photo(), target=photo()), Noise(), generator())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Noise(sigma=0), "`sigma` to be positive, but got 0"),
        (lambda: Blur(sigma=2, least=3), "`least` to lie in [0, sigma] or be none, but got 3"),
        (lambda: Noise(sigma=2, least=-1), "`least` to lie in [0, sigma] or be none, but got -1"),
        (lambda: Blur(sigma=-1.0), "`sigma` to be positive, but got -1.0"),
        (lambda: Downscale(factor=1.0), "`factor` to be above 1, but got 1.0"),
        (lambda: Holes(share=1.0), "`share` to lie in (0, 0.9], but got 1.0"),
    ],
)
def test_what_does_nothing_is_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


CONFIG = """
title: t
methods: [{{method: {{kind: piggyback}}}}]
tasks:
  - name: clean
    title: c
    task: {task}
    data:
      about: scenes
      train: {{kind: scenes, count: 2, size: 32}}
      test: {{kind: scenes, count: 2, size: 32, first: 9}}
    view: {{crop: 32, damage: {damage}}}
"""


def read(tmp_path, task: str, damage: str):
    file = tmp_path / "c.yaml"
    file.write_text(CONFIG.format(task=task, damage=damage))
    return read_config(str(file))


@each
def test_a_config_spells_it(tmp_path, damage: Damage) -> None:
    found = read(tmp_path, "{kind: restoration}", f"{{kind: {damage.kind}}}")
    assert found.tasks[0].view.damage == damage
    assert to_plain(found)["tasks"][0]["view"]["damage"]["kind"] == damage.kind


@pytest.mark.parametrize(
    ("task", "damage", "message"),
    [
        ("{kind: restoration}", "{kind: rust}", "`kind` to be one of noise, blur, downscale, holes, but got 'rust'"),
        (
            "{kind: colorization}",
            "{kind: noise}",
            "`view.damage` with a task of kind restoration, but got it with coloriz",
        ),
    ],
)
def test_a_config_with_wrong_damage_is_refused(tmp_path, task: str, damage: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        read(tmp_path, task, damage)


def test_damage_is_seeded_by_names_that_are_not_utf8() -> None:
    first, second = (generator_for(os.fsdecode(name)) for name in (b"caf\xe9.jpg", b"caf\xe8.jpg"))
    assert first.initial_seed() != second.initial_seed()
