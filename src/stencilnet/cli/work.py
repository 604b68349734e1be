"""Wires a config, the screen and a run together for the verbs that learn."""

import logging
from pathlib import Path

import click

from stencilnet.cli.console import console, log_to, stop_on_signal, use_all_cores


def carry_out(
    source: str,
    out: Path | None,
    *,
    verb: str,
    root: Path = Path(),
    methods: tuple[str, ...] | None = None,
    only: tuple[str, ...] = (),
    resume: bool = False,
    dry_run: bool = False,
    overrides: tuple[str, ...] = (),
) -> None:
    """Read a config, check its data, and run it into a folder; ends with the report."""
    from stencilnet.experiment.planning import describe
    from stencilnet.experiment.reading import check_paths, choose, read_config
    from stencilnet.experiment.reporting import write_report
    from stencilnet.experiment.run import Run, Session
    from stencilnet.training.sinks import Progress

    screen = console()
    log_to(screen)
    use_all_cores()
    experiment = choose(source, read_config(source, overrides), methods=methods, only=only)
    check_paths(source, experiment, root)
    if dry_run:
        click.echo(describe(experiment, root))
        return
    folder = out or Path("runs") / Path(source).stem
    with stop_on_signal() as wish:
        session = Session(
            out=folder, root=root, resume=resume, only=only, sinks=(Progress(screen),), stop=wish.is_set, announce=screen.rule
        )
        run = Run(experiment, session)
        try:
            run.compare() if verb in ("compare", "demo") else run.learn(experiment.methods[0])
        except KeyboardInterrupt:
            logging.getLogger(__name__).warning("Stopped. What is done is kept.")
            raise
    report = write_report(run)
    click.echo(f"bundle  {run.folder.path / 'bundle'}")
    click.echo(f"report  {report}")
