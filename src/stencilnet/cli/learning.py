"""Verbs that learn: demo, train, add, compare; and config, which shows what they are told."""

import json
from pathlib import Path

import click

_out = click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Run folder.")
_root = click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path(),
    help="Where the config's data folders are.  [default: .]",
)
_resume = click.option("--resume", is_flag=True, help="Go on with what the run folder holds.")
_only = click.option("--only", multiple=True, metavar="TASK", help="Learn this task only; may be repeated.")
_set = click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override, e.g. trainer.workers=2.")
_dry = click.option("--dry-run", is_flag=True, help="Check config and data, print the plan, train nothing.")


@click.command()
@_out
@click.option("--size", type=click.Choice(["tiny", "small"]), default="small", show_default=True)
def demo(out: Path | None, size: str) -> None:
    """Run the main job on embedded data: six tasks, four methods, a bundle and a report."""
    from stencilnet.cli.work import carry_out

    carry_out(f"demo/{size}", out or Path("runs/demo"), compare=True, resume=True)


@click.command()
@click.argument("config")
@_out
@_root
@_only
@_resume
@_dry
@_set
def train(
    config: str,
    out: Path | None,
    root: Path,
    only: tuple[str, ...],
    resume: bool,
    dry_run: bool,
    overrides: tuple[str, ...],
) -> None:
    """Train the backbone on CONFIG's first task, then the others by its first method, into one bundle.

    CONFIG is a file or the name of a shipped one (see `stencil config list`).
    """
    from stencilnet.cli.work import carry_out

    carry_out(config, out, compare=False, root=root, only=only, resume=resume, dry_run=dry_run, overrides=overrides)


@click.command()
@click.argument("config")
@click.option("--methods", help="Comma-separated; default: all of the config.")
@_out
@_root
@_resume
@_dry
@_set
def compare(
    config: str,
    methods: str | None,
    out: Path | None,
    root: Path,
    resume: bool,
    dry_run: bool,
    overrides: tuple[str, ...],
) -> None:
    """Learn CONFIG's tasks by every method; make the paper's tables, figures and the forgetting matrices."""
    from stencilnet.cli.work import carry_out

    chosen = tuple(name.strip() for name in methods.split(",")) if methods else ()
    carry_out(config, out, compare=True, root=root, methods=chosen, resume=resume, dry_run=dry_run, overrides=overrides)


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("config")
@_root
@_only
@_resume
@_set
def add(bundle: Path, config: str, root: Path, only: tuple[str, ...], resume: bool, overrides: tuple[str, ...]) -> None:
    """Learn CONFIG's tasks that BUNDLE does not have, by its first method; the bundle's own stay as they are."""
    from stencilnet.cli.work import add_to

    add_to(bundle, config, root=root, only=only, resume=resume, overrides=overrides)


@click.group()
def config() -> None:
    """Show configs."""


@config.command("list")
def list_() -> None:
    """List the shipped configs."""
    from stencilnet.experiment.config import shipped

    for name in shipped():
        click.echo(name)


@config.command()
@click.argument("name")
@_set
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def show(name: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Print config NAME (shipped, or a file) with every default written out."""
    from stencilnet.experiment.reading import read_config, to_plain, to_yaml

    experiment = read_config(name, overrides)
    click.echo(json.dumps(to_plain(experiment), indent=2) if as_json else to_yaml(experiment), nl=as_json)
