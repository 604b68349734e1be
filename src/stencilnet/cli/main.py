"""Entry point: the group of verbs, and the conversion of failures to messages and exit codes."""

import io
import os

import click

from stencilnet.cli.bench import bench
from stencilnet.cli.data import data
from stencilnet.cli.devices import leave
from stencilnet.cli.exporting import export
from stencilnet.cli.learning import add, compare, config, demo, train
from stencilnet.cli.serve import serve
from stencilnet.cli.sharing import pack, pull, push
from stencilnet.cli.shipping import analyze, blend, evaluate, info, merge, remove, run, verify
from stencilnet.cli.streams import prepare_streams, say
from stencilnet.cli.teach import teach
from stencilnet.cli.verbs import Verbs
from stencilnet.errors import NotInstalledError, UsageError
from stencilnet.text.escaping import one_line
from stencilnet.text.shortening import shorten

_LONGEST = 100_000
"""Maximum length of an error, in characters: a config's mistakes may fill a page, but the output stays bounded."""


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="stencilnet")
def stencil() -> None:
    """One network, many image tasks: each new task costs a bit per weight or less and never changes the old ones."""


for verb in (
    demo,
    train,
    add,
    teach,
    merge,
    pack,
    push,
    pull,
    remove,
    run,
    export,
    serve,
    evaluate,
    compare,
    analyze,
    blend,
    info,
    verify,
    bench,
    config,
    data,
):
    stencil.add_command(verb)


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 the work failed, 2 usage error."""
    prepare_streams()
    leave(_run())


def _run() -> int:
    """Run the command line, report its failures, and return the exit code."""
    try:
        return stencil.main(standalone_mode=False) or 0  # what `click.exceptions.Exit` carried, or None
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(file=shown)
        say(shown.getvalue().rstrip("\n"), err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        say("stencil: interrupted", err=True)
        return 1
    except NotInstalledError as error:
        say(error, err=True)
        return 1
    except (ValueError, OSError) as error:  # user errors; anything else is a bug, and shows its traceback
        say(f"stencil: {shorten(_explained(error), _LONGEST)}", err=True)
        return 2 if isinstance(error, UsageError) else 1


def _explained(error: ValueError | OSError) -> str:
    """Return an error's text; a system's own gets a remedy."""
    if not isinstance(error, OSError) or error.filename is None or error.strerror is None:
        return str(error)
    name = one_line(os.fsdecode(error.filename))
    return f"Cannot access {name}: {error.strerror}. Check the path, its permissions and the free space on its disk."
