import dataclasses
import inspect

import pytest
import torch

from stencilnet.training.settings import Settings, resolve


def test_all_mistakes_at_once() -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 -- the whole text is compared below
        Settings(device="gpu", precision="fp16", workers=-1, evaluate_every=0, log_every=0, samples=-2)  # type: ignore[arg-type]
    assert str(caught.value) == (
        "Expected `workers` to be at least 0, but got -1; `evaluate_every` to be at least 1, but got 0; `log_every` "
        "to be at least 1, but got 0; `samples` to be at least 0, but got -2; `device` to be one of auto, cpu, cuda, "
        "mps, but got 'gpu'; `precision` to be one of auto, float32, bf16, but got 'fp16'."
    )


def test_resolved_records_what_the_bytes_hang_on() -> None:
    resolved = resolve(Settings(device="cpu"))
    assert (resolved.device, resolved.threads) == ("cpu", torch.get_num_threads())
    assert resolved.version == torch.__version__
    assert type(resolved.version) is str
    assert resolve(Settings()).device in ("cpu", "cuda", "mps")


def test_autocast_is_an_option() -> None:
    a = torch.ones(2, 2)
    with resolve(Settings(device="cpu", precision="float32")).autocast():
        assert (a @ a).dtype == torch.float32
    with resolve(Settings(device="cpu", precision="bf16")).autocast():
        assert (a @ a).dtype == torch.bfloat16


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_where_there_is_none() -> None:
    with pytest.raises(
        ValueError, match=r"Expected a CUDA device for `device: cuda`, but PyTorch sees none\. Set it to"
    ):
        resolve(Settings(device="cuda"))


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="needs a machine without MPS")
def test_mps_where_there_is_none() -> None:
    with pytest.raises(ValueError, match=r"Expected Apple's MPS for `device: mps`, but PyTorch sees none\. Set it to"):
        resolve(Settings(device="mps"))


def test_every_field_is_documented() -> None:
    text = inspect.getsource(Settings)
    for field in dataclasses.fields(Settings):
        after = text.split(f"    {field.name}: ", 1)[1].split("\n", 2)[1]
        assert after.startswith('    """'), field.name
