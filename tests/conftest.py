"""What several test folders share: bytes to compare, untrained tensors to start from, and a real, tiny training."""

import copy
import importlib.util
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import pytest
import torch
from torch import Tensor, nn

from stencilnet.delta.spec import Array
from stencilnet.masks import Trainable, array_of
from stencilnet.methods import Fresh, Penalty, Probe
from stencilnet.models import fresh_head, fresh_weights, layout_of
from stencilnet.models.acceleration import can_compile, has_fast_bf16
from stencilnet.models.columns import run

from .command_line import Stencil, command_line

collect_ignore = ["without_torch"]  # `make test-base` runs them, where this file is not read

torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--bf16",
        choices=("found", "yes", "no", "other"),
        default="found",
        help="Let PyTorch report that the processor computes in bfloat16 (yes), that it does not (no), what it finds, "
        "or the other of the two. `trainer.precision: auto` and the engine's `auto` go by that.",
    )


def pytest_configure(config: pytest.Config) -> None:
    asked = config.getoption("--bf16")
    if asked == "found":
        return
    folder = Path(__file__).with_name("processor")
    spec = importlib.util.spec_from_file_location("processor", folder / "sitecustomize.py")
    assert spec is not None
    assert spec.loader is not None
    processor = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(processor)
    answer = os.environ.get(processor.VARIABLE)  # a worker of xdist has been started with the answer in force
    if answer is None:
        answer = ("no" if has_fast_bf16("cpu") else "yes") if asked == "other" else asked
        os.environ[processor.VARIABLE] = answer
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    processor.report_bf16(torch.cpu, answer)
    has_fast_bf16.cache_clear()


T = TypeVar("T", bound=Trainable)
TensorBytes = tuple[str, tuple[int, ...], bytes]


@pytest.fixture(scope="session")
def as_bytes() -> Callable[[Mapping[str, Tensor | Array]], dict[str, TensorBytes]]:
    """Tensors or arrays as values: equal only if every dtype, shape and byte is (NaN equals NaN, 0.0 is not -0.0)."""

    def convert(tensors: Mapping[str, Tensor | Array]) -> dict[str, TensorBytes]:
        arrays = {name: array_of(t) if isinstance(t, Tensor) else t for name, t in tensors.items()}
        return {name: (array.dtype.name, array.shape, array.tobytes()) for name, array in arrays.items()}

    return convert


@pytest.fixture(scope="session")
def make_fresh() -> Callable[..., Fresh]:
    """A task's untrained tensors over a backbone, drawn from a seed."""

    def make(
        backbone: nn.Module,
        *,
        channels: int,
        seed: int,
        head: str,
        decoder: tuple[str, ...],
        logits: Callable[[str], bool] = lambda _: False,
        probe: Probe | None = None,
    ) -> Fresh:
        return Fresh(
            layout=layout_of(backbone, head, decoder),
            head=fresh_head(backbone, head, channels, torch.Generator().manual_seed(seed)),
            shared=fresh_weights(backbone, head, seed),
            logits=logits,
            probe=probe,
        )

    return make


class TinyFit:
    """A few steps on a fixed regression problem: the targets are a seeded linear mix of the images' channels.

    It is the problem's `stencilnet.methods.Probe` too.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        seed: int = 0,
        steps: int = 4,
        lr: float = 1e-2,
        optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.Adam,
    ) -> None:
        self.backbone, self.still = copy.deepcopy(backbone), copy.deepcopy(backbone).eval()
        self.images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(7))
        self.seed, self.steps, self.lr, self.optimizer = seed, steps, lr, optimizer

    def target(self, output: Tensor) -> Tensor:
        mix = torch.randn(output.shape[1], 3, generator=torch.Generator().manual_seed(self.seed))
        images = self.images if output.dim() == 4 else self.images.mean(dim=(2, 3))
        return torch.einsum("ck,nk...->nc...", mix, images)

    def loss(self, output: Tensor) -> Tensor:
        return torch.nn.functional.mse_loss(output, self.target(output))

    def inputs(self, count: int) -> Iterator[Tensor]:
        yield from (self.images[position % 2][None] for position in range(count))

    def run(self, weights: Mapping[str, Tensor], images: Tensor) -> Tensor:
        return run(self.still, weights, images)

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)

    def __call__(self, trainable: T, *, penalty: Penalty | None = None, share: float = 1.0, lr_scale: float = 1.0) -> T:
        """Train it, batch statistics moving, as `stencilnet.methods.Fit` asks."""
        network = self.backbone.train()
        parameters = [p for group in trainable.groups().values() for p in group]
        optimizer = self.optimizer(parameters, lr=self.lr * lr_scale)
        steps = round(share * self.steps)
        for step in range(steps):
            optimizer.zero_grad()
            weights = trainable.weights()
            loss = self.loss(run(network, weights, self.images))
            if penalty is not None:
                loss = loss + penalty(weights, self.images, self.run)
            loss.backward()
            optimizer.step()
            trainable.after_step(step + 1, steps)
        return trainable


@pytest.fixture(scope="session")
def make_fit() -> type[TinyFit]:
    """The class itself: ``make_fit(backbone, seed=..., steps=..., lr=...)`` is a `stencilnet.methods.Fit`."""
    return TinyFit


@pytest.fixture(scope="session")
def compiler() -> None:
    """Skips what needs `torch.compile` where it does not work, which takes seconds to find out."""
    if not can_compile("cpu"):
        pytest.skip("torch.compile does not work here")


@pytest.fixture
def full_disk() -> Iterator[Callable[[int], None]]:
    """Sets the largest size of a file in bytes: the system refuses a write half-way, as it does on a full disk."""
    resource = pytest.importorskip("resource", reason="needs a limit on the size of files")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


@pytest.fixture
def stencil(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Stencil:
    """The command line in this process; see `command_line`."""
    return command_line(tmp_path_factory.mktemp("streams"), monkeypatch)
