"""A backbone as one ONNX file, and each task as an adapter for it, by ONNX Runtime's own interface for adapters.

What tasks change is an input of the graph that has a default, and an adapter is a set of such inputs. Masks stay one
bit a weight and quantised changes one byte; what the graph cannot compute from the backbone is whole.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnx import ModelProto

from stencilnet.delta import Quantized, Select, TaskDelta
from stencilnet.delta.spec import Array
from stencilnet.export.describing import described, with_metadata
from stencilnet.export.filling import filled
from stencilnet.export.forms import BITS, CODES, STEP, WeightForm, whole_name, with_forms
from stencilnet.graphs.bundled import BundleGraphs
from stencilnet.storage import creating, write_file
from stencilnet.text.strict_json import dumps

BACKBONE = "backbone.onnx"

_DOC = (
    "The backbone of a stencilnet bundle. Activate a task's adapter for each run (RunOptions.add_active_adapter); "
    "without one, outputs are NaN. The metadata `tasks` say what goes in and out."
)


def export_adapters(path: str | Path, out: str | Path, tasks: Iterable[str] | None = None) -> tuple[Path, ...]:
    """Write ``backbone.onnx`` and, for each task, ``<task>.onnx_adapter``.

    A mask takes one bit a weight and a quantised change one byte; heads, replaced tensors and entries of other kinds
    are whole. Outputs equal those of `Engine.forward` within 1e-3.

    Args:
        path: The bundle's folder.
        out: The folder, which does not exist or is empty; it is written whole or not at all.
        tasks: Names of tasks. Default: all.

    Returns:
        The files.

    Raises:
        BundleError: If the bundle cannot be opened, a task is damaged, or there is no graph of the architecture.
        OSError: If the folder cannot be written.
        ValueError: If there is no such task, one runs through the columns of others, or `out` is not empty.
    """
    graphs, out = BundleGraphs(Path(path)), Path(out)
    deltas = graphs.bundle.deltas
    names = tuple(deltas) if tasks is None else tuple(dict.fromkeys(tasks))
    graphs.check_tasks(names)
    for name in names:
        _check_alone(name, deltas[name])
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ValueError(f"Expected {out} to be a new or empty folder, but it is not. Use another one, or delete it.")
    forms = _forms(deltas[name] for name in names)
    model = _backbone(graphs, names, forms)
    inputs = {value.name for value in model.graph.input}
    out.parent.mkdir(parents=True, exist_ok=True)
    with creating(out) as folder:
        write_file(folder / BACKBONE, model.SerializeToString())
        for name in names:
            given = _parameters(deltas[name], graphs.bundle.shared, forms)
            used = {key: array for key, array in given.items() if key in inputs}
            _write_adapter(folder / adapter_name(name), used, graphs.bundle.config.backbone)
    return (out / BACKBONE, *(out / adapter_name(name) for name in names))


def _backbone(graphs: BundleGraphs, tasks: Iterable[str], forms: Mapping[str, frozenset[WeightForm]]) -> ModelProto:
    """Return the graph of the backbone, whose head is NaN until a task gives its own."""
    bundle = graphs.bundle
    heads = {key: np.full((1, *spec.shape), np.nan, spec.dtype) for key, spec in bundle.config.head_tensors.items()}
    weights = {**bundle.shared, **heads}
    metadata = {
        "backbone": bundle.config.backbone,
        "tasks": dumps({name: described(bundle.records[name], graphs.network.sides) for name in tasks}),
    }
    model = filled(graphs.graph(weights, any_size=True), weights)
    return with_metadata(with_forms(model, forms, heads), metadata, _DOC)


def adapter_name(task: str) -> str:
    """Return the name of a task's file."""
    return f"{task}.onnx_adapter"


def _parameters(
    delta: TaskDelta, shared: Mapping[str, Array], forms: Mapping[str, frozenset[WeightForm]]
) -> dict[str, Array]:
    """Return the inputs of `with_forms` by which a task differs from the backbone."""
    found: dict[str, Array] = {}
    for key, entry in delta.entries.items():
        if isinstance(entry, Select):
            found[key + BITS] = entry.bits.packed
        elif isinstance(entry, Quantized):
            found[key + CODES] = entry.codes
            found[key + STEP] = entry.step.reshape(1)  # an adapter has no scalars
        else:
            found[whole_name(key, forms[key])] = entry.apply(shared.get(key))
    return found


def _forms(deltas: Iterable[TaskDelta]) -> dict[str, frozenset[WeightForm]]:
    """Return, by key, the forms in which tasks change a weight."""
    found: dict[str, frozenset[WeightForm]] = {}
    for delta in deltas:
        for key, entry in delta.entries.items():
            form: WeightForm = (
                "bits" if isinstance(entry, Select) else "codes" if isinstance(entry, Quantized) else "whole"
            )
            found[key] = found.get(key, frozenset()) | {form}
    return found


def _check_alone(task: str, delta: TaskDelta) -> None:
    if delta.needs:
        raise ValueError(
            f"Expected tasks that run through the backbone alone, but `{task}` runs through the columns of "
            f"{', '.join(delta.needs)}, so it has a graph of its own. Export it as one file, and name the others here."
        )


def _write_adapter(path: Path, arrays: Mapping[str, Array], backbone: str) -> None:
    adapter = ort.AdapterFormat()
    adapter.set_adapter_version(1)
    adapter.set_model_version(int(backbone[:7], 16))  # which backbone it is for; ONNX Runtime does not compare it
    values = {name: ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(a)) for name, a in arrays.items()}
    adapter.set_parameters(values)
    adapter.export_adapter(str(path))
