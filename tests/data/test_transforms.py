"""Views: one geometry for image, label and target, and no randomness but the generator's."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from stencilnet.data.transforms import View, evaluation_view, training_view
from stencilnet.tasks.task import Example


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def blocks(height, width, seed=0, block=8):
    """A label of square blocks; image and target hold it ten- and twentyfold as brightness."""
    grid = np.random.default_rng(seed).integers(0, 12, (-(-height // block), -(-width // block)), dtype=np.uint8)
    label = torch.from_numpy(np.kron(grid, np.ones((block, block), np.uint8))[:height, :width].copy())
    image = (label * 10).expand(3, -1, -1).contiguous()
    return Example(name="blocks", image=image, label=label, target=image * 2)


def noise(height, width):
    drawn = np.random.default_rng(0).integers(0, 256, (3, height, width), dtype=np.uint8)
    return Example(name="noise", image=torch.from_numpy(drawn))


def flat(label, margin):
    """Where the label is one value in the whole neighbourhood (and inside the crop), so that resizing sees one too."""
    windows = label.unfold(0, 2 * margin + 1, 1).unfold(1, 2 * margin + 1, 1).flatten(2)
    same = torch.zeros(label.shape, dtype=torch.bool)
    same[margin:-margin, margin:-margin] = (windows == windows[..., :1]).all(2)
    return same


def assert_aligned(example, margin):
    same = flat(example.label, margin)
    wanted = example.label[same].int() * 10
    assert ((example.image[:, same].int() - wanted).abs() <= 1).all()
    assert ((example.target[:, same].int() - 2 * wanted).abs() <= 1).all()
    return same


class TestTrainingView:
    @given(
        height=st.integers(20, 70),
        width=st.integers(20, 70),
        crop=st.integers(8, 48),
        resize=st.none() | st.integers(16, 60),
        scale=st.sampled_from([(1.0, 1.0), (0.5, 2.0), (1.0, 3.0)]),
        seed=st.integers(0, 2**32),
    )
    @settings(max_examples=80, deadline=None, derandomize=True)
    def test_one_geometry(self, height, width, crop, resize, scale, seed):
        view = View(crop=crop, resize=resize, scale=scale)
        seen = training_view(blocks(height, width), view, generator(seed))
        assert seen.image.shape == seen.target.shape == (3, crop, crop)
        assert seen.label.shape == (crop, crop)
        assert seen.image.dtype == seen.label.dtype == seen.target.dtype == torch.uint8
        assert_aligned(seen, margin=3)

    @pytest.mark.parametrize("across", [False, True])
    @pytest.mark.parametrize("side", [27, 51, 75, 100, 192])
    def test_labels_change_where_pictures_do(self, side, across):
        stripes = (torch.arange(64) // 16 % 2).to(torch.uint8).expand(64, 64)
        label = (stripes if across else stripes.T).contiguous()
        example = Example(name="stripes", image=(label * 200).expand(3, -1, -1).contiguous(), label=label)
        seen = evaluation_view(example, View(resize=side), whole=True)
        clear = (seen.image[0].int() - 100).abs() > 5
        assert clear.float().mean() > 0.9
        assert ((seen.image[0] > 100) == seen.label.bool())[clear].all()

    def test_label_keeps_only_its_own_values(self):
        seen = training_view(blocks(50, 40), View(crop=33, scale=(0.7, 1.9)), generator(3))
        assert set(seen.label.unique().tolist()) <= set(range(12))

    def test_a_crop_at_native_scale_is_a_window(self):
        example = noise(20, 30)
        seen = training_view(example, View(crop=12, flip=False), generator(5)).image
        windows = example.image.unfold(1, 12, 1).unfold(2, 12, 1)
        assert (windows == seen[:, None, None]).all(dim=(0, 3, 4)).sum() == 1

    def test_every_window_and_both_mirrorings_occur(self):
        example = Example(name="ramp", image=torch.arange(12, dtype=torch.uint8).view(1, 3, 4).repeat(3, 1, 1))
        shared = generator(0)
        seen = {tuple(training_view(example, View(crop=2), shared).image[0].flatten().tolist()) for _ in range(300)}
        windows = {(i, i + 1, i + 4, i + 5) for i in (0, 1, 2, 4, 5, 6)}
        assert seen == windows | {(b, a, d, c) for a, b, c, d in windows}

    def test_mirrored_half_of_the_time(self):
        example = noise(8, 8)
        shared = generator(1)
        mirrored = [
            training_view(example, View(crop=8), shared).image.equal(example.image.flip(-1)) for _ in range(400)
        ]
        assert 160 < sum(mirrored) < 240

    def test_scale_covers_its_range(self):
        stripes = Example(name="stripes", image=(torch.arange(100) // 10 % 2 * 255).to(torch.uint8).expand(3, 100, 100))
        shared = generator(2)
        view = View(crop=100, scale=(1.0, 3.0), flip=False)
        edges = []
        for _ in range(200):
            row = training_view(stripes, view, shared).image[0, 0].float()
            edges.append(((row[1:] > 127) != (row[:-1] > 127)).sum().item())
        assert min(edges) in (2, 3)
        assert max(edges) in (9, 10)

    def test_resize_sets_the_shorter_side(self):
        example = noise(60, 40)
        seen = training_view(example, View(crop=20, resize=20, flip=False), generator()).image
        whole = evaluation_view(example, View(resize=20), whole=True).image
        assert whole.shape == (3, 30, 20)
        windows = whole.unfold(1, 20, 1)
        assert (windows == seen.transpose(1, 2)[:, None]).all(dim=(0, 2, 3)).sum() == 1

    def test_small_images_are_enlarged_to_fit(self):
        seen = training_view(noise(5, 9), View(crop=32, scale=(0.5, 1.0)), generator())
        assert seen.image.shape == (3, 32, 32)

    def test_only_the_generator_decides(self):
        example, view = blocks(40, 40), View(crop=16, scale=(0.5, 2.0))
        torch.manual_seed(0)
        before = torch.get_rng_state()
        first = training_view(example, view, generator(9))
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(1)
        second = training_view(example, view, generator(9))
        other = training_view(example, view, generator(10))
        assert first.image.equal(second.image)
        assert not first.image.equal(other.image)

    def test_the_stored_example_stays(self):
        example = blocks(40, 40)
        copy = example.image.clone()
        training_view(example, View(crop=16), generator())
        assert example.image.equal(copy)

    def test_images_alone(self):
        seen = training_view(noise(20, 20), View(crop=8), generator())
        assert seen.label is None
        assert seen.target is None
        assert seen.name == "noise"

    def test_parts_of_different_sizes(self):
        example = Example(
            name="odd.png", image=torch.zeros(3, 4, 5, dtype=torch.uint8), label=torch.zeros(5, 4, dtype=torch.uint8)
        )
        with pytest.raises(ValueError, match=r"the example odd\.png to have one size, but got 4x5, 5x4"):
            training_view(example, View(crop=2), generator())
        with pytest.raises(ValueError, match="Resize them to one size"):
            evaluation_view(example, View(crop=2), whole=True)


class TestEvaluationView:
    def test_whole_without_resize_is_the_example(self):
        example = blocks(31, 45)
        seen = evaluation_view(example, View(crop=8), whole=True)
        assert seen.image.equal(example.image)
        assert seen.label.equal(example.label)
        assert seen.target.equal(example.target)

    def test_centre_crop(self):
        example = noise(20, 31)
        seen = evaluation_view(example, View(crop=10), whole=False)
        assert seen.image.equal(example.image[:, 5:15, 10:20])

    @pytest.mark.parametrize(("size", "wanted"), [((60, 40), (48, 32)), ((40, 60), (32, 48)), ((16, 16), (32, 32))])
    def test_resize(self, size, wanted):
        seen = evaluation_view(blocks(*size), View(resize=32), whole=True)
        assert seen.image.shape == (3, *wanted)
        assert seen.label.shape == wanted
        assert assert_aligned(seen, margin=2).any()

    @pytest.mark.parametrize("shorter", [15, 45])
    def test_pictures_as_pillow_resizes_them(self, shorter):
        example = noise(30, 50)
        seen = evaluation_view(example, View(resize=shorter), whole=True).image
        stored = Image.fromarray(example.image.permute(1, 2, 0).numpy())
        wanted = stored.resize((round(50 * shorter / 30), shorter), Image.Resampling.BILINEAR)
        np.testing.assert_allclose(seen.permute(1, 2, 0).numpy().astype(int), np.asarray(wanted).astype(int), atol=1)

    @pytest.mark.parametrize("shorter", [15, 20, 40])
    def test_labels_as_pillow_resizes_them(self, shorter):
        label = torch.randint(0, 12, (30, 60), generator=generator(), dtype=torch.uint8)
        example = Example(name="a", image=label.expand(3, -1, -1), label=label)
        seen = evaluation_view(example, View(resize=shorter), whole=True).label
        wanted = Image.fromarray(label.numpy()).resize((2 * shorter, shorter), Image.Resampling.NEAREST)
        np.testing.assert_array_equal(seen.numpy(), np.asarray(wanted))

    def test_small_images_are_enlarged_for_a_crop_only(self):
        small = noise(10, 20)
        assert evaluation_view(small, View(crop=32), whole=False).image.shape == (3, 32, 32)
        assert evaluation_view(small, View(crop=32), whole=True).image.shape == (3, 10, 20)

    def test_a_thin_image_keeps_a_side(self):
        assert evaluation_view(noise(1, 300), View(resize=1), whole=True).image.shape == (3, 1, 300)


class TestView:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"crop": 0}, "`crop` to be at least 1, but got 0"),
            ({"resize": 0}, "`resize` to be at least 1 or none, but got 0"),
            ({"scale": (0.0, 1.0)}, r"`scale` to be positive and in order, but got \(0.0, 1.0\)"),
            ({"scale": (2.0, 1.0)}, "`scale` to be positive and in order"),
            ({"test": "half"}, "`test` to be 'whole' or 'crop', but got 'half'"),
            ({"crop": 0, "resize": 0}, "`crop` .*; `resize` "),
        ],
    )
    def test_refused(self, settings, message):
        with pytest.raises(ValueError, match=message):
            View(**settings)
