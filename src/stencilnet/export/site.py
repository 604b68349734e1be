"""A bundle as a static folder: the page of `stencilnet.serve`, and its tasks run in the browser alone.

The bundle's own files are in it, and one graph that takes all weights as inputs: the browser selects a task's weights
(``local/delta.js``), so that a task costs its own small file and nothing else.
"""

import json
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path

import numpy as np
from onnx import ModelProto, helper

from stencilnet.bundle import TaskRecord
from stencilnet.bundle.disk import read_file
from stencilnet.bundle.format import BACKBONE, TASK, TASKS, delta_name, sha256_of
from stencilnet.bundle.records import read_task
from stencilnet.delta import Replace, Select, TaskDelta
from stencilnet.delta.spec import Array
from stencilnet.export.filling import given_names
from stencilnet.export.forms import CHANNELS
from stencilnet.graphs.bundled import BundleGraphs
from stencilnet.kinds.catalog import kinds
from stencilnet.kinds.kind import Traits
from stencilnet.storage import write_folder

KINDS = ("segmentation", "colorization", "style", "edges2photo", "restoration", "depth", "normals", "classification")
"""Kinds whose inputs and answers are written in JavaScript, too (``local/kinds.js``)."""

DTYPES = ("float32", "float64", "float16", "int64", "int32", "int8", "uint8", "bool")
"""Types of weights that browsers run (``local/tensors.js``)."""

SITE, GRAPH, WORKER = "site.json", "network.onnx", "sw.js"
"""Names of the site's description, of its graph, and of its service worker."""

_POLICY = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; connect-src 'self'; "
    "img-src 'self' blob: data:; object-src 'none'; base-uri 'none'"
)
"""What the page may load, and that it sends nothing elsewhere."""


def export_site(
    path: str | Path, out: str | Path, tasks: Iterable[str] | None = None, *, runtime: Mapping[str, bytes]
) -> dict[str, str]:
    """Write a static folder with the page, which runs tasks in the browser by onnxruntime-web.

    Weights equal Python's bit for bit, 8-bit pixels differ by at most 1, and labels are equal in 99.99 % of pixels.

    Args:
        path: The bundle's folder.
        out: The folder, which does not exist or is empty; it is written whole or not at all.
        tasks: Names of tasks. Default: all that run in browsers.
        runtime: Files of onnxruntime-web by name (`export.runtime`).

    Returns:
        Why tasks are left out, by name; only of tasks that were not named.

    Raises:
        BundleError: If the bundle cannot be opened, a task is damaged, or there is no graph of the architecture.
        OSError: If the folder cannot be written.
        ValueError: If there is no such task, it does not run in browsers, none does, or `out` is not empty.
    """
    path, out = Path(path), Path(out)
    graphs = BundleGraphs(path)
    bundle = graphs.bundle
    names = list(bundle.deltas) if tasks is None else list(dict.fromkeys(tasks))
    graphs.check_tasks(names)
    problems = {name: _problem(bundle.records[name], bundle.deltas[name], bundle.shared) for name in names}
    left_out = {name: problem for name, problem in problems.items() if problem}
    kept = [name for name in names if name not in left_out]
    if not kept or (left_out and tasks is not None):
        reasons = [f"`{name}` does not: {why}" for name, why in left_out.items()] or ["there is none."]
        raise ValueError(f"Expected tasks that run in browsers, but {' '.join(reasons)}")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ValueError(f"Expected {out} to be a new or empty folder, but it is not. Use another one, or delete it.")
    backbone = read_file(path, path / BACKBONE)
    files_of = {name: _task_files(path, name, bundle.config.backbone) for name in kept}
    content = {
        **_page(),
        **{f"runtime/{name}": data for name, data in runtime.items()},
        **{f"bundle/{TASKS}/{name}/{file}": data for name, found in files_of.items() for file, data in found.items()},
        f"bundle/{BACKBONE}": backbone,
        GRAPH: _graph(graphs, kept[0]).SerializeToString(),
        SITE: _json(
            {
                "format": "stencilnet site 1",
                "name": path.resolve().name,
                "backbone": bundle.config.backbone,
                "bytes": len(backbone),
                "stored": bundle.config.stored,
                "head": {key: list(spec.shape) for key, spec in bundle.config.head_tensors.items()},
                "tasks": {name: sum(map(len, found.values())) for name, found in files_of.items()},
                "kinds": {name: _words(kinds()[name].traits) for name in KINDS},
            }
        ),
    }
    content[WORKER] = _with_files(content)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_folder(out, content)
    return left_out


def _problem(record: TaskRecord, delta: TaskDelta, shared: Mapping[str, Array]) -> str:
    """Return why a task does not run in browsers, or an empty text."""
    if record.kind not in KINDS:
        return f"only {', '.join(KINDS)} do, and this is {record.kind}."
    if delta.needs:
        return f"it runs through the columns of {', '.join(delta.needs)}."
    for key, entry in delta.entries.items():
        if not isinstance(entry, Replace | Select) and shared[key].dtype != np.float32:
            return f"it computes with {shared[key].dtype} weights ({key}), and browsers do that in float32 alone."
    return ""


def _graph(graphs: BundleGraphs, task: str) -> ModelProto:
    """Return a graph whose weights are inputs; the head's may have any number of output channels."""
    weights = graphs.weights(task)
    others = sorted({array.dtype.name for array in weights.values()} - set(DTYPES))
    if others:
        raise ValueError(f"Expected weights that browsers run ({', '.join(DTYPES)}), but got {', '.join(others)}.")
    model = graphs.graph(weights, any_size=True)
    heads = graphs.bundle.config.head_tensors
    given = set(given_names(model))
    kept = [tensor for tensor in model.graph.initializer if tensor.name not in given]
    for tensor in model.graph.initializer:
        if tensor.name in given:
            sides: list[int | str] = list(tensor.dims)
            if tensor.name in heads:
                sides[0] = CHANNELS
            model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, sides))
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_param = CHANNELS
    return model


def _words(traits: Traits) -> dict[str, object]:
    return {"category": traits.category, "scaling": traits.scaling, "former": traits.former}


def _task_files(path: Path, name: str, backbone: str) -> dict[str, bytes]:
    """Return the files of a task, as they are in the bundle."""
    names = (TASK, delta_name(read_task(path, name, backbone).delta))
    return {file: read_file(path, path / TASKS / name / file) for file in names}


def _page() -> dict[str, bytes]:
    """Return the page's files, with what runs tasks here in the place of what asks a server."""
    package = files("stencilnet")
    page = {file.name: file.read_bytes() for file in (package / "serve" / "page").iterdir() if file.is_file()}
    local = {file.name: file.read_bytes() for file in (package / "export" / "local").iterdir() if file.is_file()}
    policy = f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
    page["index.html"] = page["index.html"].replace(b"<meta name", policy.encode() + b"<meta name", 1)
    page["service.js"] = b'export { createService } from "./local/service.js";\n'
    page[WORKER] = local.pop(WORKER)
    return page | {f"local/{name}": data for name, data in local.items()}


def _with_files(content: Mapping[str, bytes]) -> bytes:
    """Return the service worker, which knows the hashes of all other files."""
    hashes = {name: sha256_of(data) for name, data in sorted(content.items()) if name != WORKER}
    return b"const FILES = " + _json(hashes) + b";\n" + content[WORKER]


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode()
