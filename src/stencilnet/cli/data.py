"""Verbs on data sets: list, fetch, make."""

import shlex
import sys
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from stencilnet.cli.console import teller
from stencilnet.cli.streams import say, say_json
from stencilnet.cli.verbs import Verbs
from stencilnet.datasets.fetching.catalog import CATALOG
from stencilnet.text.escaping import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console
    from rich.progress import TaskID

_EVERY = 10.0

_NAMED = f"NAME is one of {', '.join(CATALOG)}; `stencil data list` describes them."


def _web_address(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    try:
        fits = value is None or (value.startswith(("http://", "https://")) and bool(urlsplit(value).hostname))
    except ValueError:  # urlsplit: unmatched brackets
        fits = False
    if not fits:
        raise click.BadParameter(f"expected an address that starts with http:// or https://, but got {value!r}.")
    return value


@click.group(cls=Verbs)
def data() -> None:
    """List, download and imitate the public data sets."""


@data.command("list")
@click.option(
    "--root", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="Data root.  [default: .]"
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else.")
def list_(root: Path, as_json: bool) -> None:
    """List the data sets with purpose, size, licence, and whether each is present under the root."""
    from stencilnet.datasets.fetching.listing import as_text, survey

    rows = survey(root)
    say_json({row.name: asdict(row) for row in rows}) if as_json else say(as_text(rows, root))


@data.command(epilog=_NAMED)
@click.argument("name", type=click.Choice(list(CATALOG)), metavar="NAME")
@click.option("--root", type=click.Path(path_type=Path, file_okay=False), required=True, help="Data root.")
@click.option(
    "--mirror",
    metavar="URL",
    callback=_web_address,
    help="Download the files from URL/<file name> instead of the publisher's server.",
)
@click.option("--keep-archives", is_flag=True, help="Keep the archives in ROOT/downloads instead of deleting them.")
def fetch(name: str, root: Path, mirror: str | None, keep_archives: bool) -> None:
    """Download data set NAME, check it, unpack it under the root, and make its label maps.

    Existing files are not downloaded again, and a broken download is resumed. An archive that you put in
    ROOT/downloads yourself is used.
    """
    from stencilnet.cli.console import console
    from stencilnet.datasets.fetching.listing import fetch_named
    from stencilnet.datasets.fetching.problems import human_bytes

    screen = console()
    try:
        with Meter(screen) as meter:
            transfer, work = partial(meter.tell, human_bytes), partial(meter.tell, "{:,}".format)
            new = fetch_named(name, root, transfer=transfer, work=work, mirror=mirror, keep_archives=keep_archives)
    except KeyboardInterrupt as interruption:
        again = shlex.join(["stencil", *sys.argv[1:]])
        teller(screen)(f"Interrupted; finished work is saved. Continue with: {again}")
        raise click.exceptions.Exit(1) from interruption
    say(f"{name} is {'ready' if new else 'complete already'}: {root}")


@data.command(epilog=_NAMED)
@click.argument("name", type=click.Choice([*CATALOG, "all"]), metavar="NAME")
@click.option("--root", type=click.Path(path_type=Path, file_okay=False), required=True, help="Data root.")
def make(name: str, root: Path) -> None:
    """Make a tiny replica of data set NAME (or of `all`) in its official layout, to try things out.

    The pictures are synthetic: they contain nothing of the real set, and nothing is downloaded.
    """
    from stencilnet.datasets.fetching.listing import make_named

    failed = False
    for each in CATALOG if name == "all" else [name]:
        try:
            new = make_named(each, root)
        except (ValueError, OSError) as error:  # the other sets are still made
            say(f"stencil: {error}", err=True)
            failed = True
            continue
        say(f"{each} {'made' if new else 'exists already'}: {root}")
    if failed:
        raise click.exceptions.Exit(1)


class Meter:
    """Shows the progress of several pieces of work: as bars on a terminal, elsewhere as a line every ten seconds."""

    def __init__(self, screen: "Console") -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        what, amount = (TextColumn(shown, markup=False) for shown in ("{task.description}", "{task.fields[amount]}"))
        columns = (what, BarColumn(), amount)
        self.bars = Progress(*columns, TimeRemainingColumn(), console=screen)
        self.screen = screen
        self.tasks: dict[str, TaskID] = {}
        self.ended: set[str] = set()
        self.said = time.monotonic()

    def __enter__(self) -> "Meter":
        if self.screen.is_terminal:
            self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.screen.is_terminal:
            self.bars.stop()

    def tell(self, words: "Callable[[int], str]", what: str, done: int, total: int) -> None:
        """Show the progress of one piece of work.

        Args:
            words: Formats an amount.
            what: Name of the work.
            done: Amount that is done.
            total: Total amount; 0 if unknown.
        """
        amount = f"{words(done)} of {words(total)}" if total else words(done)
        if self.screen.is_terminal:
            self._draw(what, done, total, amount)
            return
        now, ends = time.monotonic(), bool(total) and done >= total and what not in self.ended
        if ends or now - self.said >= _EVERY:
            self.said = now
            self.ended |= {what} if ends else set()
            teller(self.screen)(f"{what}: {amount}")

    def _draw(self, what: str, done: int, total: int, amount: str) -> None:
        if what not in self.tasks:
            self.tasks[what] = self.bars.add_task(printable(what), total=total or None, amount=amount)
        self.bars.update(self.tasks[what], completed=done, total=total or None, amount=amount)
