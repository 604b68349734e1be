"""From this machine to the hub: a bundle, or one task of it, as one commit of a repository."""

from dataclasses import dataclass
from pathlib import Path

from stencilnet.bundle import BundleError
from stencilnet.bundle.architecture import graph_file
from stencilnet.bundle.format import BACKBONE, CARD, CONFIG, GRAPH, TASK, TASKS, delta_name
from stencilnet.bundle.reading import read_config
from stencilnet.bundle.records import read_tasks
from stencilnet.bundle.schema import BundleConfig
from stencilnet.bundle.sources import read_with_columns
from stencilnet.errors import UsageError
from stencilnet.runtime.verifying import verify
from stencilnet.sharing import contents, hub
from stencilnet.sharing.cards import bundle_page, task_page
from stencilnet.sharing.names import check_repository
from stencilnet.sharing.problems import MissingRepositoryError
from stencilnet.text.shortening import listed

_NEUTRAL = frozenset({".gitattributes", ".gitignore", CARD, "LICENSE", "LICENSE.md", "LICENSE.txt"})
"""Files that a repository may have before the first push."""

Contents = dict[str, bytes | Path]
"""Contents of a repository's files, or where they are on this machine, by path."""


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """What `push` did.

    Attributes:
        url: The address of the commit.
        tasks: Names of the tasks that the repository now holds.
    """

    url: str
    tasks: tuple[str, ...]


def push(
    path: str | Path,
    repository: str,
    *,
    task: str | None = None,
    private: bool = False,
    base_model: str | None = None,
    license: str | None = None,  # noqa: A002  # the card's own word
    picture: bytes | None = None,
) -> Pushed:
    """Publish a bundle, or one of its tasks, as one commit of a model repository, which is created if it is missing.

    A task alone is published with its record, the backbone's config and hash, and the tasks whose columns it runs
    through, but without the backbone's weights. Files of the repository that the format does not know stay.

    Args:
        path: The bundle's folder.
        repository: ``OWNER/NAME`` on the hub.
        task: The task to publish alone; None for the whole bundle.
        private: Whether a new repository is seen by its owner only.
        base_model: For a task, the repository of a bundle over the same backbone.
        license: The license of the weights, as the hub names it (``apache-2.0``); None says nothing about it.
        picture: A JPEG picture for the card (`stencilnet.sharing.samples`).

    Raises:
        BundleError: If the bundle is damaged, there is no such task, or the repository holds something else: it is then
            unchanged.
        HubError: If the hub cannot be reached or refuses.
        UsageError: If a name is not ``OWNER/NAME``, or `base_model` is given for a bundle.
    """
    root, name = Path(path), check_repository(repository)
    if base_model is not None and task is None:
        raise UsageError("Expected `base_model` for a task alone: a bundle has its own backbone. Leave it out.")
    if base_model is not None:
        check_repository(base_model)
    config = read_config(root)
    more = {"license": license} if license else {}
    if task is None:
        files, tasks = _bundle_files(root, config)
        page = bundle_page(root, name, more=more, picture=picture is not None)
    else:
        whole = read_with_columns(root, task)
        tasks = tuple(each.place.name for each in whole)
        files = {f"{TASKS}/{each.place.name}/{file}": data for each in whole for file, data in each.files.items()}
        files[CONFIG] = root / CONFIG
        page = task_page(whole[0], config, name, more=more, base=base_model, picture=picture is not None)
    files |= {CARD: page.encode()} | ({contents.PICTURE: picture} if picture is not None else {})
    message = f"{'Bundle' if task is None else 'Task'}: {listed(tasks)}"
    url = _publish(name, files, config, message, alone=task is not None, private=private)
    return Pushed(url=url, tasks=tasks)


def _bundle_files(root: Path, config: BundleConfig) -> tuple[Contents, tuple[str, ...]]:
    """Return the files of a whole bundle and its tasks' names, after checking all of it."""
    for finding in verify(root).findings:
        if not finding.leftover:
            raise BundleError(finding.file, finding.what, finding.expected, finding.got, finding.remedy)
    tasks = read_tasks(root, config.backbone)
    inner = [f"{TASKS}/{name}/{file}" for name, each in tasks.items() for file in (TASK, delta_name(each.delta))]
    graph = [GRAPH] if graph_file(root, config) else []
    return {file: root / file for file in (CONFIG, BACKBONE, *graph, *inner)}, tuple(tasks)


def _publish(name: str, files: Contents, config: BundleConfig, message: str, *, alone: bool, private: bool) -> str:
    parent, removed = None, []
    try:
        before = hub.look(name)
    except MissingRepositoryError:
        hub.create(name, private=private)
    else:
        _check_fits(before, files, config, alone=alone, private=private)
        parent = before.commit
        removed = [file for file in before.sizes if contents.is_shared(file, config) and file not in files]
    return hub.commit(name, files, removed, message=message, parent=parent)


def _check_fits(before: hub.Repository, files: Contents, config: BundleConfig, *, alone: bool, private: bool) -> None:
    """Refuse to overwrite a repository that holds anything but an earlier state of what is pushed."""

    def refuse(what: str, expected: str, got: str) -> BundleError:
        return BundleError(before.place, what, expected, got, "Push to another repository.")

    if private and not before.private:
        raise refuse("the repository is public", "a private one, as asked", "a public one")
    if CONFIG not in before.sizes:
        others = sorted(before.sizes.keys() - _NEUTRAL)
        if others:
            raise refuse("the repository holds something else", "an empty one or a bundle's", listed(others, 5))
        return
    try:
        there = contents.read_config(before)
    except BundleError as error:
        raise refuse("the repository holds something else", "an empty one or a bundle's", f"{error.what}") from error
    if there.backbone != config.backbone:
        raise refuse("another backbone is published here", config.backbone, there.backbone)
    if alone and BACKBONE in before.sizes:
        raise refuse("a whole bundle is published here", "a repository for the task alone", "one with the backbone")
    others = [task for task in contents.tasks_in(before) if f"{TASKS}/{task}/{TASK}" not in files]
    if alone and others:
        raise refuse("other tasks are published here", "a repository for this task", listed(others, 5))
