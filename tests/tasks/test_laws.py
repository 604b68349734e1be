"""Laws of all task kinds: one table, one set of laws. A new kind is one row."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import default_collate

from stencilnet.kinds.catalog import kind_from_record, kinds, traits_of
from stencilnet.kinds.kind import DrawingKind, LabelKind, MapKind, PictureKind, RgbInput, RgbKind
from stencilnet.perceptual.network import Description, PerceptualNetwork
from stencilnet.pictures.labels import VOID
from stencilnet.tasks import colorization, edges2photo, normals
from stencilnet.tasks.catalog import task_kinds
from stencilnet.tasks.classification import Classification
from stencilnet.tasks.colorization import Colorization
from stencilnet.tasks.depth import Depth
from stencilnet.tasks.edges2photo import Edges2Photo
from stencilnet.tasks.inventory import CountedTask
from stencilnet.tasks.normals import Normals
from stencilnet.tasks.restoration import Restoration
from stencilnet.tasks.segmentation import Segmentation
from stencilnet.tasks.style import StyleTransfer
from stencilnet.tasks.task import Example, LabelTask, PictureTask, Predictor, Sample, Task

SIZES = [(37, 53), (32, 48)]
OPTIMA = {
    "mIoU": 100.0,
    "pixel_accuracy": 100.0,
    "boundary_F1": 100.0,
    "MSE": 0.0,
    "MSE_CbCr": 0.0,
    "SSIM": 1.0,
    "AbsRel": 0.0,
    "delta_1.25": 100.0,
    "angle": 0.0,
    "within_11.25": 100.0,
    "accuracy": 100.0,
    "class_accuracy": 100.0,
    "top5_accuracy": 100.0,
}


def photo(height: int, width: int, seed: int) -> Tensor:
    """Coloured blobs with some noise, uint8."""
    generator = torch.Generator().manual_seed(seed)
    blobs = F.interpolate(torch.rand(1, 3, 5, 6, generator=generator), (height, width), mode="bilinear")[0]
    noise = 0.05 * torch.rand(3, height, width, generator=generator)
    return (255 * (0.9 * blobs + noise)).to(torch.uint8)


def plain(height: int, width: int, seed: int) -> Example:
    return Example(name=f"plain-{seed}.png", image=photo(height, width, seed))


def labelled(classes: int) -> Callable[[int, int, int], Example]:
    def make(height: int, width: int, seed: int) -> Example:
        label = torch.zeros(height, width, dtype=torch.uint8)
        for index in range(classes):
            label[6 * index + seed % 3 + 2 : 6 * index + seed % 3 + 5] = index
        label[:, :3] = VOID
        return replace(plain(height, width, seed), label=label)

    return make


def categorised(height: int, width: int, seed: int) -> Example:
    return replace(plain(height, width, seed), category=5 if seed < 2 else seed // 4 % 5)


def paired(height: int, width: int, seed: int) -> Example:
    return replace(plain(height, width, seed), target=photo(height, width, seed + 100))


def gray_paired(height: int, width: int, seed: int) -> Example:
    return replace(plain(height, width, seed), target=photo(height, width, seed + 100)[:1].expand(3, -1, -1))


def perfect_logits(sample: Sample, channels: int) -> Tensor:
    target = sample["target"]
    return 9 * F.one_hot(target.where(target != VOID, 0), channels).movedim(-1, 1).float()


def classes(output: Tensor, _: Tensor) -> Tensor:
    return output.argmax(dim=1)


def bound_style() -> StyleTransfer:
    """A style task that looks through two small random layers."""
    generator = torch.Generator().manual_seed(1)
    shapes = {"1_1": (4, 3, 3, 3), "2_1": (6, 4, 3, 3)}
    convolutions = {n: (torch.randn(s, generator=generator), torch.zeros(s[0])) for n, s in shapes.items()}
    layers = ("relu1_1", "relu2_1")
    description = Description(name="random", style_layers=layers, content_layer="relu2_1", start=1.0)
    return StyleTransfer(style="blobs").bind(PerceptualNetwork(description, convolutions), photo(40, 40, 77) / 255)


@dataclass(frozen=True)
class Row:
    """A kind, its data, what a perfect network would say if anybody knows, and the data that it must refuse.

    Attributes:
        answer: Maps raw outputs and inputs, as training measures them, to RGB in [0, 1], classes or probabilities.
    """

    task: Task
    example: Callable[[int, int, int], Example]
    perfect: Callable[[Sample], Tensor] | None
    answer: Callable[[Tensor, Tensor], Tensor]
    lacking: Callable[[int, int, int], Example] | None = None
    mode: str = "RGB"

    def batch(self, height: int, width: int, seed: int = 0, count: int = 2) -> dict[str, Tensor]:
        samples = [self.task.sample(self.example(height, width, seed + i)) for i in range(count)]
        collated: dict[str, Tensor] = default_collate(samples)
        return self.task.prepare(collated)


TABLE = {
    "segmentation": Row(
        Segmentation(classes=("sky", "sea", "sand", "tree")),
        labelled(4),
        lambda s: perfect_logits(s, 4),
        classes,
        plain,
        "P",
    ),
    "segmentation-weighted": Row(
        Segmentation(classes=("sky", "sea", "sand"), class_weights=(0.5, 1.0, 2.0), palette=((9, 8, 7),) * 3),
        labelled(3),
        lambda s: perfect_logits(s, 3),
        classes,
        plain,
        "P",
    ),
    "segmentation-boundary": Row(
        Segmentation(classes=("flat", "boundary"), boundary_tolerance=2),
        labelled(2),
        lambda s: perfect_logits(s, 2),
        classes,
        plain,
        "P",
    ),
    "colorization": Row(Colorization(), plain, lambda s: s["target"], colorization._join),
    "edges2photo": Row(
        Edges2Photo(critic_layers=1, critic_width=4),
        plain,
        lambda s: (2 * s["target"] - 1).mul(1 - 1e-6).atanh(),
        lambda output, _: edges2photo._rgb(output),
    ),
    "edges2photo-pairs": Row(
        Edges2Photo(critic_layers=2, critic_width=4, edge_sigma=1.0),
        paired,
        lambda s: (2 * s["target"] - 1).mul(1 - 1e-6).atanh(),
        lambda output, _: edges2photo._rgb(output),
    ),
    "style": Row(bound_style(), plain, None, lambda output, _: output.sigmoid()),
    "restoration": Row(Restoration(), paired, lambda s: s["target"], Restoration()._restored, plain),
    "restoration-l2": Row(Restoration(distance="l2"), paired, lambda s: s["target"], Restoration()._restored, plain),
    "restoration-residual": Row(
        Restoration(residual=True),
        paired,
        lambda s: 10 * (s["target"] - s["input"]),
        Restoration(residual=True)._restored,
        plain,
    ),
    "depth": Row(Depth(), gray_paired, lambda s: s["target"], lambda output, _: output.expand(-1, 3, -1, -1), plain),
    "normals": Row(
        Normals(), paired, lambda s: s["target"], lambda output, _: (normals._normals(output) + 1) / 2, plain
    ),
    "classification": Row(
        Classification(classes=tuple("abcdef")),
        categorised,
        lambda s: 9 * F.one_hot(s["target"], 6).float(),
        lambda output, _: output.softmax(dim=1),
        plain,
    ),
}

rows = pytest.mark.parametrize("row", TABLE.values(), ids=TABLE.keys())
with_target = pytest.mark.parametrize(
    ("row", "perfect"),
    [(row, row.perfect) for row in TABLE.values() if row.perfect is not None],
    ids=[name for name, row in TABLE.items() if row.perfect is not None],
)
with_pictures = pytest.mark.parametrize(
    ("row", "task"),
    [(row, row.task) for row in TABLE.values() if isinstance(row.task, PictureTask)],
    ids=[name for name, row in TABLE.items() if isinstance(row.task, PictureTask)],
)
sizes = pytest.mark.parametrize(("height", "width"), SIZES)


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """Critics start from the global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def raw_output(row: Row, batch: Sample, seed: int = 3) -> Tensor:
    count, _, *size = batch["input"].shape
    size = size if isinstance(row.task, PictureTask) else []
    return torch.randn(count, row.task.channels, *size, generator=torch.Generator().manual_seed(seed))


