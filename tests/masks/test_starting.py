"""Where the scores of a mask start that begins as another task's."""

import torch

from stencilnet.masks import THRESHOLD, BitMask, binarize, warm_scores


def test_a_warm_start_mirrors_what_another_task_dropped() -> None:
    bits = torch.tensor([[True, False], [False, True]])
    start = warm_scores({"a": BitMask.pack(bits)})["a"]
    assert start.dtype == torch.float32
    torch.testing.assert_close(start, torch.tensor([[0.01, 0.0], [0.0, 0.01]]))
    assert torch.equal(binarize(start), bits)
    torch.testing.assert_close((start - THRESHOLD).abs(), torch.full((2, 2), 5e-3))
