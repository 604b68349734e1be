"""Verifies a bundle as a whole: its files, and that ONNX Runtime loads the graph that may lie beside them."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from stencilnet.bundle import BundleError, Finding, Verification, read_config
from stencilnet.bundle import verify as verify_files
from stencilnet.bundle.architecture import graph_file
from stencilnet.bundle.format import GRAPH
from stencilnet.delta.spec import dtype_named
from stencilnet.memory import within_memory


def verify(path: str | Path, *, backbone: bool = True) -> Verification:
    """Verify a bundle's files as `stencilnet.bundle.verify` does, and the graph of another network.

    The graph must be the backbone's own, with the names and shapes of its weights, and ONNX Runtime must load it.

    Args:
        path: The bundle's folder.
        backbone: As for `stencilnet.bundle.verify`. Tasks that are shared without the backbone have no graph.

    Returns:
        Everything found, not only the first.

    Raises:
        TooLargeError: If memory runs out.
    """
    root = Path(path)
    report = verify_files(root, backbone=backbone)
    try:
        if not backbone or graph_file(root, read_config(root)) is None:
            return report
        _load(root)
    except BundleError as error:
        if error.file != str(root / GRAPH):  # it is among the findings
            return report
        return replace(report, findings=(*report.findings, Finding.of(error)))
    return replace(report, checked=(*report.checked, str(root / GRAPH)))


def _load(root: Path) -> None:
    """Make a session with a head of one channel, as the graph itself has it."""
    from stencilnet.graphs.bundled import BundleGraphs  # few bundles need ONNX and its runtime to be verified
    from stencilnet.runtime.sessions import as_memory_error, bundle_session

    graphs = BundleGraphs(root)
    heads = graphs.bundle.config.head_tensors.items()
    empty = {name: np.zeros((1, *tensor.shape), dtype_named(tensor.dtype)) for name, tensor in heads}
    session = partial(bundle_session, graphs, {**graphs.bundle.shared, **empty})
    within_memory(
        partial(as_memory_error, session), f"The graph {root / GRAPH}", "Verify it where there is more memory."
    )
