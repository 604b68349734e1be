"""Connects config, terminal and run for the verbs that train."""

import errno
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stencilnet.cli.console import console, stop_on_signal, teller, use_all_cores
from stencilnet.cli.streams import say, say_json

if TYPE_CHECKING:
    from rich.console import Console

    from stencilnet.cluster import Ask
    from stencilnet.config.schema import Experiment
    from stencilnet.experiment.session import Session
    from stencilnet.training.distributed import Group
    from stencilnet.training.sinks import Sink

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a full disk, a used-up quota, and a file larger than the system or the shell allows."""


def carry_out(
    source: str,
    out: Path | None,
    *,
    group: "Group",
    compare: bool,
    root: Path = Path(),
    methods: tuple[str, ...] = (),
    only: tuple[str, ...] = (),
    resume: bool = False,
    dry_run: bool = False,
    as_json: bool = False,
    engine: str = "here",
    asked: tuple[str, ...] = (),
    overrides: tuple[str, ...] = (),
) -> None:
    """Read a config, check its data, run it in a run folder, and write the report."""
    if as_json and not dry_run:
        raise click.UsageError("--json requires --dry-run.")
    from stencilnet.cluster import FanError, fan_out
    from stencilnet.config.choosing import with_methods
    from stencilnet.config.reading import ConfigError, check_names, read_config
    from stencilnet.experiment.reporting import write_report
    from stencilnet.experiment.run import Run
    from stencilnet.experiment.session import check_devices
    from stencilnet.learning.checking import check_paths

    screen = console()
    use_all_cores()
    try:
        experiment, methods = with_methods(read_config(source, overrides), methods)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(source, [f"--methods: {error}"]) from error
    check_names(source, experiment, methods=methods, only=only)
    check_devices(source, experiment, group, only)
    check_paths(source, experiment, root, fetch=not dry_run)
    ask = None if engine == "here" else _ask_of(engine, asked)
    chosen = methods or tuple(plan.name for plan in experiment.methods[: None if compare else 1])
    if dry_run:
        _show_plan(screen, experiment, root, methods=chosen, only=only, devices=group.size, as_json=as_json)
        return
    folder = out or Path("runs") / Path(source).stem
    failures: dict[str, str] = {}
    with training_session(screen, folder, root, group, only=only, methods=chosen, resume=resume) as session:
        run = Run(experiment, session)
        if ask is None:
            run.compare()
        else:
            failures = fan_out(run, ask)
        report = write_report(run)
    if (folder / "bundle").exists():
        say(f"bundle  {folder / 'bundle'}")
    say(f"report  {report}")
    if failures:
        raise FanError(failures)


def _ask_of(engine: str, asked: tuple[str, ...]) -> "Ask":
    from stencilnet.cluster import read_ask

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would send usage statistics
    return read_ask(engine, asked)


def _show_plan(
    screen: "Console",
    experiment: "Experiment",
    root: Path,
    *,
    methods: tuple[str, ...],
    only: tuple[str, ...],
    devices: int,
    as_json: bool,
) -> None:
    from stencilnet.experiment.forecast import forecast
    from stencilnet.experiment.planning import as_plain, describe

    found = forecast(experiment, root, methods=methods, only=only, devices=devices, say=teller(screen))
    say_json(as_plain(found)) if as_json else say(describe(found))


def add_to(
    bundle: Path,
    source: str,
    *,
    group: "Group",
    root: Path,
    only: tuple[str, ...],
    resume: bool,
    overrides: tuple[str, ...],
) -> None:
    """Read a config, check its data, and learn its tasks into a bundle; checkpoints are stored beside the bundle."""
    from stencilnet.config.reading import check_names, read_config
    from stencilnet.experiment.adding import add_tasks
    from stencilnet.experiment.session import check_devices
    from stencilnet.learning.checking import check_paths

    screen = console()
    use_all_cores()
    experiment = read_config(source, overrides)
    check_names(source, experiment, only=only)
    check_devices(source, experiment, group, only)
    check_paths(source, experiment, root, backbone=False)
    folder = bundle.resolve().with_name(f"{bundle.resolve().name}.training")
    with training_session(screen, folder, root, group, only=only, resume=resume) as session:
        added = add_tasks(bundle, experiment, session)
    say(f"added   {', '.join(added) or 'nothing: the bundle has all of these tasks'}")


@contextmanager
def training_session(
    screen: "Console",
    out: Path,
    root: Path,
    group: "Group",
    *,
    only: tuple[str, ...] = (),
    methods: tuple[str, ...] = (),
    resume: bool,
) -> "Iterator[Session]":
    """Create the session; when it is interrupted or the disk is full, print the command that continues it."""
    from stencilnet.experiment.session import Session
    from stencilnet.training.fit import Interrupted
    from stencilnet.training.progress import ProgressBar
    from stencilnet.training.sinks import TensorBoard, tensorboard_installed

    sinks: list[Sink] = [ProgressBar(screen)]
    if tensorboard_installed():
        sinks.append(TensorBoard())
    with stop_on_signal() as request:
        try:
            yield Session(
                out=out,
                root=root,
                resume=resume,
                only=only,
                methods=methods,
                sinks=sinks,
                stop=request.is_set,
                announce=teller(screen),
                command=shlex.join(["stencil", *sys.argv[1:]]),
                group=group,
            )
        except (Interrupted, KeyboardInterrupt, OSError) as reason:
            if isinstance(reason, OSError) and reason.errno not in FULL:
                raise
            words = [word for word in sys.argv[1:] if word != "--resume"]
            by_hand = group.size > 1 and not any(word.startswith("--devices") for word in words)
            program = "torchrun ... -m stencilnet" if by_hand else "stencil"
            again = f"{program} {shlex.join([*words, *([] if words[0] in ('demo', 'teach') else ['--resume'])])}"
            what = "Interrupted"
            if isinstance(reason, OSError):
                what = f"Cannot write {reason.filename or 'a file'}: {reason.strerror}. Free disk space"
            teller(screen)(f"{what}; finished work is saved. Continue with: {again}")
            raise click.exceptions.Exit(1) from reason