def scored(row: Row, predict: Predictor, batches: list[dict[str, Tensor]]) -> dict[str, float]:
    scores = row.task.scores()
    for batch in batches:
        scores.update(predict(batch), batch)
    return scores.compute()


def test_every_kind_has_a_row() -> None:
    assert {row.task.kind for row in TABLE.values()} == set(kinds())
    assert all(task_kinds()[row.task.kind] is type(row.task) for row in TABLE.values())


@rows
def test_every_kind_gives_either_pictures_or_labels(row: Row) -> None:
    assert isinstance(row.task, PictureTask) != isinstance(row.task, LabelTask)


@rows
@sizes
def test_samples_are_unit_images_of_the_examples_size(row: Row, height: int, width: int) -> None:
    sample = row.task.prepare(row.task.sample(row.example(height, width, 0)))
    assert sample["input"].shape == (3, height, width)
    assert all(part.shape[-2:] == (height, width) for part in sample.values() if part.dim())
    for name in {"input", "image"} & set(sample):
        assert sample[name].dtype == torch.float32
        assert 0 <= float(sample[name].min()) < float(sample[name].max()) <= 1


@rows
def test_what_examples_hold_is_counted(row: Row) -> None:
    if not isinstance(row.task, CountedTask):
        assert isinstance(row.task, StyleTransfer | Restoration)  # any photo will do; equal pairs are valid too
        return
    wanted, example = row.task.inventory(), row.example(37, 53, 0)
    found = row.task.count(example)
    assert found.dtype == torch.int64
    assert found.shape == (len(wanted.things) + 1,)
    assert int(found[:-1].sum()) > 0
    assert int(found.sum()) == (1 if wanted.unit in ("examples", "photos", "pairs", "drawings") else 37 * 53)
    assert 1 <= wanted.least <= len(wanted.things)
    assert wanted.rest or int(found[-1]) == 0
    if example.label is not None or example.category is not None:
        unseen = replace(example, image=torch.empty(3, 0, 0, dtype=torch.uint8))
        assert torch.equal(row.task.count(unseen), found)


