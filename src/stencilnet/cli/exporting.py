"""The verb that writes tasks for other programs."""

from pathlib import Path

import click

from stencilnet.cli.streams import say


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("tasks", nargs=-1, metavar="[TASK]...")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="NAME.onnx for one TASK, or a new folder for several.",
)
def export(bundle: Path, tasks: tuple[str, ...], out: Path) -> None:
    """Write tasks of BUNDLE as ONNX files, which any program with ONNX Runtime runs.

    One TASK and -o NAME.onnx: one file, with all weights. -o FOLDER: backbone.onnx, and for each TASK (by default all)
    an adapter by ONNX Runtime's own interface, of one bit a weight for a mask and one byte for a quantised change.
    """
    from stencilnet.export import export_adapters, export_task

    if out.suffix.lower() != ".onnx":
        for path in export_adapters(bundle, out, tasks or None):
            say(path)
    elif len(tasks) == 1:
        export_task(bundle, tasks[0], out)
        say(out)
    else:
        raise click.UsageError(f"{out} holds one task, but got {len(tasks)}. Name one TASK, or a folder as --out.")
