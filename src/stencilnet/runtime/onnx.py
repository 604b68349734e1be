"""ONNX Runtime as a backend of the engine: a session for each of a bounded number of tasks."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime as ort

from stencilnet.bundle import TaskRecord, open_bundle
from stencilnet.bundle.architecture import UNET, check_arguments, check_weights
from stencilnet.bundle.format import BACKBONE, CONFIG
from stencilnet.bundle.schema import HeadTensor
from stencilnet.delta import DeltaError, Spec
from stencilnet.delta.delta import with_columns
from stencilnet.delta.spec import Array
from stencilnet.graphs.architectures import ARCHITECTURES
from stencilnet.graphs.writer import IMAGE
from stencilnet.memory import within_memory
from stencilnet.pictures.images import Floats
from stencilnet.runtime.onnx_layers import OnnxLayers
from stencilnet.runtime.sessions import as_memory_error, make_session, run_session
from stencilnet.runtime.tiling import whole_bytes
from stencilnet.slots import Slots
from stencilnet.tiles import Layers

_KEPT = 512 * 2**20
"""Bytes of memory for feature maps that may be kept for the next picture. A larger picture's are released, and each
such picture takes 1.2 times as long."""


class OnnxBackend:
    """Runs a bundle's networks with ONNX Runtime, in float32 on the CPU; a `stencilnet.runtime.backends.Backend`.

    In memory are the shared weights, the deltas of tasks that have run, in each session a copy of its task's weights as
    ONNX Runtime packs them, and one arena for the feature maps of all sessions.

    Args:
        path: The bundle's folder.
        active: Number of sessions, at least 1.

    Raises:
        BundleError: If the bundle cannot be opened, or there is no graph of its architecture.
        MemoryError: If the backbone does not fit in memory.
    """

    def __init__(self, path: Path, *, active: int) -> None:
        self._bundle = open_bundle(path)
        config, shared = self._bundle.config, self._bundle.shared
        check_arguments(config, path / CONFIG)
        self._network = ARCHITECTURES[config.architecture]
        specs = {key: Spec("float32", shape) for key, shape in self._network.shapes(config.arguments or {}).items()}
        self._width = next(iter(specs.values())).shape[0]  # channels that the first convolution gives
        head = {key: specs.pop(key) for key in list(specs) if key.startswith(self._network.head)}
        check_weights(specs, {key: Spec.of(array) for key, array in shared.items()}, path / BACKBONE)
        heads = {key: HeadTensor(dtype=spec.dtype, shape=spec.shape[1:]) for key, spec in head.items()}
        check_weights(heads, config.head_tensors, path / CONFIG)
        self._slots = Slots(self._make, active)

    name = "onnx"

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the bundle's tasks, in the order of learning."""
        return tuple(self._bundle.deltas)

    @property
    def records(self) -> Mapping[str, TaskRecord]:
        """Descriptions of the tasks by name."""
        return self._bundle.records

    @property
    def precision(self) -> str:
        """The precision in use: ``float32``."""
        return "float32"

    def weights(self, task: str) -> Mapping[str, Array]:
        """Return a task's full weights by key; see `stencilnet.runtime.backends.Backend.weights`."""
        if self._bundle.deltas[task].needs and not self._network.columns:
            raise DeltaError(
                f"Expected a U-Net for `{task}`, whose adapters are at its levels, but got "
                f"{self._bundle.config.architecture}. Is it another backbone's task?"
            )
        return with_columns(task, self._bundle.deltas, lambda delta: delta.apply(self._bundle.shared))

    @contextmanager
    def layers(self, task: str) -> Iterator[Layers | None]:
        """Lend the layers of a task's network; see `stencilnet.runtime.backends.Backend.layers`."""
        config = self._bundle.config
        if config.architecture != UNET or self._bundle.deltas[task].needs:
            yield None
        else:
            yield OnnxLayers(self._width, lambda: self.weights(task))

    def forward(self, image: Floats, task: str, channels: int) -> Floats:
        """Return a task's raw output for one input; see `stencilnet.runtime.backends.Backend.forward`."""
        with self._slots.lend(task) as session:
            return as_memory_error(lambda: self._output(session, image, channels))

    def _output(self, session: ort.InferenceSession, image: Floats, channels: int) -> Floats:
        inputs = self._network.inputs(image)
        sides = inputs[IMAGE].shape[2:]
        shape = (1, channels, *sides)[: len(session.get_outputs()[0].shape)]  # a classifier's has no sides
        output = run_session(session, inputs, shape, release=whole_bytes(self._width, *sides) > _KEPT)
        return np.ascontiguousarray(self._network.output(output[0], *image.shape[1:]))

    def _make(self, task: str) -> ort.InferenceSession:
        return within_memory(
            lambda: as_memory_error(lambda: self._session(task)),
            f"The network of task {task!r}",
            "Give `Engine` a smaller `active`.",
        )

    def _session(self, task: str) -> ort.InferenceSession:
        weights = self.weights(task)
        return make_session(self._network.graph({key: array.shape for key, array in weights.items()}), weights)
