"""The verb that writes tasks for other programs."""

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stencilnet.cli.streams import say

if TYPE_CHECKING:
    from torch import nn


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("tasks", nargs=-1, metavar="[TASK]...")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="NAME.onnx for one TASK, or a new folder for several.",
)
@click.option(
    "--graph",
    metavar="MODULE:FUNCTION",
    help="Write the graph of a network that stencilnet does not know into BUNDLE, once: its tasks then run without "
    "PyTorch. FUNCTION of the Python module MODULE builds the network, as it was saved.",
)
def export(bundle: Path, tasks: tuple[str, ...], out: Path | None, graph: str | None) -> None:
    """Write tasks of BUNDLE as ONNX files, which any program with ONNX Runtime runs.

    One TASK and -o NAME.onnx: one file, with all weights. -o FOLDER: backbone.onnx, and for each TASK (by default all)
    an adapter by ONNX Runtime's own interface, of one bit a weight for a mask and one byte for a quantised change.
    """
    if graph is not None:
        if tasks or out is not None:
            raise click.UsageError("--graph takes neither TASK nor --out: the graph is a file of BUNDLE.")
        from stencilnet.tracing import write_graph

        say(write_graph(bundle, built(graph)))
        return
    from stencilnet.export import export_adapters, export_task

    if out is None:
        raise click.UsageError("Missing option '-o' / '--out'.")
    if out.suffix.lower() != ".onnx":
        for path in export_adapters(bundle, out, tasks or None):
            say(path)
    elif len(tasks) == 1:
        export_task(bundle, tasks[0], out)
        say(out)
    else:
        raise click.UsageError(f"{out} holds one task, but got {len(tasks)}. Name one TASK, or a folder as --out.")


def built(name: str) -> "nn.Module":
    """Return the network that a function builds, given as ``MODULE:FUNCTION``; the working folder's modules count."""
    from torch import nn

    module, _, function = name.partition(":")
    sys.path.insert(0, "")
    try:
        build = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise click.BadParameter(
            f"expected MODULE:FUNCTION, but got {name!r}: {error}.", param_hint="--graph"
        ) from error
    network = build()
    if not isinstance(network, nn.Module):
        got = type(network).__name__
        raise click.BadParameter(f"expected {name} to build a torch.nn.Module, but got {got}.", param_hint="--graph")
    return network
