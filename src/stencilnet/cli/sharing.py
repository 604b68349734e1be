"""Verbs that give bundles and tasks to others: pack."""

from pathlib import Path

import click

from stencilnet.cli.streams import say

_bundle = click.argument("bundle", type=click.Path(path_type=Path, exists=True, file_okay=False))


@click.command()
@_bundle
@click.argument("task")
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The .zip to write.")
def pack(bundle: Path, task: str, out: Path) -> None:
    """Write TASK of BUNDLE as one small file; `stencil merge` installs it in a bundle over the same backbone."""
    from stencilnet.bundle import pack_task
    from stencilnet.storage import write_file

    content = pack_task(bundle, task)
    write_file(out, content)
    say(f"{out}  {len(content):,} bytes")
