"""Verbs that give bundles and tasks to others, and take theirs: pack, push, pull."""

from pathlib import Path

import click

from stencilnet.cli.bundles import BundleFolder
from stencilnet.cli.console import quiet_hub
from stencilnet.cli.streams import say

_bundle = click.argument("bundle", type=BundleFolder())
_SCENE = (192, 256)
"""Height and width of the drawn picture that a card shows by default."""


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


@click.command()
@click.argument("source", type=click.Path(path_type=Path), metavar="BUNDLE[/TASK]")
@click.argument("repository", metavar="OWNER/NAME")
@click.option("--private", is_flag=True, help="Only you see a repository that this creates.")
@click.option("--base-model", metavar="OWNER/NAME", help="With a TASK: the repository of a bundle over its backbone.")
@click.option("--license", "license_", metavar="NAME", help="License of the weights, as the hub names it: apache-2.0.")
@click.option(
    "--sample",
    "samples",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    help="Photo for the card, which shows what the tasks make of it. Repeatable.  [default: a drawn scene]",
)
def push(
    source: Path,
    repository: str,
    private: bool,
    base_model: str | None,
    license_: str | None,
    samples: tuple[Path, ...],
) -> None:
    """Publish a bundle, or one TASK of it alone, in a model repository of the hub, which is created if it is missing.

    A task alone takes some hundred kilobytes; others install it by `stencil merge BUNDLE hf:OWNER/NAME`. The hub's
    address and your token are huggingface_hub's own settings (`hf auth login`).
    """
    from stencilnet.sharing import push as publish

    bundle, task = _split(source)
    quiet_hub()
    pushed = publish(
        bundle,
        repository,
        task=task,
        private=private,
        base_model=base_model,
        license=license_,
        picture=_picture(bundle, task, samples),
    )
    for name in pushed.tasks:
        say(f"pushed  {name}")
    say(pushed.url)


@click.command()
@click.argument("repository", metavar="OWNER/NAME")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder to write.  [default: NAME, here]"
)
@click.option("--revision", metavar="NAME", help="A branch, a tag or a commit.  [default: main]")
def pull(repository: str, out: Path | None, revision: str | None) -> None:
    """Download a bundle from the hub, or tasks alone; every file is checked before the folder is put in place."""
    from stencilnet.sharing import pull as download

    quiet_hub()
    pulled = download(repository, out or Path(repository.rpartition("/")[2]), revision=revision)
    for name in pulled.tasks:
        say(f"pulled  {name}")
    say(pulled.folder)
    if not pulled.whole:
        say(f"without the backbone's weights; install them: stencil merge BUNDLE {pulled.folder}", err=True)


def _split(source: Path) -> tuple[Path, str | None]:
    """Return the bundle and the task of ``BUNDLE``, ``BUNDLE/TASK`` or ``BUNDLE/tasks/TASK``."""
    from stencilnet.bundle.format import CONFIG, TASKS

    if (source / CONFIG).exists():
        return source, None
    above = source.parent.parent if source.parent.name == TASKS else source.parent
    if not (above / CONFIG).exists():
        raise click.BadParameter(f"expected a bundle's folder, or BUNDLE/TASK, but got {str(source)!r}.")
    return above, source.name


def _picture(bundle: Path, task: str | None, samples: tuple[Path, ...]) -> bytes | None:
    """Return the card's picture; None if it is of the drawn scene and cannot be made on this machine."""
    from stencilnet.bundle import task_names
    from stencilnet.sharing.samples import sample_sheet

    if task is not None and task not in task_names(bundle):
        return None  # pushing refuses it
    if samples:
        return sample_sheet(bundle, samples, task)
    from stencilnet.scenes.drawing import draw_scene

    try:
        return sample_sheet(bundle, [draw_scene(0, 0, _SCENE).image], task)
    except (ValueError, ImportError) as error:  # a backbone or a kind that is not installed here
        say(f"the card has no picture: {error}", err=True)
        return None
