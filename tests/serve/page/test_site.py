"""The page without a server: a static folder, whose tasks a real Chromium runs by itself."""

import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

import stencilnet as sn
from stencilnet.bundle import TaskRecord, add_task, open_bundle, pack_task, remove_task
from stencilnet.delta import BitMask, Replace, Select, TaskDelta
from stencilnet.delta.digest import weights_digest
from stencilnet.export.site import KINDS, export_site
from stencilnet.graphs.bundled import BundleGraphs

from .browsing import add, choose, downloaded, drop, near, thumbnail

pytestmark = pytest.mark.slow  # a browser

BUNDLES = ("v1", "v1-entropy", "v1-forms", "v1-int8", "v1-quantized", "v1-seed")
CLASSES = {"classes": ["sky", "tree", "sun"]}
EVERY_KIND = {
    "labels": ("segmentation", 3, CLASSES, 48),
    "labels-native": ("segmentation", 3, {**CLASSES, "palette": [[9, 8, 7], [0, 128, 0], [255, 220, 0]]}, None),
    "colour": ("colorization", 2, {}, 60),
    "painting": ("style", 3, {"style": "a.jpg"}, 50),
    "drawn": ("edges2photo", 3, {"edge_low": 0.02, "edge_high": 0.04}, None),
    "clean": ("restoration", 3, {"residual": True}, 40),
    "retouch": ("restoration", 3, {}, None),
    "far": ("depth", 1, {}, 70),
    "surfaces": ("normals", 3, {}, 150),
}
DIGEST = """async ([base, task]) => {
    const { openSite } = await import("./local/engine.js");
    const weights = await (await openSite(base)).weightsOf(task);
    const parts = [];
    for (const key of Object.keys(weights).sort()) {
        const { shape, data } = weights[key];
        parts.push(`${key} torch.float32 (${shape.join(", ")}${shape.length === 1 ? "," : ""})`, data);
    }
    const bytes = await new Blob(parts).arrayBuffer();
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}"""


