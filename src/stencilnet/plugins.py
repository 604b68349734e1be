"""Loads what other packages register: the entry points of a group, with errors that name the package."""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from stencilnet.text.shortening import brief

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


class PluginError(ValueError):
    """An installed package registers something that cannot be used; the message names the package and the remedy."""


def _accept(name: str, value: object) -> None:
    """Accept any object."""


def load(
    group: str, *, taken: Collection[str] = (), check: Callable[[str, object], None] = _accept
) -> dict[str, object]:
    """Load all objects that installed packages register in a group of entry points.

    Args:
        group: Name of the group, such as ``stencilnet.tasks``.
        taken: Names that no package may register, such as those of built-in members; none by default.
        check: Called with each name and its object; raises an error that says what is wrong with the object. Accepts
            any object by default.

    Returns:
        The objects by the names of their entry points, in alphabetical order.

    Raises:
        PluginError: If an object cannot be imported or is not accepted, or a name is taken or registered twice.
    """
    from importlib.metadata import entry_points  # takes 20 ms, and most runs need no other packages

    found: dict[str, object] = {}
    packages: dict[str, str] = {}
    for point in sorted(entry_points(group=group), key=lambda point: (point.name, _package(point))):
        package = _package(point)
        if point.name in taken:
            raise _error(point, "this name is built in")
        if point.name in packages:
            raise _error(point, f"package {brief(packages[point.name])} registers this name too")
        try:
            value = point.load()
            check(point.name, value)
        except Exception as error:  # an import runs any code of the package
            raise _error(point, f"{type(error).__name__}: {error}") from error
        found[point.name], packages[point.name] = value, package
    return found


def _package(point: "EntryPoint") -> str:
    return "unknown" if point.dist is None else point.dist.name


def _error(point: "EntryPoint", fault: str) -> PluginError:
    return PluginError(
        f"Package {brief(_package(point))} registers {brief(point.name)} in the entry point group `{point.group}` as "
        f"{brief(point.value)}, which cannot be used: {fault}. Repair or uninstall the package."
    )
