"""What runs networks is behind a protocol; PyTorch is one, where it is installed."""

import re
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stencilnet.bundle import TaskRecord
from stencilnet.errors import NotInstalledError
from stencilnet.pictures.images import Floats
from stencilnet.runtime import Engine, TooLargeError, engine
from stencilnet.runtime.backends import Backend
from stencilnet.stopping import Stop
from stencilnet.tiles import Layers

GOLDEN = Path(__file__).parents[1] / "bundle" / "golden" / "v1"


class Doubling:
    """A backend of NumPy alone: outputs are inputs, twice as bright; wide pictures do not fit."""

    name = "doubling"
    tasks = ("bright",)
    records = {"bright": TaskRecord(kind="restoration", channels=3, method="none")}  # noqa: RUF012
    precision = "float32"

    def layers(self, _task: str) -> AbstractContextManager[Layers | None]:
        return nullcontext()

    def forward(self, image: Floats, task: str, channels: int, stop: Stop) -> Floats:
        assert (task, channels) == ("bright", 3)
        if image.shape[2] > 50:
            raise MemoryError("Unable to allocate 3.00 GiB for an array")
        return 2 * image


def test_any_backend_serves_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    backend: Backend = Doubling()
    monkeypatch.setattr(engine, "open_backend", lambda *_words, **_options: backend)
    found = Engine("anywhere", tile=16)  # without layers, it runs whole
    assert (found.tasks, found.precision) == (("bright",), "float32")
    assert found.backend == "doubling"
    answer = found.run(Image.new("RGB", (40, 20), (10, 60, 200)), "bright")
    assert np.asarray(answer)[3, 4].tolist() == [20, 120, 255]
    with pytest.raises(TooLargeError, match=r"^The picture \(60x20 pixels\) does not fit in memory: 3\.00 GiB at once"):
        found.run(Image.new("RGB", (60, 20)), "bright")


def test_where_pytorch_is_not_installed_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "stencilnet.inference.backend", raising=False)
    for asked, tasks in (
        ({"backend": "torch"}, "tasks with `backend='torch'`"),
        ({"device": "cuda"}, "tasks on the device 'cuda'"),
        ({"precision": "bf16"}, "tasks in the precision 'bf16'"),
    ):
        expected = f"Running {tasks} needs PyTorch, which is not installed. Run: pip install 'stencilnet[train]'"
        with pytest.raises(NotInstalledError, match=f"^{re.escape(expected)}$") as raised:
            Engine(GOLDEN, **asked)
        assert raised.value.name == "torch"