@rows
@sizes
def test_samples_travel_as_bytes_and_are_prepared_alike_alone_and_in_a_batch(row: Row, height: int, width: int) -> None:
    compact = [row.task.sample(row.example(height, width, seed)) for seed in range(2)]
    assert all(part.dtype == torch.uint8 for sample in compact for part in sample.values() if part.dim())
    alone, together = [row.task.prepare(sample) for sample in compact], row.batch(height, width)
    assert all(torch.equal(together[name][i], part) for i in range(2) for name, part in alone[i].items())


@rows
def test_losses_of_parts_make_the_loss_of_the_whole_by_their_weights(row: Row) -> None:
    whole = row.batch(37, 53, count=3)
    if "target" in whole and whole["target"].dtype == torch.int64 and whole["target"].dim() > 1:
        whole["target"][0, :20] = VOID  # so that examples count differently
    output, critic = raw_output(row, whole), row.task.critic()
    parts = [slice(0, 1), slice(1, 3)]
    split = [{name: part[where] for name, part in whole.items()} for where in parts]
    with torch.no_grad():
        loss = row.task.loss(output, whole, critic)
        losses = [row.task.loss(output[w], part, critic) for w, part in zip(parts, split, strict=True)]
    weights = torch.stack([row.task.weight(part) for part in split])
    assert torch.isclose(weights.sum(), row.task.weight(whole))
    for name, value in loss.items():
        terms = torch.stack([found[name] for found in losses])
        assert float((weights * terms).sum() / weights.sum()) == pytest.approx(float(value), rel=1e-4)


