"""Verbs that learn (demo, train, add, compare), and config, which shows their settings."""

from pathlib import Path

import click

from stencilnet.cli.bundles import BundleFolder
from stencilnet.cli.helping import NamingOption, configs, method_names
from stencilnet.cli.streams import is_written_whole, say, say_json
from stencilnet.cli.verbs import Verbs
from stencilnet.config.shipped import shipped

_out = click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Run folder.  [default: runs/NAME, the last part of CONFIG's name]",
)
_root = click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path(),
    help="Where the config's data folders are.  [default: .]",
)
_resume = click.option("--resume", is_flag=True, help="Continue an interrupted run in the run folder.")
_only = click.option("--only", multiple=True, metavar="TASK", help="Learn only this task of CONFIG; may be repeated.")
_set = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a setting by its key in `stencil config show`: trainer.workers=2.",
)
_devices = click.option(
    "--devices",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Train on N devices of this machine, one process each.",
    metavar="N",
)
_on = click.option(
    "--on",
    "engine",
    type=click.Choice(["here", "processes", "ray", "slurm"]),
    default="here",
    show_default=True,
    help="Where trainings run: one after the other in this process; several at once in processes of this machine; or "
    "on a cluster, which must see the run folder and the data under the same paths.",
)
_ask = click.option(
    "--ask",
    "asked",
    multiple=True,
    metavar="KEY=VALUE",
    help="What to ask of --on. processes: jobs, the number at once. For each job, ray: address, num_cpus, num_gpus, "
    "memory, max_retries. slurm: cluster (slurm or local), timeout_min, cpus_per_task, gpus_per_node, "
    "mem_gb, nodes, tasks_per_node, slurm_max_num_timeout, slurm_partition and submitit's other parameters.",
)
_dry = click.option(
    "--dry-run",
    is_flag=True,
    help="Check config and data, measure a few steps, print a plan with sizes and times, and stop.",
)
_json = click.option("--json", "as_json", is_flag=True, help="With --dry-run: print one JSON object.")


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/demo"),
    show_default=True,
    help="Run folder.",
)
@click.option(
    "--size",
    type=click.Choice(["tiny", "small"]),
    default="small",
    show_default=True,
    help="tiny: to see that everything works; its networks learn next to nothing.",
)
def demo(out: Path, size: str) -> None:
    """Train the demo on embedded data: six tasks, five methods, a bundle and a report."""
    from stencilnet.cli.devices import on_devices
    from stencilnet.cli.work import carry_out
    from stencilnet.cores import cores

    engine = "processes" if cores() > 1 else "here"
    on_devices(1, lambda group: carry_out(f"demo/{size}", out, group=group, compare=True, resume=True, engine=engine))


@click.command(epilog=configs())
@click.argument("config")
@_out
@_root
@_only
@_resume
@_devices
@_on
@_ask
@_dry
@_json
@_set
def train(
    config: str,
    out: Path | None,
    root: Path,
    only: tuple[str, ...],
    resume: bool,
    devices: int,
    engine: str,
    asked: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
    overrides: tuple[str, ...],
) -> None:
    """Train the backbone on CONFIG's first task, then the others by its first method, into one bundle."""
    from stencilnet.cli.devices import on_devices
    from stencilnet.cli.work import carry_out

    _check_engine(engine, asked, devices)
    on_devices(
        devices,
        lambda group: carry_out(
            config,
            out,
            group=group,
            compare=False,
            root=root,
            only=only,
            resume=resume,
            dry_run=dry_run,
            as_json=as_json,
            engine=engine,
            asked=asked,
            overrides=overrides,
        ),
    )


@click.command(epilog=configs())
@click.argument("config")
@click.option(
    "--methods",
    cls=NamingOption,
    names=method_names,
    metavar="NAME,...",
    help="Names of CONFIG's methods, or of others, with default settings: {names}; `all`: every one that fits.  "
    "[default: CONFIG's]",
)
@_out
@_root
@_resume
@_devices
@_on
@_ask
@_dry
@_json
@_set
def compare(
    config: str,
    methods: str | None,
    out: Path | None,
    root: Path,
    resume: bool,
    devices: int,
    engine: str,
    asked: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
    overrides: tuple[str, ...],
) -> None:
    """Learn CONFIG's tasks by every method; write the paper's tables, figures and the forgetting matrices."""
    from stencilnet.cli.devices import on_devices
    from stencilnet.cli.work import carry_out

    chosen = tuple(name.strip() for name in methods.split(",")) if methods else ()
    _check_engine(engine, asked, devices)
    on_devices(
        devices,
        lambda group: carry_out(
            config,
            out,
            group=group,
            compare=True,
            root=root,
            methods=chosen,
            resume=resume,
            dry_run=dry_run,
            as_json=as_json,
            engine=engine,
            asked=asked,
            overrides=overrides,
        ),
    )


def _check_engine(engine: str, asked: tuple[str, ...], devices: int) -> None:
    if engine == "here" and asked:
        raise click.UsageError("--ask requires --on processes, ray or slurm.")
    if engine != "here" and devices > 1:
        raise click.UsageError(f"--devices requires --on here: on {engine}, each training uses one device.")


@click.command(epilog=configs())
@click.argument("bundle", type=BundleFolder(changed=True))
@click.argument("config")
@_root
@_only
@_resume
@_devices
@_set
def add(
    bundle: Path,
    config: str,
    root: Path,
    only: tuple[str, ...],
    resume: bool,
    devices: int,
    overrides: tuple[str, ...],
) -> None:
    """Learn the tasks of CONFIG that BUNDLE lacks, by CONFIG's first method; BUNDLE's own tasks do not change."""
    from stencilnet.cli.devices import on_devices
    from stencilnet.cli.work import add_to

    on_devices(
        devices,
        lambda group: add_to(bundle, config, group=group, root=root, only=only, resume=resume, overrides=overrides),
    )


@click.group(cls=Verbs)
def config() -> None:
    """Show configs."""


@config.command("list")
def list_() -> None:
    """List the shipped configs."""
    for name in shipped():
        say(name)


@config.command(epilog=configs())
@click.argument("name", metavar="CONFIG")
@_set
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(name: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Print CONFIG with every default written out."""
    from stencilnet.config.reading import read_config, to_plain, to_yaml

    experiment = read_config(name, overrides)
    if as_json:
        say_json(to_plain(experiment))
        return
    text = to_yaml(experiment)
    say((text if is_written_whole(text) else to_yaml(experiment, ascii_only=True)).rstrip("\n"))
