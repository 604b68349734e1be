"""What is shared: a bundle, or tasks alone. A repository is laid out like a bundle's folder.

Tasks alone have their folders and the backbone's ``config.json`` with its hash, but not its weights.
"""

from stencilnet.bundle.architecture import KNOWN
from stencilnet.bundle.format import CARD, CONFIG, GRAPH, JSON_LIMIT, TASK, BundleError, is_bundle_file
from stencilnet.bundle.schema import BundleConfig
from stencilnet.sharing.hub import Repository, download

PICTURE = "sample.jpg"
"""The picture of the repository's page."""


def is_shared(path: str, config: BundleConfig) -> bool:
    """Return whether a file of a repository, of this config, is one that `push` writes and `pull` reads."""
    has_graph = config.architecture not in KNOWN
    return is_bundle_file(path) or path in (CARD, PICTURE) or (has_graph and path == GRAPH)


def read_config(repository: Repository) -> BundleConfig:
    """Return the config of the bundle, or of the tasks, that a repository holds.

    Raises:
        BundleError: If there is none, or it is damaged.
        HubError: If it cannot be downloaded.
    """
    if CONFIG not in repository.sizes:
        got = "a repository without one"
        raise BundleError(repository.place, "not a bundle", f"a repository with {CONFIG}", got, "Check the name.")
    return BundleConfig.from_bytes(download(repository, CONFIG, JSON_LIMIT), repository.place / CONFIG)


def tasks_in(repository: Repository) -> list[str]:
    """Return the names of a repository's tasks, sorted; no file is read."""
    return sorted(path.split("/")[1] for path in repository.sizes if is_bundle_file(path) and path.endswith(f"/{TASK}"))
