"""A real server in a process of its own, on a free port, and pictures to send."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

GOLDEN = Path(__file__).parents[1] / "bundle" / "golden" / "v1"


@dataclass(frozen=True)
class Server:
    """A running server: its process, its bundle, and a client."""

    process: subprocess.Popen[str]
    bundle: Path
    client: httpx.Client

    @property
    def url(self) -> str:
        return str(self.client.base_url).rstrip("/")


Start = Callable[..., Server]


@pytest.fixture(scope="session")
def golden() -> Path:
    return GOLDEN


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start ``stencil serve BUNDLE`` with further options, on a copy of the golden bundle by default."""
    servers: list[Server] = []

    def begin(*options: object, bundle: Path = GOLDEN) -> Server:
        copy = tmp_path_factory.mktemp("served") / "bundle"
        shutil.copytree(bundle, copy)
        words = [sys.executable, "-m", "stencilnet", "serve", str(copy), "--port", "0", *map(str, options)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        servers.append(Server(process, copy, httpx.Client(base_url=url, timeout=60, trust_env=False)))
        return servers[-1]

    yield begin
    for server in servers:
        server.client.close()
        server.process.terminate()
        try:
            server.process.communicate(timeout=30)
        finally:
            server.process.kill()


@pytest.fixture(scope="module")
def server(start: Start) -> Server:
    """A server with default options."""
    return start()


def photo(width: int = 40, height: int = 24, seed: int = 0) -> Image.Image:
    """A photo's stand-in: smooth shades and noise."""
    random = np.random.default_rng(seed)
    ramp = np.linspace(0, 200, height * width * 3).reshape(height, width, 3)
    return Image.fromarray((ramp + random.integers(0, 55, ramp.shape)).astype(np.uint8))


def as_bytes(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    file = BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


@pytest.fixture(scope="session")
def picture() -> bytes:
    return as_bytes(photo())
