"""A real Chromium, one for each module, and a photo."""

import shutil
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

import stencilnet as sn

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    assert chromium is not None, "STENCIL_BROWSER=required, but there is no chromium on the path"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
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