@rows
@sizes
def test_loss_is_finite_and_differentiable(row: Row, height: int, width: int) -> None:
    batch = row.batch(height, width)
    output = raw_output(row, batch).requires_grad_()
    terms = row.task.loss(output, batch, row.task.critic())
    assert all(term.shape == () and term.isfinite() for term in terms.values())
    (gradient,) = torch.autograd.grad(sum(terms.values(), torch.zeros(())), output)
    assert gradient.isfinite().all()
    assert (gradient.abs().flatten(1).amax(dim=1) > 0).all()


@rows
def test_only_outputs_that_are_logits_may_be_shifted(row: Row) -> None:
    batch, critic = row.batch(37, 53), row.task.critic()
    output = raw_output(row, batch)
    with torch.no_grad():
        loss = sum(map(float, row.task.loss(output, batch, critic).values()))
        shifted = sum(map(float, row.task.loss(output + 1, batch, critic).values()))
    assert (shifted == pytest.approx(loss, rel=1e-4)) == traits_of(row.task.kind).logits


@rows
def test_loss_is_float32_whatever_the_network_computed_in(row: Row) -> None:
    batch, critic = row.batch(37, 53), row.task.critic()
    output = raw_output(row, batch).bfloat16()
    with torch.no_grad():
        half, single = row.task.loss(output, batch, critic), row.task.loss(output.float(), batch, critic)
    assert half.keys() == single.keys()
    for name, term in half.items():
        assert term.dtype == torch.float32
        assert float(term) == float(single[name])


@with_target
def test_perfect_prediction_has_less_loss_than_noise(row: Row, perfect: Predictor) -> None:
    batch, critic = row.batch(37, 53), row.task.critic()
    with torch.no_grad():
        best = row.task.loss(perfect(batch), batch, critic)
        noise = row.task.loss(raw_output(row, batch), batch, critic)
    assert sum(map(float, best.values())) < sum(map(float, noise.values()))


@with_target
@sizes
def test_perfect_prediction_reaches_every_metrics_optimum(
    row: Row, perfect: Predictor, height: int, width: int
) -> None:
    found = scored(row, perfect, [row.batch(height, width), row.batch(height, width, seed=5)])
    assert list(found) == [metric.name for metric in row.task.metrics]
    for name, value in found.items():
        if name == "PSNR":
            assert value > 100
        else:
            assert value == pytest.approx(OPTIMA[name], abs=1e-4)


def fitted_baseline(row: Row, height: int, width: int) -> Predictor:
    samples = (row.task.sample(row.example(height, width, seed)) for seed in range(10, 14))
    return row.task.baseline(row.task.prepare(sample) for sample in samples)


@rows
@sizes
def test_baseline_answers_as_a_network_would(row: Row, height: int, width: int) -> None:
    batch = row.batch(height, width)
    output = fitted_baseline(row, height, width)(batch)
    assert output.shape == raw_output(row, batch).shape
    assert output.dtype == torch.float32
    assert output.isfinite().all()
    found = scored(row, lambda _: output, [batch])
    assert list(found)[: len(row.task.metrics)] == [metric.name for metric in row.task.metrics]
    assert row.task.trivial


@with_target
@sizes
def test_baseline_is_beaten_by_the_perfect_prediction(row: Row, perfect: Predictor, height: int, width: int) -> None:
    predict, batch = fitted_baseline(row, height, width), row.batch(height, width)
    best, trivial = scored(row, perfect, [batch]), scored(row, predict, [batch])
    for metric in row.task.metrics:
        better = best[metric.name] - trivial[metric.name]
        assert (better if metric.higher_is_better else -better) > 0, metric.name


