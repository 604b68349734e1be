"""The verb that measures: bench."""

import json
from pathlib import Path

import click


@click.command()
@click.argument("config")
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path(),
    help="Where the config's data folders are.  [default: .]",
)
@click.option("--only", multiple=True, metavar="TASK", help="Measure this task only; may be repeated.")
@click.option(
    "--workers",
    multiple=True,
    type=click.IntRange(min=0),
    metavar="N",
    help="Loading processes to try; may be repeated.  [default: 0, and one a core]",
)
@click.option("--batches", type=click.IntRange(min=2), default=8, show_default=True, help="Batches in a pass.")
@click.option("--repetitions", type=int, default=3, show_default=True, help="How often each number is taken.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override, e.g. trainer.device=cpu.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def bench(
    config: str,
    root: Path,
    only: tuple[str, ...],
    workers: tuple[int, ...],
    batches: int,
    repetitions: int,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Measure for CONFIG's tasks how many images a second are loaded, and how many a training step takes."""
    from stencilnet.bench.machine import machine
    from stencilnet.bench.pipeline import measure_pipeline
    from stencilnet.bench.render import pipeline_plain, pipeline_table
    from stencilnet.cli.console import console, cores, use_all_cores
    from stencilnet.evaluation.render import to_text
    from stencilnet.experiment.reading import check_names, check_paths, read_config
    from stencilnet.training.settings import resolve

    screen = console()
    use_all_cores()
    experiment = read_config(config, overrides)
    check_names(config, experiment, only=only)
    check_paths(config, experiment, root, fetch=False)
    tried = workers or (0, cores())
    rows = list(
        measure_pipeline(
            experiment,
            root,
            workers=tried,
            only=only,
            batches=batches,
            repetitions=repetitions,
            say=screen.print,
        )
    )
    here = machine(resolve(experiment.trainer).device)
    if as_json:
        pipeline = [pipeline_plain(row) for row in rows]
        click.echo(json.dumps({"machine": here, "repetitions": repetitions, "pipeline": pipeline}, indent=2))
        return
    click.echo(to_text(pipeline_table(rows)))
    click.echo(f"{here['date']}, commit {here['commit'] or '-'}, torch {here['torch']}, {here['hardware']}")
