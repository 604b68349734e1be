"""The website by WebGPU, on a GPU that Chromium computes in software; and by WebAssembly where WebGPU fails."""

from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

import stencilnet as sn
from stencilnet.export.site import export_site

from .browsing import TASKS, add, choose, downloaded, near

pytestmark = pytest.mark.slow  # a browser

COUNTS = 'Object.defineProperty(GPUAdapterInfo.prototype, "isFallbackAdapter", { value: false });'
"""Sites do without GPUs in software, which say that they are. This one does not say it."""
NO_DEVICE = 'GPUAdapter.prototype.requestDevice = async () => { throw new Error("no device"); };'
Visit = Callable[..., tuple[Page, Callable[[], list[str]]]]


@pytest.fixture(scope="module")
def gpu() -> list[str]:
    return ["--disable-gpu", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"]


@pytest.fixture
def visit_with(
    sites: tuple[Path, str],
    golden: Path,
    runtime: dict[str, bytes],
    runtimes: Callable[[str], list[str]],
    visit: Callable[[str], Page],
    tmp_path: Path,
) -> Visit:
    """Open a site whose worker begins with a script; the function returns the runtimes that it has loaded so far."""

    def begin(script: str, *tasks: str) -> tuple[Page, Callable[[], list[str]]]:
        name = tmp_path.name
        export_site(golden, sites[0] / name, tasks or None, runtime=runtime)
        worker = sites[0] / name / "local" / "worker.js"
        worker.write_text(f"{script}\n{worker.read_text()}")
        (sites[0] / name / "sw.js").unlink()  # it would load runtimes, too
        return visit(f"{sites[1]}{name}/"), partial(runtimes, name)

    return begin


def cropped(photo: bytes) -> bytes:
    """A part of a photo, since a GPU in software is slow."""
    file = BytesIO()
    Image.open(BytesIO(photo)).crop((0, 0, 48, 32)).save(file, "PNG")
    return file.getvalue()


def wrong_tasks(page: Page, engine: sn.Engine, name: str, photo: bytes) -> list[str]:
    """Add a photo and return the tasks whose answers differ from the engine's."""
    add(page, (f"{name}.png", photo))
    expect(page.locator("#tasks img:not([hidden])")).to_have_count(len(TASKS))
    with ZipFile(BytesIO(downloaded(page, page.locator("#zip-tasks").click)[1])) as archive:
        return [task for task in TASKS if not near(archive.read(f"{name}-{task}.png"), engine.run(photo, task))]


def test_webgpu_gives_the_engines_pixels_and_webassembly_goes_on_when_the_gpu_crashes(
    visit_with: Visit, browser: Browser, engine: sn.Engine, photo: bytes, wide_photo: bytes
) -> None:
    page, loaded = visit_with(COUNTS)
    assert wrong_tasks(page, engine, "leaf", cropped(photo)) == []
    assert loaded() == ["webgpu"]
    browser.new_browser_cdp_session().send("Browser.crashGpuProcess")
    page.locator("#clear").click()
    assert wrong_tasks(page, engine, "beach", wide_photo) == []
    assert loaded() == ["webgpu", "wasm"]


@pytest.mark.parametrize(
    ("script", "wanted"),
    [("", ["wasm"]), (COUNTS + NO_DEVICE, ["webgpu", "wasm"])],
    ids=["in-software", "no-device"],
)
def test_without_a_gpu_that_works_webassembly_runs_tasks(
    visit_with: Visit, engine: sn.Engine, photo: bytes, script: str, wanted: list[str]
) -> None:
    page, loaded = visit_with(script, "colour")
    add(page, ("beach.png", photo))
    choose(page, "Colour")
    data = downloaded(page, page.locator("#download").click)[1]
    assert near(data, engine.run(photo, "colour"))
    assert loaded() == wanted
