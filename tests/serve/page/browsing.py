"""What tests do on the page. Modules that import this are skipped where there is no Chromium, unless it is required."""

import os
import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

if shutil.which("chromium") is None and os.environ.get("STENCIL_BROWSER") != "required":
    pytest.skip("needs Chromium", allow_module_level=True)

TASKS = ("shapes", "colour", "clean")
Open = Callable[..., Page]


def add(page: Page, *files: tuple[str, bytes]) -> None:
    """Choose files by the file dialog's input."""
    page.set_input_files(
        "#photo-files", [{"name": name, "mimeType": "application/octet-stream", "buffer": data} for name, data in files]
    )


def drop(page: Page, *paths: Path, at: tuple[float, float] = (200, 200)) -> None:
    """Drop files and folders on the page, as the system's file manager does."""
    tool = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        tool.send("Input.dispatchDragEvent", {"type": kind, "x": at[0], "y": at[1], "data": data})


def thumbnail(page: Page, task: str) -> Locator:
    return page.locator("#tasks").get_by_role("button", name=task)


def choose(page: Page, task: str) -> None:
    """Choose a task and wait for its full result."""
    thumbnail(page, task).click()
    expect(page.locator("#download")).to_be_enabled()


def zoom_in(page: Page) -> None:
    """Zoom until the picture is larger than its stage."""
    for _ in range(4):
        page.keyboard.press("+")


def downloaded(page: Page, act: Callable[[], None]) -> tuple[str, bytes]:
    with page.expect_download() as info:
        act()
    return info.value.suggested_filename, Path(info.value.path()).read_bytes()


def same(data: bytes, image: Image.Image) -> bool:
    given = Image.open(BytesIO(data))
    return given.mode == image.mode and np.array_equal(np.asarray(given), np.asarray(image))


def near(data: bytes, wanted: Image.Image) -> bool:
    """Whether labels are equal in 99.99 % of pixels, and levels differ by at most 1."""
    given = Image.open(BytesIO(data))
    found, expected = (np.asarray(image).astype(int) for image in (given, wanted))
    assert (given.mode, found.shape) == (wanted.mode, expected.shape)
    if given.mode != "P":
        return bool(np.abs(found - expected).max() <= 1)
    assert given.getpalette()[:9] == wanted.getpalette()[:9]
    return bool((found == expected).mean() >= 0.9999)


def keep(page: Page, name: str, tmp_path: Path) -> None:
    """Keep a screenshot."""
    folder = Path(os.environ.get("STENCIL_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png")
