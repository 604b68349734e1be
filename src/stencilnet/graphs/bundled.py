"""A bundle as graphs: the graph of each task, and the weights that its initializers get."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from onnx import ModelProto

from stencilnet.bundle import Bundle, open_bundle
from stencilnet.bundle.architecture import check_arguments, check_weights, graph_file
from stencilnet.bundle.format import BACKBONE, CONFIG
from stencilnet.bundle.schema import HeadTensor
from stencilnet.delta import DeltaError, Spec
from stencilnet.delta.delta import with_columns
from stencilnet.delta.spec import Array
from stencilnet.graphs.architectures import ARCHITECTURES, Architecture
from stencilnet.graphs.stored import read_graph
from stencilnet.text.shortening import listed


class BundleGraphs:
    """The graphs of a bundle's tasks.

    Args:
        path: The bundle's folder.

    Attributes:
        bundle: The bundle.
        network: Its architecture.
        stored: The file of its graph; None if the architecture is known, so that stencilnet writes its graphs.

    Raises:
        BundleError: If the bundle cannot be opened, there is no graph of its architecture, or the one that lies beside
            its files is damaged or another backbone's.
    """

    def __init__(self, path: Path) -> None:
        self.bundle: Bundle = open_bundle(path)
        config, shared = self.bundle.config, self.bundle.shared
        self.network: Architecture
        self.stored = graph_file(path, config)
        if self.stored is not None:
            self.network = read_graph(path, config, shared)
            return
        check_arguments(config, path / CONFIG)
        self.network = ARCHITECTURES[config.architecture]
        specs = {key: Spec("float32", shape) for key, shape in self.network.shapes(config.arguments or {}).items()}
        head = {key: specs.pop(key) for key in list(specs) if key.startswith(self.network.head)}
        check_weights(specs, {key: Spec.of(array) for key, array in shared.items()}, path / BACKBONE)
        heads = {key: HeadTensor(dtype=spec.dtype, shape=spec.shape[1:]) for key, spec in head.items()}
        check_weights(heads, config.head_tensors, path / CONFIG)

    def check_tasks(self, tasks: Iterable[str]) -> None:
        """Refuse names of tasks that the bundle lacks.

        Raises:
            ValueError: If it lacks one.
        """
        for task in tasks:
            if task not in self.bundle.deltas:
                known = listed(self.bundle.deltas) or "none"
                raise ValueError(f"Expected `task` to be one of {known}, but got {task!r}.")

    def weights(self, task: str) -> Mapping[str, Array]:
        """Return a task's full weights by key, with the columns that it needs (`stencilnet.delta.columns`).

        Raises:
            BundleError: If the task's files are damaged.
            DeltaError: If its columns do not fit the backbone.
        """
        if self.bundle.deltas[task].needs and not self.network.columns:
            raise DeltaError(
                f"Expected a U-Net for `{task}`, whose adapters are at its levels, but got "
                f"{self.bundle.config.architecture}. Is it another backbone's task?"
            )
        return with_columns(task, self.bundle.deltas, lambda delta: delta.apply(self.bundle.shared))

    def graph(self, weights: Mapping[str, Array], *, any_size: bool = False) -> ModelProto:
        """Return the graph of a task's weights; `any_size` as for `Architecture.graph`."""
        return self.network.graph({key: array.shape for key, array in weights.items()}, any_size)
