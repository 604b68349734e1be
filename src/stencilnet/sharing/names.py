"""Names of repositories and of what they hold: ``OWNER/NAME``, and ``hf:OWNER/NAME/TASK@REVISION`` among paths."""

import re
from dataclasses import dataclass

from stencilnet.bundle.format import check_name
from stencilnet.errors import UsageError
from stencilnet.text.shortening import brief

PREFIX = "hf:"
"""Beginning of a source that is a repository of a hub, not a path."""

_WORD = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_REPOSITORY = re.compile(rf"{_WORD}/{_WORD}")
_SOURCE = re.compile(rf"({_WORD}/{_WORD})(?:/([^/@]+))?(?:@(.+))?")


@dataclass(frozen=True, kw_only=True)
class HubSource:
    """A repository as a source of tasks.

    Attributes:
        repository: ``OWNER/NAME``.
        task: The one task that is meant; None for all.
        revision: A branch, a tag or a commit; None for the branch ``main``.
    """

    repository: str
    task: str | None
    revision: str | None


def check_repository(name: str) -> str:
    """Return a repository's name.

    Raises:
        UsageError: If it is not ``OWNER/NAME``.
    """
    if not _REPOSITORY.fullmatch(name):
        raise UsageError(f"Expected a repository's name, OWNER/NAME, but got {brief(name)}.")
    return name


def read_source(text: str) -> HubSource:
    """Read ``hf:OWNER/NAME[/TASK][@REVISION]``.

    Raises:
        BundleError: If the task's name is not valid.
        UsageError: If the text is not of this form.
    """
    found = _SOURCE.fullmatch(text.removeprefix(PREFIX))
    if found is None:
        raise UsageError(f"Expected {PREFIX}OWNER/NAME, with /TASK and @REVISION if need be, but got {brief(text)}.")
    repository, task, revision = found.groups()
    return HubSource(repository=repository, task=task and check_name(task), revision=revision)