@rows
def test_scores_do_not_depend_on_the_batches(row: Row) -> None:
    whole = row.batch(37, 53, count=3)
    single = [{name: part[i : i + 1] for name, part in whole.items()} for i in range(3)]
    mix = torch.randn(row.task.channels, 3, generator=torch.Generator().manual_seed(1))

    def predict(sample: Sample) -> Tensor:
        mixed = torch.einsum("ck,nkhw->nchw", mix, sample["input"])
        return mixed if isinstance(row.task, PictureTask) else mixed.mean(dim=(2, 3))

    together, apart = scored(row, predict, [whole]), scored(row, predict, single)
    assert together == pytest.approx(apart, rel=1e-5)
    assert len(set(together.values())) > 1


@rows
def test_scores_of_nothing_are_refused(row: Row) -> None:
    with pytest.raises(ValueError, match=r"but got none. Use a split with examples"):
        row.task.scores().compute()


@with_pictures
@sizes
def test_pictures_are_8_bit_and_of_the_inputs_size(row: Row, task: PictureTask, height: int, width: int) -> None:
    batch = row.batch(height, width)
    picture = task.to_image(raw_output(row, batch)[0].numpy(), batch["input"][0].numpy())
    assert (picture.mode, picture.size) == (row.mode, (width, height))
    assert np.asarray(picture).dtype == np.uint8


@with_pictures
def test_what_is_resized_as_an_output_is_decided_pixel_by_pixel(row: Row, task: PictureTask) -> None:
    """The engine resizes such outputs in bands, and makes the input of each band from the photo's rows."""
    scaling = traits_of(task.kind).scaling
    assert scaling in ("output", "picture", "native")
    if scaling == "output":
        shown = Image.fromarray(photo(37, 53, 1).permute(1, 2, 0).numpy())
        given, output = task.to_input(shown), raw_output(row, row.batch(37, 53))[0].numpy()
        whole, rows = task.to_image(output, given), slice(9, 22)
        band = task.to_input(shown.crop((0, rows.start, 53, rows.stop)))
        assert np.array_equal(band, given[:, rows])
        part = task.to_image(output[:, rows], band)
        assert (part.mode, part.getpalette()) == (whole.mode, whole.getpalette())
        assert np.array_equal(np.asarray(part), np.asarray(whole)[rows])


@with_pictures
def test_a_perfect_output_looks_like_the_target(row: Row, task: PictureTask) -> None:
    batch = row.batch(37, 53)
    sample = {name: part[0] for name, part in batch.items()}
    wanted = task.target_image(sample)
    if row.perfect is None:
        assert wanted is None
        return
    shown = task.to_image(row.perfect(batch)[0].numpy(), sample["input"].numpy())
    assert wanted is not None
    assert wanted.mode == shown.mode
    counts = np.asarray(wanted) != VOID if row.mode == "P" else np.ones((37, 53), dtype=bool)
    difference = np.abs(np.asarray(wanted).astype(int) - np.asarray(shown).astype(int))
    assert difference[counts].max() <= (0 if row.mode == "P" else 1)


@rows
def test_settings_are_json_and_rebuild_inputs_and_pictures(row: Row) -> None:
    settings = row.task.settings()
    rebuilt = kind_from_record(row.task.kind, json.loads(json.dumps(settings)))
    assert type(rebuilt) is kinds()[row.task.kind]
    assert json.loads(json.dumps(settings)) == settings
    assert rebuilt.settings() == settings
    assert rebuilt.channels == row.task.channels
    image = Image.fromarray(photo(37, 53, 1).permute(1, 2, 0).numpy())
    given, again = row.task.to_input(image), rebuilt.to_input(image)
    assert np.array_equal(given, again)
    output = raw_output(row, row.batch(37, 53))[0].numpy()
    if isinstance(row.task, LabelTask):
        assert isinstance(rebuilt, LabelKind)
        assert row.task.to_label(output) == rebuilt.to_label(output)
        return
    assert isinstance(row.task, PictureTask)
    assert isinstance(rebuilt, PictureKind)
    first, second = row.task.to_image(output, given), rebuilt.to_image(output, again)
    assert (first.mode, first.tobytes(), first.getpalette()) == (second.mode, second.tobytes(), second.getpalette())


