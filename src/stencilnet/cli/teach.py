"""The verb teach: a new task from folders, without a config."""

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stencilnet.cli.bundles import BundleFolder
from stencilnet.cli.streams import is_written_whole, say, say_json, say_json_line

if TYPE_CHECKING:
    from rich.console import Console

    from stencilnet.teaching.request import LessonForm, Request

_folder = click.Path(path_type=Path, file_okay=False, exists=True)


@click.command()
@click.argument("bundle", type=BundleFolder(changed=True))
@click.argument("name")
@click.option(
    "--pairs", nargs=2, type=_folder, metavar="BEFORE AFTER", help="Two folders of pictures of the same names."
)
@click.option(
    "--labels", nargs=2, type=_folder, metavar="IMAGES LABELS", help="Photos, and label maps of the same names."
)
@click.option(
    "--style",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="PAINTING",
    help="A picture to paint like; with --photos.",
)
@click.option(
    "--restore", type=click.Choice(["noise", "blur", "downscale", "holes"]), help="A damage to undo; with --photos."
)
@click.option("--photos", type=_folder, help="Photos for --style, clean photos for --restore.")
@click.option(
    "--classes", metavar="NAME,...", help="With --labels: names of the classes, in the order of their indices from 0."
)
@click.option(
    "--threshold",
    type=click.IntRange(1, 255),
    help="With --labels: label maps are gray, and marked from this value on.",
)
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Time for the training.  [default: 5]")
@click.option("--steps", type=click.IntRange(min=1), help="Number of steps, in place of --minutes.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of config, curves and sample pictures.  [default: BUNDLE.teaching/NAME]",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Check everything, measure a few steps, print the config and the time it takes, and stop.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--events",
    "as_events",
    is_flag=True,
    help="For a program that follows the training: print what happens as JSON, one object a line, and stop when the "
    "process that started it has ended.",
)
def teach(
    bundle: Path,
    name: str,
    pairs: tuple[Path, Path] | None,
    labels: tuple[Path, Path] | None,
    style: Path | None,
    restore: str | None,
    photos: Path | None,
    classes: str | None,
    threshold: int | None,
    minutes: float | None,
    steps: int | None,
    out: Path | None,
    dry_run: bool,
    as_json: bool,
    as_events: bool,
) -> None:
    """Teach BUNDLE the new task NAME from folders; its other tasks do not change.

    Give one of --pairs, --labels, --style and --restore. Config and settings are chosen from what the folders hold,
    shown, and saved, so that `stencil add` can refine them. Interrupted by Ctrl-C, the same command continues.
    """
    parent = os.getppid()  # before the imports, which take seconds
    from stencilnet.cli.console import console, teller, use_all_cores
    from stencilnet.cli.work import training_session
    from stencilnet.teaching.planning import as_yaml, prepare
    from stencilnet.teaching.request import Request
    from stencilnet.teaching.teaching import teach as carry_out
    from stencilnet.teaching.wording import as_plain, conclude, describe
    from stencilnet.training.distributed import ALONE

    if minutes is not None and steps is not None:
        raise click.UsageError("--minutes decides the number of steps: pass either it or --steps.")
    if as_events and (as_json or dry_run):
        raise click.UsageError("--events cannot be combined with --json or --dry-run. Omit one of them.")
    form = _form(pairs, labels, style, restore, photos, classes, threshold)
    request = Request(bundle=bundle, name=name, form=form, minutes=minutes or 5.0, steps=steps, out=out)
    screen = console()
    logging.getLogger("stencilnet").setLevel(logging.WARNING)  # what matters is said below, in plain words
    use_all_cores()
    tell = teller(screen)
    if as_events:
        _report(request, screen, parent)
        return
    lesson = prepare(request, tell)
    if dry_run and as_json:
        say_json(as_plain(lesson))
        return
    for line in (*describe(lesson).splitlines(), *lesson.notes):
        say(line) if dry_run else tell(line)
    if dry_run:
        text = as_yaml(lesson)
        say(f"\n{text if is_written_whole(text) else as_yaml(lesson, ascii_only=True)}".rstrip("\n"))
        return
    with training_session(screen, request.folder, lesson.root, ALONE, resume=True) as session:
        taught = carry_out(lesson, session)
    say_json(as_plain(lesson, taught)) if as_json else say(conclude(lesson, taught))


def _report(request: "Request", screen: "Console", parent: int) -> None:
    """Carry out a request for a program that follows it; when the process `parent` has ended, nobody wants the task.

    Raises:
        ValueError: If the training is interrupted or the disk is full. It names no command that continues, as a person
            is told.
    """
    from stencilnet.cli.work import FULL, training_session
    from stencilnet.teaching.events import Events
    from stencilnet.teaching.planning import prepare
    from stencilnet.teaching.teaching import teach as carry_out
    from stencilnet.training.distributed import ALONE
    from stencilnet.training.fit import Interrupted

    events = Events(say_json_line)
    lesson = prepare(request, events.note)
    events.plan(lesson)
    with training_session(screen, request.folder, lesson.root, ALONE, resume=True) as session:
        followed = replace(session, sinks=[events], stop=lambda: session.stop() or os.getppid() != parent)
        try:
            events.result(carry_out(lesson, followed, events.trivial))
        except Interrupted as error:
            raise ValueError("The training was ended from outside. Teach again.") from error
        except OSError as error:
            if error.errno not in FULL:
                raise
            place = error.filename or "a file"
            raise ValueError(f"Cannot write {place}: {error.strerror}. Free disk space, and teach again.") from error


def _form(
    pairs: tuple[Path, Path] | None,
    labels: tuple[Path, Path] | None,
    style: Path | None,
    restore: str | None,
    photos: Path | None,
    classes: str | None,
    threshold: int | None,
) -> "LessonForm":
    """Return what to learn from; exactly one form must have been given, with what belongs to it."""
    from stencilnet.teaching.request import Labels, Pairs, Restore, Style

    given = {"--pairs": pairs, "--labels": labels, "--style": style, "--restore": restore}
    forms = [option for option, value in given.items() if value is not None]
    if len(forms) != 1:
        got = f"got {' and '.join(forms)}" if forms else "got none of them"
        raise click.UsageError(f"Pass one of {', '.join(given)}, but {got}.")
    if (photos is not None) != (style is not None or restore is not None):
        raise click.UsageError(
            f"--photos is for --style and --restore only, but got {forms[0]}. Omit --photos."
            if photos
            else f"{forms[0]} needs --photos FOLDER."
        )
    if labels is None and (classes is not None or threshold is not None):
        raise click.UsageError("--classes and --threshold are for --labels only. Omit them, or use --labels.")
    if pairs is not None:
        return Pairs(before=pairs[0], after=pairs[1])
    if labels is not None:
        names = tuple(name.strip() for name in classes.split(",")) if classes else ()
        return Labels(images=labels[0], labels=labels[1], classes=names, threshold=threshold)
    assert photos is not None, "checked above"
    if style is not None:
        return Style(painting=style, photos=photos)
    return Restore(damage=restore, photos=photos)  # type: ignore[arg-type]  # click has checked it
