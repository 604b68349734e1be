from collections import Counter

import pytest
import torch
from torch import Tensor

from stencilnet.pictures.images import ImageError
from stencilnet.training.sampling import PIXELS, Order, batched, permutation, training_loader, validation_loader
from stencilnet.training.seeds import derived_seed, forked

from .fit_toys import Blobs, Still


@pytest.mark.parametrize(("size", "batch"), [(10, 4), (3, 8), (1, 3), (8, 8)])
def test_every_epoch_is_a_permutation_and_nothing_is_dropped(size: int, batch: int) -> None:
    order = Order(seed=5, size=size, batch=batch, steps=2 * size)
    batches = list(order)
    assert len(batches) == len(order) == 2 * size
    assert {len(keys) for keys in batches} == {batch}
    stream = [key for keys in batches for key in keys]
    epochs = Counter(epoch for epoch, _ in stream)
    assert epochs == dict.fromkeys(range(2 * batch), size)
    for epoch in epochs:
        assert sorted(index for e, index in stream if e == epoch) == list(range(size))
    assert [epoch for epoch, _ in stream] == sorted(epoch for epoch, _ in stream)


def test_starts_anywhere_with_the_same_batches() -> None:
    whole = list(Order(seed=5, size=10, batch=4, steps=9))
    for first in range(10):
        assert list(Order(seed=5, size=10, batch=4, steps=9, first=first)) == whole[first:]


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {permutation(seed, epoch, 50) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25
    assert permutation(0, 0, 50) != tuple(range(50))


def test_the_order_is_pinned() -> None:
    # A checkpoint of an earlier version must go on with the same examples.
    assert derived_seed(1, 2, 3) == 12997252459554536576
    assert permutation(0, 0, 10) == (6, 3, 1, 5, 8, 7, 0, 2, 9, 4)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_loaders_leave_the_global_generator_alone_and_agree_with_any_workers() -> None:
    before = torch.random.get_rng_state().clone()
    order = Order(seed=1, size=5, batch=2, steps=3)
    alone = list(training_loader(Blobs(5), order, workers=0, device="cpu"))
    shared = list(training_loader(Blobs(5), order, workers=1, device="cpu"))
    assert all(torch.equal(a[name], b[name]) for a, b in zip(alone, shared, strict=True) for name in a)
    assert torch.equal(alone[0]["input"][1], Blobs(5)[order.keys(0)[1]]["input"])
    still = list(validation_loader(Still(3), workers=0))
    assert torch.equal(still[2]["target"], Still(3)[2]["target"])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_batches_of_pictures_of_different_sizes() -> None:
    samples = [Still(7, uneven=True)[index] for index in (0, 2, 4, 6, 1, 3, 0)]
    batches = list(batched(iter(samples), 3))
    assert [tuple(batch["input"].shape) for batch in batches] == [
        (3, 3, 32, 32),
        (1, 3, 32, 32),
        (2, 3, 32, 37),
        (1, 3, 32, 32),
    ]
    flat = [image for batch in batches for image in batch["input"]]
    assert all(torch.equal(image, sample["input"]) for image, sample in zip(flat, samples, strict=True))


@pytest.mark.parametrize(
    ("size", "count"),
    [((256, 256), 16), ((64, 64), 16), ((257, 256), 15), ((900, 1200), 1), ((2000, 2000), 1), ((512, 512), 4)],
)
def test_batches_are_bounded_by_their_pixels(size: tuple[int, int], count: int) -> None:
    sample = {"input": torch.zeros(3, *size, dtype=torch.uint8), "target": torch.tensor(1)}
    batches = list(batched(iter([sample] * 17), 16, PIXELS))
    assert [len(batch["input"]) for batch in batches][:-1] == [count] * (17 // count - (17 % count == 0))
    assert sum(len(batch["input"]) for batch in batches) == 17


def test_samples_without_pictures_have_no_pixels() -> None:
    assert [len(b["target"]) for b in batched(iter([{"target": torch.tensor(1)}] * 5), 3, 1)] == [3, 2]


def test_forked_generators() -> None:
    before = torch.random.get_rng_state().clone()
    with forked("cpu", 1, 2):
        first = torch.rand(3)
    torch.rand(3)
    with forked("cpu", 1, 2):
        second = torch.rand(3)
    with forked("cpu", 2, 1):
        third = torch.rand(3)
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
    torch.random.set_rng_state(before)
    with pytest.raises(RuntimeError, match="shape"), forked("cpu", 1):
        torch.rand(3).view(2)
    assert torch.equal(torch.random.get_rng_state(), before)


class Torn(Blobs):
    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        raise ImageError("Cannot read 3.jpg: it is truncated.")


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_example_is_one_line_in_any_process(workers: int) -> None:
    order = Order(seed=3, size=5, batch=2, steps=4)
    for loader in (
        training_loader(Torn(5), order, workers=workers, device="cpu"),
        validation_loader(Torn(5), workers=workers),  # type: ignore[arg-type]
    ):
        with pytest.raises(ImageError) as caught:
            list(loader)
        assert str(caught.value) == "Cannot read 3.jpg: it is truncated."
