"""The hub on loopback, and this process's huggingface_hub set to it as its environment variables would."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

from .hub_server import Hub, hub_server

GOLDEN = Path(__file__).parents[1] / "bundle" / "golden"


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The hub; this machine has the token of ``me``."""
    home = tmp_path_factory.mktemp("hf")
    with hub_server() as server:
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", "hf_writer")
        monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
        disable_progress_bars()
        yield server
        enable_progress_bars()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A golden bundle: ``shapes``, ``colour`` and ``clean``."""
    return shutil.copytree(GOLDEN / "v1", tmp_path / "bundle")


@pytest.fixture(scope="session")
def file_bytes() -> Callable[[Path], dict[str, bytes]]:
    """Every file below a folder, by its path inside."""

    def read(folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    return read
