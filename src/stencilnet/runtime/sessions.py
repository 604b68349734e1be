"""Sessions of ONNX Runtime, and its lack of memory as Python's error."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
import onnxruntime as ort
from onnx import ModelProto
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException

from stencilnet.cores import threads
from stencilnet.delta.spec import Array

R = TypeVar("R")

FAILURES: tuple[type[Exception], ...] = (Fail, InvalidArgument, RuntimeException)
"""Errors of a session whose graph cannot run its inputs."""

_QUIET = 4
"""Log level of ONNX Runtime at which it writes nothing to stderr that it raises as an error, too."""

_LACKS = ("bad_alloc", "bad allocation", "failed to allocate memory")
"""Phrases by which ONNX Runtime says that memory has run out; it has no class for it."""


def make_session(model: ModelProto, weights: Mapping[str, Array]) -> ort.InferenceSession:
    """Return a session of a graph.

    Args:
        model: The graph.
        weights: Arrays by name, of which the graph's initializers without data are taken.
    """
    names = [tensor.name for tensor in model.graph.initializer if tensor.external_data]
    options = session_options(threads())
    # ONNX Runtime copies them, packed for its kernels, so that these arrays are free once the session is made.
    values = [ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(weights[name])) for name in names]
    options.add_external_initializers(names, values)
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def session_options(count: int) -> ort.SessionOptions:
    """Return options by which memory does not grow with pictures of varying sizes, and idle threads sleep.

    Args:
        count: Number of threads; ONNX Runtime itself respects neither affinity nor control groups.
    """
    options = ort.SessionOptions()
    options.enable_cpu_mem_arena = False  # the arena never shrinks
    options.enable_mem_pattern = False  # one pattern a size is kept
    options.intra_op_num_threads = count
    options.inter_op_num_threads = 1
    options.log_severity_level = _QUIET
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def is_lack(error: Exception) -> bool:
    """Return whether an error of ONNX Runtime says that memory has run out."""
    return any(phrase in str(error).lower() for phrase in _LACKS)


def as_memory_error(work: Callable[[], R]) -> R:
    """Return the result of a function of ONNX Runtime.

    Raises:
        MemoryError: If memory runs out, with ONNX Runtime's message. It holds no reference to the function's arrays.
    """
    try:
        return work()
    except (Fail, RuntimeException) as error:
        if not is_lack(error):
            raise
        message = str(error)
    raise MemoryError(message)  # not in the handler: it would refer to the error, and so to all arrays of its frames
