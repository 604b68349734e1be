"""The verb that writes tasks for other programs."""

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stencilnet.cli.bundles import BundleFolder
from stencilnet.cli.streams import say

if TYPE_CHECKING:
    from torch import nn


@click.command()
@click.argument("bundle", type=BundleFolder())
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
@click.option("--web", is_flag=True, help="Write a static website, which runs the tasks in the browser alone.")
@click.option(
    "--runtime",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="With --web: the npm package onnxruntime-web, unpacked. By default it is downloaded once.",
)
def export(
    bundle: Path, tasks: tuple[str, ...], out: Path | None, graph: str | None, web: bool, runtime: Path | None
) -> None:
    """Write tasks of BUNDLE as ONNX files, which any program with ONNX Runtime runs, or as a website.

    One TASK and -o NAME.onnx: one file, with all weights. -o FOLDER: backbone.onnx, and for each TASK (by default all)
    an adapter by ONNX Runtime's own interface, of one bit a weight for a mask and one byte for a quantised change.
    --web -o FOLDER: the page of `stencil serve` as files for any web server; no picture leaves the browser.
    """
    if runtime is not None and not web:
        raise click.UsageError("--runtime is for --web only. Omit it, or add --web.")
    if graph is not None:
        if tasks or out is not None or web:
            raise click.UsageError("--graph takes neither TASK nor --out nor --web: the graph is a file of BUNDLE.")
        from stencilnet.tracing import write_graph

        say(write_graph(bundle, built(graph)))
        return
    from stencilnet.export import export_adapters, export_task

    if out is None:
        raise click.UsageError("Missing option '-o' / '--out'.")
    if web:
        _write_site(bundle, tasks, out, runtime)
    elif out.suffix.lower() != ".onnx":
        for path in export_adapters(bundle, out, tasks or None):
            say(path)
    elif len(tasks) == 1:
        export_task(bundle, tasks[0], out)
        say(out)
    else:
        raise click.UsageError(f"{out} holds one task, but got {len(tasks)}. Name one TASK, or a folder as --out.")


def _write_site(bundle: Path, tasks: tuple[str, ...], out: Path, runtime: Path | None) -> None:
    from stencilnet.export.runtime import runtime_files
    from stencilnet.export.site import export_site

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stencilnet"
    left_out = export_site(bundle, out, tasks or None, runtime=runtime_files(runtime, cache))
    for task, why in left_out.items():
        say(f"Left out: {task}: {why}", err=True)
    say(out)


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
