"""Sessions of ONNX Runtime, the memory arena that they share, and a lack of memory as Python's error."""

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TypeVar

import numpy as np
import onnxruntime as ort
from onnx import ModelProto
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException

from stencilnet.bundle import BundleError
from stencilnet.cores import threads
from stencilnet.delta.spec import Array
from stencilnet.graphs.bundled import BundleGraphs
from stencilnet.graphs.stored import AGAIN
from stencilnet.graphs.writer import OUTPUT
from stencilnet.pictures.images import Floats

R = TypeVar("R")

FAILURES: tuple[type[Exception], ...] = (Fail, InvalidArgument, RuntimeException, RuntimeError)
"""Errors of a session whose graph cannot run its inputs; RuntimeError is that of a run with bound outputs."""

_QUIET = 4
"""Log level of ONNX Runtime at which it writes nothing to stderr that it raises as an error, too."""

_LACKS = ("bad_alloc", "bad allocation", "failed to allocate memory")
"""Phrases by which ONNX Runtime says that memory has run out; it has no class for it."""


def bundle_session(graphs: BundleGraphs, weights: Mapping[str, Array]) -> ort.InferenceSession:
    """Return a session of a bundle's network.

    Args:
        graphs: The bundle.
        weights: A task's full weights by key.

    Raises:
        BundleError: If ONNX Runtime cannot load the graph that lies beside the bundle's files.
    """
    model = graphs.graph(weights)
    try:
        return make_session(model, weights)
    except Exception as error:  # ONNX Runtime has many classes for it
        if graphs.stored is None or is_lack(error):
            raise
        what, got = "a graph that ONNX Runtime cannot load", f"this error: {error}"
        raise BundleError(graphs.stored, what, "one that it loads", got, AGAIN) from error


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
    with _registering:
        _register_arena()
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def session_options(count: int) -> ort.SessionOptions:
    """Return options by which all sessions share one arena, and idle threads sleep.

    Args:
        count: Number of threads; ONNX Runtime itself respects neither affinity nor control groups.
    """
    options = ort.SessionOptions()
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")  # weights are not in it
    options.enable_mem_pattern = False  # one pattern a size is kept
    options.intra_op_num_threads = count
    options.inter_op_num_threads = 1
    options.log_severity_level = _QUIET
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def is_lack(error: Exception) -> bool:
    """Return whether an error of ONNX Runtime says that memory has run out."""
    return any(phrase in str(error).lower() for phrase in _LACKS)


def run_session(
    session: ort.InferenceSession, inputs: Mapping[str, Floats], shape: Sequence[int], options: ort.RunOptions
) -> Floats:
    """Return the output of a session.

    Args:
        session: The session.
        inputs: Its inputs by name.
        shape: The output's shape.
        options: How it runs.
    """
    output = np.empty(shape, np.float32)  # outputs in the arena's memory would keep it from being released
    binding = session.io_binding()
    for name, array in inputs.items():
        binding.bind_cpu_input(name, np.ascontiguousarray(array))
    binding.bind_output(OUTPUT, "cpu", 0, np.float32, output.shape, output.ctypes.data)
    session.run_with_iobinding(binding, options)
    return output


def releasing(options: ort.RunOptions) -> None:
    """Let the arena's free memory go back to the system after a run.

    This takes time: the next run gets pages anew, which the system fills with zeros.
    """
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")


_registering = threading.Lock()


@cache
def _register_arena() -> None:
    """Make the arena that all sessions of this process share, if they ask for it.

    Blocks of memory that a session's own arena keeps for its largest picture cannot be used by another session. Without
    any arena, each map of features is memory that the system fills with zeros, page by page.
    """
    info = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(info, ort.OrtArenaCfg({}))


def as_memory_error(work: Callable[[], R]) -> R:
    """Return the result of a function of ONNX Runtime.

    Raises:
        MemoryError: If memory runs out, with ONNX Runtime's message. It holds no reference to the function's arrays.
    """
    try:
        return work()
    except FAILURES as error:
        if not is_lack(error):
            raise
        message = str(error)
    raise MemoryError(message)  # not in the handler: it would refer to the error, and so to all arrays of its frames
