"""One task as one ONNX file, with its weights: all that ONNX Runtime needs."""

from pathlib import Path

from stencilnet.delta.digest import weights_digest
from stencilnet.export.describing import described, with_metadata
from stencilnet.export.filling import filled
from stencilnet.graphs.bundled import BundleGraphs
from stencilnet.storage import write_file

_DOC = "A task of a stencilnet bundle. The metadata `input`, `output`, `kind` and `settings` say what goes in and out."


def export_task(path: str | Path, task: str, out: str | Path) -> None:
    """Write a task as an ONNX file that holds its weights and takes pictures of any size.

    The graph's one input and output are the network's, without the kind's own work before and after (`Kind`); the
    file's metadata describe them. Outputs equal those of `Engine.forward` within 1e-3.

    Args:
        path: The bundle's folder.
        task: Name of a task.
        out: The file; an existing one is replaced.

    Raises:
        BundleError: If the bundle cannot be opened, the task is damaged, or there is no graph of the architecture.
        OSError: If the file cannot be written.
        ValueError: If there is no such task, or its weights take more than an ONNX file can hold.
    """
    graphs, out = BundleGraphs(Path(path)), Path(out)
    graphs.check_tasks([task])
    weights = graphs.weights(task)
    record = graphs.bundle.records[task]
    metadata = {
        "task": task,
        **described(record, graphs.network.sides),
        "backbone": graphs.bundle.config.backbone,
        "weights": weights_digest(weights),
    }
    model = with_metadata(filled(graphs.graph(weights, any_size=True), weights), metadata, _DOC)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_file(out, model.SerializeToString())
