"""Help texts that list choices, taken from where they are defined."""

from collections.abc import Callable, Iterable
from typing import Any

import click

from stencilnet.config.shipped import shipped
from stencilnet.errors import NotInstalledError, explained


class NamingOption(click.Option):
    """An option whose help lists choices that are looked up only when the help is shown, since this may load torch.

    Args:
        parameters: As for `click.Option`.
        names: Returns the choices, which replace ``{names}`` in the option's help. If what defines them is not
            installed, the help says so in their place.
        options: As for `click.Option`.
    """

    def __init__(self, *parameters: Any, names: Callable[[], Iterable[str]], **options: Any) -> None:
        super().__init__(*parameters, **options)
        self._names = names

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the option and its help as click shows them."""
        found = super().get_help_record(ctx)
        return None if found is None else (found[0], found[1].replace("{names}", self._listed()))

    def _listed(self) -> str:
        try:
            return ", ".join(self._names())
        except ImportError as error:
            reason = explained(error, "their list")
            if not isinstance(reason, NotInstalledError):
                raise
            return f"({reason})"


def configs() -> str:
    """Return the help text of the argument CONFIG."""
    return f"CONFIG is a file, or the name of a shipped config: {', '.join(shipped())}."


def method_names() -> list[str]:
    """Return the names of all methods."""
    from stencilnet.methods import registered

    return list(registered())
