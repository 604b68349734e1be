"""From the hub to this machine: a repository as a folder, or its tasks straight into a bundle."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stencilnet.bundle import Merged, task_names
from stencilnet.bundle.format import BACKBONE, DELTA_LIMIT, GRAPH, JSON_LIMIT, TASK, TASKS, BundleError
from stencilnet.bundle.merge import merge_tasks, tasks_of
from stencilnet.bundle.sources import TaskSource
from stencilnet.runtime.verifying import verify
from stencilnet.sharing.contents import is_shared, read_config, tasks_in
from stencilnet.sharing.hub import Repository, download, download_all, look
from stencilnet.sharing.names import PREFIX, check_repository, read_source
from stencilnet.storage import creating, write_through


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """What `pull` put in place.

    Attributes:
        folder: The folder.
        commit: The commit that it is from.
        tasks: Names of its tasks, sorted.
        whole: Whether it is a bundle; False for tasks without the backbone's weights, which `merge` installs.
    """

    folder: Path
    commit: str
    tasks: tuple[str, ...]
    whole: bool


def pull(repository: str, folder: str | Path, *, revision: str | None = None) -> Pulled:
    """Download a bundle, or tasks alone, and put it in place once every file has been checked against its hash.

    Args:
        repository: ``OWNER/NAME`` on the hub.
        folder: Where to put it: a folder that does not exist or is empty.
        revision: A branch, a tag or a commit; by default the branch ``main``.

    Raises:
        BundleError: If the folder is taken, or the repository holds no bundle or a damaged one.
        HubError: If it cannot be downloaded. Run it again to continue: complete files stay in the hub's cache.
        UsageError: If the name is not ``OWNER/NAME``.
    """
    target = Path(folder).absolute()
    _check_free(target)
    found = look(check_repository(repository), revision)
    config = read_config(found)
    whole = BACKBONE in found.sizes
    paths = [path for path in found.sizes if is_shared(path, config) and (whole or path != GRAPH)]
    cached = download_all(found, paths)
    target.parent.mkdir(parents=True, exist_ok=True)
    with creating(target) as temporary:
        for path in paths:
            write_through(temporary / path, (cached / path).read_bytes())
        _check(temporary, found, whole=whole)
        names = tuple(task_names(temporary))
    return Pulled(folder=Path(folder), commit=found.commit, tasks=names, whole=whole)


def merge(path: str | Path, sources: Sequence[str | Path]) -> Merged:
    """Install the tasks of other bundles over the same backbone, as `stencilnet.bundle.merge` does, also from the hub.

    Of a repository, each task's record is read first; if one names another backbone, no weights are downloaded.

    Args:
        path: The bundle.
        sources: What `stencilnet.bundle.merge` takes, or ``hf:OWNER/NAME[/TASK][@REVISION]`` for a repository, or one
            task of it.

    Raises:
        BundleError: As for `stencilnet.bundle.merge`; nothing has been written.
        HubError: If a repository cannot be read; nothing has been written.
    """
    return merge_tasks(path, (task for source in sources for task in _tasks_of(source)))


def _tasks_of(source: str | Path) -> Iterator[TaskSource]:
    if not (isinstance(source, str) and source.startswith(PREFIX)):
        yield from tasks_of(source)
        return
    wanted = read_source(source)
    repository = look(wanted.repository, wanted.revision)
    names = [name for name in tasks_in(repository) if wanted.task in (None, name)]
    if not names:
        expected = f"{TASKS}/{wanted.task or '<name>'}/{TASK} in it"
        raise BundleError(repository.place, "nothing to merge", expected, "none", "Check the name.")
    for name in names:
        yield TaskSource(place=repository.place / TASKS / name, read=partial(_read, repository, name))


def _read(repository: Repository, task: str, name: str) -> bytes:
    return download(repository, f"{TASKS}/{task}/{name}", JSON_LIMIT if name == TASK else DELTA_LIMIT)


def _check_free(folder: Path) -> None:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    got = "a folder with files" if folder.is_dir() else "a file"
    raise BundleError(folder, "the place is taken", "an empty folder or none", got, "Use another -o.")


def _check(folder: Path, repository: Repository, *, whole: bool) -> None:
    report = verify(folder, backbone=whole)
    for finding in report.findings:
        if not finding.leftover:
            place = repository.place / Path(finding.file).relative_to(folder)
            remedy = "Nothing was put in place. Tell the repository's owner, or pull another revision."
            raise BundleError(place, finding.what, finding.expected, finding.got, remedy)
