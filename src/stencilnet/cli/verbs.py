"""The group of verbs: a verb whose extra is not installed names it."""

from typing import Any

import click

from stencilnet.errors import explained

_WHOLE = 1000
"""Length at which a first sentence is cut off, in characters: more than any has."""


class Verbs(click.Group):
    """A group of verbs, whose help shows the whole first sentence of each."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs and what they do; click would cut the sentences off at the width of the terminal."""
        verbs = {name: self.commands[name] for name in self.list_commands(ctx)}
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.get_short_help_str(limit=_WHOLE)) for name, verb in verbs.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb that the user named.

        Raises:
            NotInstalledError: If the verb needs a package of an extra that is not installed.
        """
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            raise explained(error, f"{ctx.command_path} {ctx.invoked_subcommand}") from None
