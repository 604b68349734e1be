"""Wires a config, the screen and a run together for the verbs that learn."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stencilnet.cli.console import console, log_to, stop_on_signal, use_all_cores

if TYPE_CHECKING:
    from rich.console import Console

    from stencilnet.experiment.session import Session
    from stencilnet.training.sinks import Sink


def carry_out(
    source: str,
    out: Path | None,
    *,
    compare: bool,
    root: Path = Path(),
    methods: tuple[str, ...] = (),
    only: tuple[str, ...] = (),
    resume: bool = False,
    dry_run: bool = False,
    overrides: tuple[str, ...] = (),
) -> None:
    """Read a config, check its data, and run it into a folder; ends with the report."""
    from stencilnet.experiment.planning import describe
    from stencilnet.experiment.reading import check_names, check_paths, read_config
    from stencilnet.experiment.reporting import write_report
    from stencilnet.experiment.run import Run

    screen = console()
    log_to(screen)
    use_all_cores()
    experiment = read_config(source, overrides)
    check_names(source, experiment, methods=methods, only=only)
    check_paths(source, experiment, root)
    if dry_run:
        shown = methods or tuple(plan.method.name for plan in experiment.methods[: None if compare else 1])
        click.echo(describe(experiment, root, methods=shown, only=only))
        return
    folder = out or Path("runs") / Path(source).stem
    with _session(screen, folder, root, only=only, methods=methods, resume=resume) as session:
        run = Run(experiment, session)
        if compare:
            run.compare()
        else:
            run.learn(experiment.methods[0])
        report = write_report(run)
    if (folder / "bundle").exists():
        click.echo(f"bundle  {folder / 'bundle'}")
    click.echo(f"report  {report}")


def add_to(
    bundle: Path, source: str, *, root: Path, only: tuple[str, ...], resume: bool, overrides: tuple[str, ...]
) -> None:
    """Read a config, check its data, and learn its tasks into a bundle; checkpoints lie beside the bundle."""
    from stencilnet.experiment.adding import add_tasks
    from stencilnet.experiment.reading import check_names, check_paths, read_config

    screen = console()
    log_to(screen)
    use_all_cores()
    experiment = read_config(source, overrides)
    check_names(source, experiment, only=only)
    check_paths(source, experiment, root)
    with _session(
        screen, bundle.resolve().with_name(f"{bundle.resolve().name}.training"), root, only=only, resume=resume
    ) as session:
        added = add_tasks(bundle, experiment, session)
    click.echo(f"added   {', '.join(added) or 'nothing: the bundle has all of these tasks'}")


@contextmanager
def _session(
    screen: "Console",
    out: Path,
    root: Path,
    *,
    only: tuple[str, ...] = (),
    methods: tuple[str, ...] = (),
    resume: bool,
) -> "Iterator[Session]":
    """Make the session; if it is interrupted, say how to go on."""
    from stencilnet.experiment.session import Session
    from stencilnet.training.fit import Interrupted
    from stencilnet.training.progress import ProgressBar
    from stencilnet.training.sinks import TensorBoard, tensorboard_installed

    sinks: list[Sink] = [ProgressBar(screen)]
    if tensorboard_installed():
        sinks.append(TensorBoard())
    with stop_on_signal() as wish:
        try:
            yield Session(
                out=out,
                root=root,
                resume=resume,
                only=only,
                methods=methods,
                sinks=sinks,
                stop=wish.is_set,
                announce=screen.print,
                command=shlex.join(["stencil", *sys.argv[1:]]),
            )
        except (Interrupted, KeyboardInterrupt) as interruption:
            words = [word for word in sys.argv[1:] if word != "--resume"]
            again = shlex.join(["stencil", *words, *([] if words[0] == "demo" else ["--resume"])])
            screen.print(f"Interrupted. What is done is kept. Go on with: {again}", markup=False)
            raise click.exceptions.Exit(1) from interruption
