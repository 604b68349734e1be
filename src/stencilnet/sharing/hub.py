"""The hub, through huggingface_hub: what a repository holds, its files, and a commit.

Tokens, the hub's address, the cache and being offline are huggingface_hub's own settings; nothing here reads them.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stencilnet.bundle.format import BundleError
from stencilnet.sharing.problems import HubError, explained


@dataclass(frozen=True, kw_only=True)
class Repository:
    """A model repository at one commit.

    Attributes:
        name: ``OWNER/NAME``.
        commit: The commit's hash.
        sizes: Bytes of its files by path.
        private: Whether only its owner sees it.
    """

    name: str
    commit: str
    sizes: Mapping[str, int]
    private: bool

    @property
    def place(self) -> Path:
        """The repository as the root of its files' paths, for error messages."""
        return Path(f"hf:{self.name}")


def look(name: str, revision: str | None = None) -> Repository:
    """Return what a repository holds; its files are not downloaded.

    Args:
        name: ``OWNER/NAME``.
        revision: A branch, a tag or a commit; None for the branch ``main``.

    Raises:
        HubError: If it is missing or cannot be read.
    """
    from huggingface_hub import HfApi

    with _explaining(name):
        found = HfApi(library_name="stencilnet").model_info(name, revision=revision, files_metadata=True)
    sizes = {file.rfilename: file.size or 0 for file in found.siblings or []}
    return Repository(name=name, commit=found.sha or "", sizes=sizes, private=bool(found.private))


def download(repository: Repository, path: str, limit: int) -> bytes:
    """Return the content of one file; a file that the cache holds is not downloaded again.

    Args:
        repository: The repository.
        path: The file's path in it.
        limit: Most bytes: a larger file is not downloaded.

    Raises:
        BundleError: If there is no such file, or it is too large.
        HubError: If it cannot be downloaded.
    """
    from huggingface_hub import hf_hub_download

    place, size = repository.place / path, repository.sizes.get(path)
    remedy = "Tell its owner, or use another revision."
    if size is None:
        raise BundleError(place, "missing", "a file of the repository", "none", remedy)
    if size > limit:
        raise BundleError(place, "too large", f"at most {limit:,} bytes", f"{size:,} bytes", remedy)
    with _explaining(repository.name):
        return Path(hf_hub_download(repository.name, path, revision=repository.commit)).read_bytes()


def download_all(repository: Repository, paths: list[str]) -> Path:
    """Return a folder of the cache that has all of these files; those that it had are not downloaded again.

    Raises:
        HubError: If they cannot be downloaded.
    """
    from huggingface_hub import snapshot_download

    with _explaining(repository.name):
        folder = Path(snapshot_download(repository.name, revision=repository.commit, allow_patterns=paths))
    for path in paths:
        if not (folder / path).exists():  # offline, huggingface_hub is content with what there is
            raise HubError(f"{repository.place / path}: the connection broke. Run the same command again to go on.")
    return folder


def create(name: str, *, private: bool) -> None:
    """Create an empty model repository.

    Raises:
        HubError: If it cannot be created.
    """
    from huggingface_hub import HfApi

    with _explaining(name):
        HfApi(library_name="stencilnet").create_repo(name, private=private or None)  # None: as the owner's settings say


def commit(
    name: str, files: Mapping[str, bytes | Path], removed: list[str], *, message: str, parent: str | None
) -> str:
    """Add files to a repository and remove others, in one commit, and return the commit's address.

    Args:
        name: ``OWNER/NAME``.
        files: Contents, or where they are on this machine, by path in the repository.
        removed: Paths of the files to remove.
        message: The commit's message.
        parent: The commit that must be the latest one; None for any.

    Raises:
        HubError: If it fails; the repository is unchanged.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    with _explaining(name):
        done = HfApi(library_name="stencilnet").create_commit(
            name,
            [
                *(CommitOperationAdd(path, content) for path, content in files.items()),
                *(CommitOperationDelete(path) for path in removed),
            ],
            commit_message=message,
            parent_commit=parent,
        )
    return done.commit_url


@contextmanager
def _explaining(name: str) -> Iterator[None]:
    """Turn every failure of the hub into one line; an error of this machine, such as a full disk, stays what it is."""
    try:
        yield
    except HubError:
        raise
    except Exception as error:  # huggingface_hub raises errors of four families, and its HTTP library's
        problem = explained(name, error)
        if problem is None:
            raise
        raise problem from error
