"""Runs a bundle's tasks with all backends that are installed, and compares weights and outputs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image

from stencilnet.bundle import TaskRecord, read_config
from stencilnet.bundle.architecture import KNOWN
from stencilnet.delta.digest import weights_digest
from stencilnet.errors import NotInstalledError
from stencilnet.kinds.catalog import kind_from_record
from stencilnet.kinds.kind import LabelKind, PictureKind
from stencilnet.runtime.backends import BACKENDS, Backend, BackendError, open_backend
from stencilnet.stopping import Stop

RAW, PIXELS, LABELS = 1e-3, 1, 0.9999
"""What backends promise: the largest difference of raw outputs and of 8-bit pixels, and the least share of equal
labels. Weights are the same bytes."""

_SIZE = 161, 123
"""Width and height of the picture that is run: odd, and of enough pixels for one other label to be allowed."""


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How far the backends agree on one task.

    Attributes:
        task: Name of the task.
        weights: SHA-256 of the task's full weights, by backend.
        raw: Largest difference of raw outputs; 0 with one backend.
        pixels: Largest difference of the answer's 8-bit values; None if it has labels, and with one backend.
        labels: Share of equal labels, of pixels or of the whole picture; None if the answer has none, and with one
            backend.
    """

    task: str
    weights: Mapping[str, str]
    raw: float = 0.0
    pixels: int | None = None
    labels: float | None = None

    @property
    def ok(self) -> bool:
        """Whether the promise holds."""
        pixels = self.pixels is None or self.pixels <= PIXELS
        labels = self.labels is None or self.labels >= LABELS
        return len(set(self.weights.values())) == 1 and self.raw <= RAW and pixels and labels

    def __str__(self) -> str:
        digests = set(self.weights.values())
        shown = "the same" if len(digests) == 1 else "DIFFERENT"
        named = " and ".join(self.weights)
        text = f"{self.task}: weights {', '.join(digest[:16] for digest in sorted(digests))} ({named}"
        if len(self.weights) == 1:
            return f"{text}; no other backend to compare with)"
        outputs = [f"raw outputs within {self.raw:.1e}"]
        if self.pixels is not None:
            outputs.append(f"pixels within {self.pixels}")
        if self.labels is not None:
            outputs.append(f"{self.labels:.3%} of labels equal")
        return f"{text}: {shown}); {', '.join(outputs)}{'' if self.ok else ': NOT as promised'}"


def compare(path: Path) -> Iterator[Parity]:
    """Compare the backends that are installed and can run a bundle, task by task.

    Raises:
        BundleError: If the bundle or a task is damaged, or its architecture cannot be rebuilt.
        NotInstalledError: If no backend is installed that can run the bundle.
    """
    backends = _installed(path)
    first, *_ = backends.values()
    for task in first.tasks:
        yield _compared(task, backends, first.records[task])


def _installed(path: Path) -> dict[str, Backend]:
    found: dict[str, Backend] = {}
    missing: Exception | None = None
    known = read_config(path).architecture in KNOWN
    for name in BACKENDS[1:] if known else ("onnx",):  # PyTorch cannot rebuild other networks
        try:
            found[name] = open_backend(path, "cpu", "float32", backend=name, backbone=None, active=1)
        except (NotInstalledError, BackendError) as error:
            missing = error
    if not found and missing is not None:
        raise missing
    return found


def _compared(task: str, backends: Mapping[str, Backend], record: TaskRecord) -> Parity:
    kind = kind_from_record(record.kind, record.settings)
    given = np.require(kind.to_input(_picture()), np.float32, ["C", "W"])
    weights = {name: weights_digest(backend.weights(task)) for name, backend in backends.items()}
    outputs = [backend.forward(given, task, record.channels, Stop()) for backend in backends.values()]
    raw, pixels, labels = 0.0, list[int](), list[float]()
    for one, other in combinations(outputs, 2):
        raw = max(raw, float(np.abs(one - other).max()))
        if isinstance(kind, LabelKind):
            labels.append(float(kind.to_label(one)[0][0] == kind.to_label(other)[0][0]))
        elif isinstance(kind, PictureKind):
            pictures = [kind.to_image(output, given) for output in (one, other)]
            a, b = (np.asarray(picture).astype(np.int16) for picture in pictures)
            if pictures[0].mode == "P":
                labels.append(float((a == b).mean()))
            else:
                pixels.append(int(np.abs(a - b).max()))
    return Parity(
        task=task, weights=weights, raw=raw, pixels=max(pixels, default=None), labels=min(labels, default=None)
    )


def _picture() -> Image.Image:
    """Return a picture of ramps and noise, always the same."""
    width, height = _SIZE
    rows, columns = np.linspace(0, 200, height)[:, None], np.linspace(0, 200, width)
    ramps = np.stack([rows + 0 * columns, columns + 0 * rows, (rows + columns) / 2], axis=-1)
    noise = np.random.default_rng(0).integers(0, 56, (height, width, 3))
    return Image.fromarray((ramps + noise).astype(np.uint8))
