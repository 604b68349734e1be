"""Where the scores of a mask start, if not all at one place."""

import torch

from stencilnet.delta import BitMask
from stencilnet.masks import THRESHOLD, binarize, scores_by_weight, warm_scores


def test_a_warm_start_mirrors_what_another_task_dropped() -> None:
    bits = torch.tensor([[True, False], [False, True]])
    start = warm_scores({"a": BitMask.pack(bits)})["a"]
    assert start.dtype == torch.float32
    torch.testing.assert_close(start, torch.tensor([[0.01, 0.0], [0.0, 0.01]]))
    assert torch.equal(binarize(start), bits)
    torch.testing.assert_close((start - THRESHOLD).abs(), torch.full((2, 2), 5e-3))


def test_scores_follow_the_size_of_their_weights() -> None:
    weight = torch.tensor([[1.0, -3.0], [0.0, 4.0]], requires_grad=True)
    start = scores_by_weight({"a": weight, "none": torch.zeros(2)})
    torch.testing.assert_close(start["a"], 5e-3 + 5e-3 * torch.tensor([[0.5, 1.5], [0.0, 2.0]]))
    assert start["a"].dtype == torch.float32
    assert not start["a"].requires_grad
    assert torch.equal(start["none"], torch.full((2,), THRESHOLD))