@pytest.fixture(scope="module")
def every_kind(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a task of every kind, at scales below and above the photo's."""
    bundle = tmp_path_factory.mktemp("kinds") / "bundle"
    shutil.copytree(golden, bundle)
    for task in sn.Engine(bundle).tasks:
        remove_task(bundle, task)
    opened = open_bundle(bundle)
    random = np.random.default_rng(5)
    for name, (kind, channels, settings, side) in [*EVERY_KIND.items(), ("extra", EVERY_KIND["colour"])]:
        masks = {
            key: Select(BitMask.pack(random.random(weight.shape) < 0.7))
            for key, weight in opened.shared.items()
            if weight.ndim > 1
        }
        heads = {
            key: Replace(random.normal(0, 0.4, (channels, *spec.shape)).astype(np.float32))
            for key, spec in opened.config.head_tensors.items()
        }
        recipe = {"view": {"resize": side}} if side else {}
        record = TaskRecord(kind=kind, channels=channels, method="piggyback", settings=settings, recipe=recipe)
        add_task(bundle, name, record, TaskDelta({**masks, **heads}), shared=opened.shared)
    return bundle


@pytest.fixture(scope="module")
def site(sites: tuple[Path, str], every_kind: Path, runtime: dict[str, bytes]) -> str:
    assert export_site(every_kind, sites[0] / "site", EVERY_KIND, runtime=runtime) == {}
    return f"{sites[1]}site/"


def test_weights_are_pythons_bit_for_bit_in_every_form(
    sites: tuple[Path, str], golden: Path, visit: Callable[[str], Page]
) -> None:
    page = None
    for name in BUNDLES:
        export_site(golden.parent / name, sites[0] / name, runtime={})
        page = page or visit(sites[1] + name)
        graphs = BundleGraphs(golden.parent / name)
        for task in graphs.bundle.deltas:
            digest = page.evaluate(DIGEST, [f"{sites[1]}{name}/", task])
            assert digest == weights_digest(graphs.weights(task)), (name, task)


def test_every_kind_gives_the_engines_pixels_and_sends_nothing(
    site: str,
    every_kind: Path,
    wide_photo: bytes,
    visit: Callable[[str], Page],
    runtimes: Callable[[str], list[str]],
) -> None:
    assert {kind for kind, *_ in EVERY_KIND.values()} == set(KINDS) - {"classification"}  # test_site_networks.py
    page = visit(site)
    asked: list[str] = []
    page.context.on("request", lambda request: asked.append(f"{request.method} {request.url}"))
    expect(page.locator("#privacy")).to_have_text("No picture leaves this machine.")
    expect(page.locator("#show-teach")).to_be_hidden()
    expect(page.locator("#tasks .title").first).to_have_text("Labels")
    add(page, ("beach.png", wide_photo))
    expect(page.locator("#tasks img:not([hidden])")).to_have_count(len(EVERY_KIND))
    name, data = downloaded(page, page.locator("#zip-tasks").click)
    assert name == "beach.zip"
    engine = sn.Engine(every_kind)
    with ZipFile(BytesIO(data)) as archive:
        wrong = [t for t in EVERY_KIND if not near(archive.read(f"beach-{t}.png"), engine.run(wide_photo, t))]
    assert wrong == []
    assert [line for line in asked if not line.startswith((f"GET {site}", "GET blob:"))] == []
    assert runtimes("site") == ["wasm"]  # this browser has no GPU
    for place in (page, page.workers[0]):
        blocked = place.evaluate("fetch('http://127.0.0.2:9/').then(() => 'sent', (error) => error.message)")
        assert blocked != "sent"
    thumbnail(page, "Labels native").click()
    expect(page.locator("#legend .class")).to_have_count(3)


def test_the_site_works_offline_after_the_first_visit(
    site: str, every_kind: Path, wide_photo: bytes, visit: Callable[[str], Page]
) -> None:
    page = visit(site)
    page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    page.wait_for_function("navigator.serviceWorker.controller !== null")
    page.context.set_offline(True)
    page.reload()
    assert page.evaluate("crossOriginIsolated")  # so that WebAssembly may use several threads
    add(page, ("beach.png", wide_photo))
    thumbnail(page, "Colour").click()
    expect(page.locator("#download")).to_be_enabled()
    data = downloaded(page, page.locator("#download").click)[1]
    assert near(data, sn.Engine(every_kind).run(wide_photo, "colour"))


def test_a_dropped_task_is_added_if_it_is_of_this_backbone(
    site: str, every_kind: Path, golden: Path, wide_photo: bytes, visit: Callable[[str], Page], tmp_path: Path
) -> None:
    page = visit(site)

    def drop_bytes(name: str, data: bytes) -> None:
        (tmp_path / name).write_bytes(data)
        drop(page, tmp_path / name)

    alert = page.locator("#notices").get_by_role("alert")
    extra = pack_task(every_kind, "extra")
    for data, said in (
        (pack_task(golden.parent / "v1-int8", "colour"), "another backbone"),
        (b"no archive", "no ZIP archive"),
        (extra[:-40], "no ZIP archive"),
        (extra.replace(extra[2000:2010], bytes(10)), "damaged"),
    ):
        drop_bytes("task.zip", data)
        expect(alert.filter(has_text=said)).to_have_count(1)
        alert.filter(has_text=said).get_by_role("button", name="Dismiss").click()
    drop_bytes("task.zip", extra)
    expect(page.locator("#notices")).to_contain_text("task.zip has been added")
    drop_bytes("beach.png", wide_photo)
    choose(page, "Extra")
    data = downloaded(page, page.locator("#download").click)[1]
    assert near(data, sn.Engine(every_kind).run(wide_photo, "extra"))


def test_a_long_run_that_is_cancelled_ends_and_others_go_on(
    site: str, every_kind: Path, wide_photo: bytes, visit: Callable[[str], Page]
) -> None:
    page = visit(site)
    large = BytesIO()
    Image.new("L", (5000, 4000)).save(large, "PNG")
    add(page, ("large.png", large.getvalue()))
    expect(page.locator("#tasks img:not([hidden])")).to_have_count(len(EVERY_KIND))
    thumbnail(page, "Retouch").click()
    page.locator("#cancel-task").click()
    page.locator("#clear").click()
    with page.expect_event("worker"):
        add(page, ("beach.png", wide_photo))
    choose(page, "Colour")
    data = downloaded(page, page.locator("#download").click)[1]
    assert near(data, sn.Engine(every_kind).run(wide_photo, "colour"))
