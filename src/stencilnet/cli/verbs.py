"""The group of verbs: a verb whose extra is not installed names it."""

from typing import Any

import click

from stencilnet.errors import explained


class Verbs(click.Group):
    """A group of verbs."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb that the user named.

        Raises:
            NotInstalledError: If the verb needs a package of an extra that is not installed.
        """
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            raise explained(error, f"{ctx.command_path} {ctx.invoked_subcommand}") from None