@rows
@sizes
def test_inputs_are_those_of_training(row: Row, height: int, width: int) -> None:
    example = row.example(height, width, 1)
    shown = Image.fromarray(example.image.permute(1, 2, 0).numpy())
    drawn = isinstance(row.task, DrawingKind) and example.target is not None
    given = row.task.drawing_to_input(shown) if drawn else row.task.to_input(shown)
    wanted = row.task.prepare(row.task.sample(example))["input"].numpy()
    assert (given.dtype, given.shape, given.flags.c_contiguous) == (np.float32, wanted.shape, True)
    assert np.array_equal(given, wanted)


@rows
def test_all_that_is_computed_as_values_can_have_16_bits(row: Row) -> None:
    assert isinstance(row.task, RgbKind | MapKind) == (not traits_of(row.task.kind).logits)


@rows
def test_inputs_of_floats_are_those_of_pictures(row: Row) -> None:
    shown = photo(37, 53, 1)
    if isinstance(row.task, RgbInput):
        given = row.task.rgb_to_input(np.divide(shown.numpy(), 255, dtype=np.float32))
        assert np.array_equal(given, row.task.to_input(Image.fromarray(shown.permute(1, 2, 0).numpy())))


@rows
@sizes
@pytest.mark.parametrize("scale", [0.3, 1, 30])
def test_answers_are_what_training_measures(row: Row, height: int, width: int, scale: float) -> None:
    batch = row.batch(height, width)
    output, given = scale * raw_output(row, batch), batch["input"]
    wanted = row.answer(output, given)[0].numpy()
    if isinstance(row.task, LabelTask):
        names, found = zip(*row.task.to_label(output[0].numpy()), strict=True)
        order = np.argsort(-wanted, kind="stable")
        assert names == tuple(row.task.classes[index] for index in order)
        np.testing.assert_allclose(found, wanted[order], atol=1e-6)
        return
    assert isinstance(row.task, PictureTask)
    found = np.asarray(row.task.to_image(output[0].numpy(), given[0].numpy()))
    if row.mode == "P":
        assert np.array_equal(found, wanted)
    else:
        levels = 255 * wanted.transpose(1, 2, 0).clip(0, 1)
        assert np.abs(found - levels).max() <= 0.51  # rounded, and float32's last bits


@rows
@sizes
def test_inputs_of_photos_are_unit_images(row: Row, height: int, width: int) -> None:
    given = row.task.to_input(Image.fromarray(photo(height, width, 1).permute(1, 2, 0).numpy()))
    assert given.shape == (3, height, width)
    assert given.dtype == np.float32
    assert 0 <= float(given.min()) < float(given.max()) <= 1


@rows
def test_examples_that_lack_something_are_named(row: Row) -> None:
    if row.lacking is not None:
        with pytest.raises(ValueError, match=r"Example `plain-4.png`: expected .* it has n.* Use "):
            row.task.sample(row.lacking(37, 53, 4))
    broken = replace(row.example(37, 53, 4), image=torch.rand(3, 37, 53))
    with pytest.raises(ValueError, match=r"Example `plain-4.png`: expected its image to be uint8 RGB .* torch.float32"):
        row.task.sample(broken)


@rows
def test_critics_learn_and_other_tasks_refuse_one(row: Row) -> None:
    critic, batch = row.task.critic(), row.batch(37, 53)
    output = raw_output(row, batch)
    if critic is None:
        with pytest.raises(TypeError, match=rf"the task kind `{row.task.kind}` is not adversarial"):
            row.task.critic_loss(nn.Identity(), output, batch)
        return
    loss = row.task.critic_loss(critic, output, batch)
    assert loss.isfinite()
    gradients = torch.autograd.grad(loss, list(critic.parameters()))
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert sum(float(gradient.abs().sum()) for gradient in gradients) > 0


@rows
def test_recipes_are_their_kinds_own(row: Row) -> None:
    assert row.task.recipe() == type(row.task).recipe()
    assert len({metric.name for metric in row.task.metrics}) == len(row.task.metrics)
    assert hash(row.task) == hash(replace(row.task))  # type: ignore[type-var]
