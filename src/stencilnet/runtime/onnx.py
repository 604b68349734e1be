"""ONNX Runtime as a backend of the engine: a session for each of a bounded number of tasks."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime as ort

from stencilnet.bundle import TaskRecord
from stencilnet.bundle.architecture import UNET
from stencilnet.delta.spec import Array
from stencilnet.graphs.bundled import BundleGraphs
from stencilnet.graphs.writer import IMAGE, OUTPUT
from stencilnet.memory import within_memory
from stencilnet.pictures.images import Floats
from stencilnet.runtime.onnx_layers import OnnxLayers
from stencilnet.runtime.sessions import FAILURES, as_memory_error, bundle_session, is_lack, releasing, run_session
from stencilnet.runtime.tiling import whole_bytes
from stencilnet.slots import Slots
from stencilnet.stopping import Stop
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
        self._graphs = BundleGraphs(path)
        self._bundle, self._network = self._graphs.bundle, self._graphs.network
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
        return self._graphs.weights(task)

    @contextmanager
    def layers(self, task: str) -> Iterator[Layers | None]:
        """Lend the layers of a task's network; see `stencilnet.runtime.backends.Backend.layers`."""
        config = self._bundle.config
        if config.architecture != UNET or self._bundle.deltas[task].needs:
            yield None
        else:
            yield OnnxLayers(self._width, lambda: self.weights(task))

    def forward(self, image: Floats, task: str, channels: int, stop: Stop) -> Floats:
        """Return a task's raw output for one input; see `stencilnet.runtime.backends.Backend.forward`."""
        with self._slots.lend(task) as session:
            return as_memory_error(lambda: self._output(session, image, channels, stop))

    def _output(self, session: ort.InferenceSession, image: Floats, channels: int, stop: Stop) -> Floats:
        options = ort.RunOptions()
        with stop.calling(lambda: setattr(options, "terminate", True)):
            try:
                output = self._run(session, self._network.inputs(image), channels, options)
            except FAILURES as error:
                stop.check()  # it says so by an error
                if self._graphs.stored is None or is_lack(error):
                    raise
                height, width = image.shape[1:]
                raise ValueError(f"The network cannot run a picture of {width}x{height} pixels: {error}") from error
        return np.ascontiguousarray(self._network.output(output[0], *image.shape[1:]))

    def _run(
        self, session: ort.InferenceSession, inputs: Mapping[str, Floats], channels: int, options: ort.RunOptions
    ) -> Floats:
        if self._graphs.stored is not None:  # neither the output's shape nor the memory that a picture takes is known
            releasing(options)
            output: Floats = session.run([OUTPUT], inputs, options)[0]
            return output
        sides = inputs[IMAGE].shape[2:]
        if whole_bytes(self._width, *sides) > _KEPT:
            releasing(options)
        shape = (1, channels, *sides)[: len(session.get_outputs()[0].shape)]  # a classifier's has no sides
        return run_session(session, inputs, shape, options)

    @property
    def _width(self) -> int:
        """Channels that the first convolution gives."""
        shapes = self._network.shapes(self._bundle.config.arguments or {})
        return next(iter(shapes.values()))[0]

    def _make(self, task: str) -> ort.InferenceSession:
        return within_memory(
            lambda: as_memory_error(lambda: self._session(task)),
            f"The network of task {task!r}",
            "Give `Engine` a smaller `active`.",
        )

    def _session(self, task: str) -> ort.InferenceSession:
        return bundle_session(self._graphs, self.weights(task))
