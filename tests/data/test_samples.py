"""Samples are a pure function of (seed, epoch, index), whoever asks, in whatever order."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from stencilnet.data.damage import Noise
from stencilnet.data.folders import labelled
from stencilnet.data.samples import Cache, EvaluationSamples, TrainingSamples, check_view, sample_seed
from stencilnet.data.transforms import View
from stencilnet.tasks.depth import Depth
from stencilnet.tasks.normals import Normals
from stencilnet.tasks.restoration import Restoration
from stencilnet.tasks.segmentation import Segmentation

COUNT = 6
TASK = Segmentation(classes=("back", "front"))
VIEW = View(crop=16, scale=(0.5, 2.0))


@pytest.fixture
def source(tmp_path):
    drawn = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for i in range(COUNT):
        image = drawn.integers(0, 256, (24 + i, 32, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / f"images/{i}.png")
        Image.fromarray((image[..., 0] > 127).astype(np.uint8)).save(tmp_path / f"labels/{i}.png")
    return labelled(tmp_path / "images", tmp_path / "labels")


class Counting:
    """Counts how often each example is read."""

    def __init__(self, source):
        self.source = source
        self.reads = []

    def __len__(self):
        return len(self.source)

    def __getitem__(self, index):
        self.reads.append(index)
        return self.source[index]


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


class TestTrainingSamples:
    def test_a_sample_of_the_task(self, source):
        samples = TrainingSamples(source, VIEW, TASK, seed=0)
        sample = samples[(0, 0)]
        assert len(samples) == COUNT
        assert sample["input"].shape == (3, 16, 16)
        assert sample["input"].dtype == torch.uint8
        assert sample["target"].shape == (16, 16)

    def test_input_and_target_fit(self, source):
        samples = TrainingSamples(source, View(crop=16), TASK, seed=0)
        for index in range(COUNT):
            sample = samples[(3, index)]
            assert torch.equal(sample["target"], (sample["input"][0] > 127).to(torch.uint8))

    def test_only_seed_epoch_and_index_matter(self, source):
        forwards = TrainingSamples(source, VIEW, TASK, seed=5)
        keys = [(epoch, index) for epoch in range(2) for index in range(COUNT)]
        first = {key: forwards[key] for key in keys}
        torch.manual_seed(1)
        backwards = TrainingSamples(source, VIEW, TASK, seed=5, cache=0)
        assert all(equal(first[key], backwards[key]) for key in reversed(keys))

    def test_each_of_seed_epoch_and_index_matters(self, source):
        same_images = [source[0]] * 4
        samples = TrainingSamples(same_images, VIEW, TASK, seed=5)
        others = [samples[(1, 0)], samples[(0, 1)], TrainingSamples(same_images, VIEW, TASK, seed=6)[(0, 0)]]
        assert not any(equal(samples[(0, 0)], other) for other in others)

    @pytest.mark.parametrize("seed", [2**63, 2**64 - 1])
    def test_large_seeds(self, source, seed):
        TrainingSamples(source, VIEW, TASK, seed=seed)[(0, 0)]

    @pytest.mark.parametrize("seed", [-1, 2**64])
    def test_seed_out_of_range(self, source, seed):
        with pytest.raises(ValueError, match=f"`seed` to lie in 0 ... 2\\^64 - 1, but got {seed}"):
            TrainingSamples(source, VIEW, TASK, seed=seed)

    def test_no_examples(self):
        with pytest.raises(ValueError, match="`source` to hold at least one example, but got none"):
            TrainingSamples([], VIEW, TASK, seed=0)

    def test_any_number_of_workers_gives_the_same_batches(self, source):
        order = [(epoch, index) for epoch in range(2) for index in (4, 1, 5, 0, 2, 3)]
        batches = {
            workers: list(
                DataLoader(
                    TrainingSamples(source, VIEW, TASK, seed=7),
                    batch_sampler=[order[i : i + 3] for i in range(0, len(order), 3)],
                    num_workers=workers,
                )
            )
            for workers in (0, 2)
        }
        assert len(batches[0]) == len(batches[2]) == 4
        assert all(equal(one, two) for one, two in zip(batches[0], batches[2], strict=True))

    def test_can_be_pickled(self, source):
        samples = TrainingSamples(source, VIEW, TASK, seed=7)
        assert equal(pickle.loads(pickle.dumps(samples))[(1, 2)], samples[(1, 2)])


class TestEvaluationSamples:
    def test_whole(self, source):
        samples = EvaluationSamples(source, VIEW, TASK, whole=True)
        assert len(samples) == COUNT
        for index in range(COUNT):
            assert torch.equal(samples[index]["input"], source[index].image)
            assert torch.equal(samples[index]["target"], source[index].label)

    def test_crops_make_batches(self, source):
        loader = DataLoader(EvaluationSamples(source, VIEW, TASK, whole=False), batch_size=COUNT)
        (batch,) = loader
        assert batch["input"].shape == (COUNT, 3, 16, 16)
        assert torch.equal(batch["input"][2], source[2].image[:, 5:21, 8:24])

    def test_iteration_ends(self, source):
        assert len(list(EvaluationSamples(source, VIEW, TASK, whole=True))) == COUNT

    def test_no_examples(self):
        with pytest.raises(ValueError, match="at least one example"):
            EvaluationSamples([], VIEW, TASK, whole=True)


class TestCache:
    def test_reads_once(self, source):
        counting = Counting(source)
        cache = Cache(counting)
        for _ in range(2):
            for index in range(COUNT):
                assert cache[index].image.equal(source[index].image)
        assert counting.reads == list(range(COUNT))

    def test_stays_within_its_limit(self, source):
        counting = Counting(source)
        sizes = [source[i].image.numel() + source[i].label.numel() for i in range(COUNT)]
        cache = Cache(counting, limit=sum(sizes[:3]) + sizes[3] - 1)
        for _ in range(2):
            for index in range(COUNT):
                cache[index]
        assert counting.reads == [0, 1, 2, 3, 4, 5, 3, 4, 5]

    def test_zero_keeps_nothing(self, source):
        counting = Counting(source)
        cache = Cache(counting, limit=0)
        cache[0], cache[0]
        assert counting.reads == [0, 0]

    def test_the_training_set_uses_it(self, source):
        for options, reads in (({}, [0]), ({"cache": 0}, [0, 0])):
            counting = Counting(source)
            samples = TrainingSamples(counting, VIEW, TASK, seed=0, **options)
            samples[(0, 0)], samples[(1, 0)]
            assert counting.reads == reads

    def test_pickles_without_its_contents(self, source):
        cache = Cache(source)
        empty = len(pickle.dumps(cache))
        cache[0]
        assert len(pickle.dumps(cache)) == empty
        assert pickle.loads(pickle.dumps(cache))[1].image.equal(source[1].image)

    def test_negative_limit(self, source):
        with pytest.raises(ValueError, match=r"`limit` to be a number of bytes, but got -1\. 0 keeps nothing"):
            Cache(source, limit=-1)


class TestSampleSeed:
    def test_is_pinned(self):
        # By GNU coreutils' b2sum -l 64 on three little-endian 64-bit numbers. Resumed runs rely on it.
        assert sample_seed(1, 2, 3) == 13041116711478803063

    def test_no_two_alike(self):
        seeds = {sample_seed(s, e, i) for s in range(10) for e in range(10) for i in range(50)}
        assert len(seeds) == 5000
        assert max(seeds) < 2**64


class TestCheckView:
    def test_a_mirror_would_turn_normals_around(self, source):
        with pytest.raises(ValueError, match=r"`view.flip: false` with a task of kind normals"):
            TrainingSamples(source, View(crop=16), Normals(), seed=0)
        check_view(View(crop=16, flip=False), Normals())

    def test_only_restoration_learns_from_damage(self, source):
        with pytest.raises(ValueError, match=r"`view.damage` with a task of kind restoration, but got it with depth"):
            TrainingSamples(source, View(crop=16, damage=Noise()), Depth(), seed=0)
        check_view(View(crop=16, damage=Noise()), Restoration())
