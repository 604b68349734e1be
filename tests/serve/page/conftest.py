"""A real Chromium, one for each module, photos, and a static server for websites."""

import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

import stencilnet as sn
from stencilnet.export.runtime import runtime_files

ARGUMENTS = [
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def gpu() -> list[str]:
    """Chromium's options of the GPU that it has: none."""
    return ["--disable-gpu"]


@pytest.fixture(scope="module")
def browser(gpu: list[str]) -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    assert chromium is not None, "STENCIL_BROWSER=required, but there is no chromium on the path"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=[*ARGUMENTS, *gpu])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, server) -> Iterator[Callable[..., Page]]:
    """Open the page; a script that fails anywhere on it fails the test."""
    faults: list[str] = []
    contexts = []

    def begin(size: tuple[int, int] = (1440, 900), url: str = server.url, **options: object) -> Page:
        width, height = size
        context = browser.new_context(base_url=url, viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda line: faults.append(line.text) if "Security Policy" in line.text else None)
        page.goto(url)
        expect(page.locator("#tasks li").first).to_be_attached()
        return page

    expect.set_options(timeout=60_000)
    yield begin
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture(scope="module")
def engine(golden: Path) -> sn.Engine:
    return sn.Engine(golden)


@pytest.fixture(scope="module")
def photo() -> bytes:
    random = np.random.default_rng(3)
    pixels = np.linspace(0, 200, 64 * 96 * 3).reshape(64, 96, 3) + random.integers(0, 55, (64, 96, 3))
    file = BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def wide_photo() -> bytes:
    random = np.random.default_rng(4)
    pixels = np.linspace(0, 180, 90 * 140 * 3).reshape(90, 140, 3) + random.integers(0, 75, (90, 140, 3))
    file = BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[[str], Page]]:
    """Open a page; a script that fails on it fails the test."""
    faults: list[str] = []
    context = browser.new_context()
    context.set_default_timeout(120_000)

    def begin(url: str) -> Page:
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(url)
        expect(page.locator("#tasks li").first).to_be_attached()
        return page

    expect.set_options(timeout=120_000)
    yield begin
    context.close()
    assert faults == []


class _Host(SimpleHTTPRequestHandler):
    """A static host that redirects index.html to its folder, as some do.

    Attributes:
        asked: The paths that it was asked for, in their order.
    """

    asked: ClassVar[list[str]] = []

    def log_message(self, *_: object) -> None:
        self.asked.append(self.path)

    def send_head(self) -> Any:
        if not self.path.endswith("/index.html"):
            return super().send_head()
        self.send_response(HTTPStatus.PERMANENT_REDIRECT)
        self.send_header("Location", self.path.removesuffix("index.html"))
        self.send_header("Content-Length", "0")
        self.end_headers()
        return None


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A static server, as a folder and its address."""
    folder = tmp_path_factory.mktemp("sites")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Host, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    try:
        return runtime_files(None, tmp_path_factory.mktemp("cache"))
    except OSError as error:
        pytest.skip(f"needs onnxruntime-web: {error}")


@pytest.fixture
def runtimes() -> Callable[[str], list[str]]:
    """Return the runtimes that the site of a name has asked for, in their order."""

    def found(site: str) -> list[str]:
        paths = [path for path in _Host.asked if path.startswith(f"/{site}/runtime/ort.")]
        return list(dict.fromkeys(path.split(".")[1] for path in paths))

    return found
