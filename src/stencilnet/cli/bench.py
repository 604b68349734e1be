"""The verb `bench`, which measures; the benchmarks themselves are in the repository, beside `src`."""

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from stencilnet.cli.helping import NamingOption, configs
from stencilnet.cli.streams import say, say_json
from stencilnet.errors import NotInstalledError

FOLDER = Path(__file__).resolve().parents[3] / "benchmarks"
"""Where a checkout has the package `benchmarks`."""

_WITHOUT = {"device": "device", "width": "width", "size": "size", "rows": "row", "growth": "growth", "out": "out"}
_WITH = {"root": "root", "only": "only", "workers": "workers", "batches": "batches", "overrides": "set"}
"""Options that apply only without and only with a CONFIG, by parameter; the others apply to both."""


def load_benchmarks() -> None:
    """Import the package `benchmarks` from its folder, so that its modules can be imported; `sys.path` is not changed.

    Raises:
        NotInstalledError: If there is no such folder.
    """
    if "benchmarks" in sys.modules:
        return
    spec = importlib.util.spec_from_file_location("benchmarks", FOLDER / "__init__.py")
    assert spec is not None, "a .py file has a loader"
    assert spec.loader is not None, "a .py file has a loader"
    package = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(package)
    except FileNotFoundError as error:
        raise NotInstalledError(
            "stencil bench needs the benchmarks, which are in the repository of stencilnet and not in the package. "
            "In a clone of the repository, run: pip install --editable '.[train]'"
        ) from error
    sys.modules["benchmarks"] = package


def row_names() -> list[str]:
    """Return the names of the rows."""
    load_benchmarks()
    from benchmarks.table import ROWS

    return [row.name for row in ROWS]


@click.command(epilog=configs())
@click.argument("config", required=False)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--width", type=click.IntRange(min=1), help="Width of the network.  [default: 64, the paper's]")
@click.option("--size", type=click.IntRange(min=64), help="Side of an image, in pixels.  [default: 256]")
@click.option(
    "--row",
    "rows",
    multiple=True,
    metavar="ROW",
    cls=NamingOption,
    names=row_names,
    help="Measure only this row; may be repeated: {names}.",
)
@click.option(
    "--growth/--no-growth", default=True, help="Also measure how cost grows with width, image size and tasks."
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/bench"),
    show_default=True,
    help="Folder to write.",
)
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path(),
    help="With CONFIG: where its data folders are.  [default: .]",
)
@click.option("--only", multiple=True, metavar="TASK", help="With CONFIG: only this task; may be repeated.")
@click.option(
    "--workers",
    multiple=True,
    type=click.IntRange(min=0),
    metavar="N",
    help="With CONFIG: number of loader processes to try; may be repeated.  [default: 0, and one per core]",
)
@click.option(
    "--batches", type=click.IntRange(min=2), default=8, show_default=True, help="With CONFIG: batches per pass."
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="With CONFIG: override a setting.")
@click.option("--repetitions", type=int, default=5, show_default=True, help="Repetitions of each measurement.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else.")
@click.pass_context
def bench(context: click.Context, /, config: str | None, **options: Any) -> None:
    """Measure masks side by side with their alternatives: time, memory, size, and how they grow.

    With CONFIG: images per second of the data loader and of the training step, for each task.
    """
    from stencilnet.cli.console import use_all_cores

    wrong = _given(context, _WITH if config is None else _WITHOUT)
    if wrong:
        named = " and ".join([", ".join(wrong[:-1]), wrong[-1]] if wrong[1:] else wrong)
        requires = "require a CONFIG" if wrong[1:] else "requires a CONFIG"
        raise click.UsageError(f"{named} {requires if config is None else 'cannot be combined with a CONFIG'}.")
    load_benchmarks()
    use_all_cores()
    if config is None:
        _table(**{name: value for name, value in options.items() if name not in _WITH})
    else:
        _pipeline(config, **{name: value for name, value in options.items() if name not in _WITHOUT})


def _given(context: click.Context, names: Mapping[str, str]) -> list[str]:
    """Return which of the named options the user gave."""
    given = (name for name in names if context.get_parameter_source(name) is not ParameterSource.DEFAULT)
    return [f"--{names[name]}" for name in given]


def _table(
    *,
    device: str,
    width: int | None,
    size: int | None,
    rows: tuple[str, ...],
    growth: bool,
    out: Path,
    repetitions: int,
    as_json: bool,
) -> None:
    from benchmarks.machine import check_repetitions
    from benchmarks.report import as_plain, as_text, measure, write
    from benchmarks.rows import SIZE, WIDTH, Setting
    from benchmarks.table import check_rows
    from stencilnet.cli.console import console, teller
    from stencilnet.training.settings import Settings, resolve

    screen = console()
    try:
        check_repetitions(repetitions)
        check_rows(rows)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    out.mkdir(parents=True, exist_ok=True)
    found = resolve(Settings(device=device)).device  # type: ignore[arg-type]
    setting = Setting(
        device=found,
        width=width or WIDTH,
        size=size or SIZE,
        repetitions=repetitions,
        folder=out,
        say=teller(screen),
    )
    for report in measure(setting, rows, growth=growth and not rows):
        files = write(report, out)
    if as_json:
        say_json(as_plain(report))
        return
    say(as_text(report))
    for file in files:
        say(file)


def _pipeline(
    config: str,
    *,
    root: Path,
    only: tuple[str, ...],
    workers: tuple[int, ...],
    batches: int,
    repetitions: int,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    from benchmarks.machine import machine, machine_line
    from benchmarks.pipeline import measure_pipeline
    from benchmarks.render import pipeline_plain, pipeline_table
    from stencilnet.cli.console import console, teller
    from stencilnet.config.reading import check_names, read_config
    from stencilnet.cores import cores
    from stencilnet.evaluation.render import to_text
    from stencilnet.learning.checking import check_paths
    from stencilnet.training.settings import resolve

    screen = console()
    experiment = read_config(config, overrides)
    check_names(config, experiment, only=only)
    check_paths(config, experiment, root, fetch=False)
    rows = list(
        measure_pipeline(
            experiment,
            root,
            workers=workers or (0, cores()),
            only=only,
            batches=batches,
            repetitions=repetitions,
            say=teller(screen),
        )
    )
    here = machine(resolve(experiment.trainer).device)
    if as_json:
        pipeline = [pipeline_plain(row) for row in rows]
        say_json({"machine": here, "repetitions": repetitions, "pipeline": pipeline})
        return
    say(to_text(pipeline_table(rows)))
    say(machine_line(here))
