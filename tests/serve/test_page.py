"""The page in a real Chromium, with a real server: from a dropped photo to a saved picture."""

import base64
import os
import shutil
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

import stencilnet as sn

CHROMIUM = shutil.which("chromium")
if CHROMIUM is None and os.environ.get("STENCIL_BROWSER") != "required":
    pytest.skip("needs Chromium", allow_module_level=True)

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
DESKTOP, TABLET, PHONE = (1440, 900), (834, 1112), (360, 740)
TASKS = ("shapes", "colour", "clean")
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert CHROMIUM is not None, "STENCIL_BROWSER=required, but there is no chromium on the path"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, server) -> Iterator[Open]:
    """Open the page; a script that fails anywhere on it fails the test."""
    faults: list[str] = []
    contexts = []

    def begin(size: tuple[int, int] = DESKTOP, url: str = server.url, **options: object) -> Page:
        width, height = size
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
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


def add(page: Page, *files: tuple[str, bytes]) -> None:
    """Choose files by the file dialog's input."""
    page.set_input_files(
        "#photo-files", [{"name": name, "mimeType": "application/octet-stream", "buffer": data} for name, data in files]
    )


def drop(page: Page, name: str, data: bytes) -> None:
    page.evaluate(
        """([name, text]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([Uint8Array.from(atob(text), (each) => each.charCodeAt(0))], name));
            document.body.dispatchEvent(new DragEvent("drop", { bubbles: true, dataTransfer: transfer }));
        }""",
        [name, base64.b64encode(data).decode()],
    )


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


def slide(page: Page, name: str, tmp_path: Path) -> None:
    """Keep a screenshot."""
    folder = Path(os.environ.get("STENCIL_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png")


def test_a_dropped_photo_shows_every_task_and_gives_the_engines_pixels(
    open_page: Open, engine: sn.Engine, photo: bytes, tmp_path: Path
) -> None:
    page = open_page()
    expect(page.locator("#privacy")).to_have_text("No picture leaves this machine.")
    expect(page.locator("#bundle-facts")).to_contain_text("3 tasks · ")
    drop(page, "beach.png", photo)
    expect(page.locator("#tasks img:not([hidden])")).to_have_count(len(TASKS))
    choose(page, "Colour")
    expect(page.locator("#live")).to_contain_text("Colour is done")
    expect(page.locator("#task-time")).to_have_text(page.locator("#task-time").inner_text())
    assert page.locator("#task-time").inner_text().endswith("s")
    slide(page, "compare", tmp_path)
    name, data = downloaded(page, page.locator("#download").click)
    assert name == "beach-colour.png"
    assert same(data, engine.run(photo, "colour"))


def test_the_slider_moves_by_keys_and_both_halves_stay_aligned(open_page: Open, photo: bytes) -> None:
    page = open_page()
    add(page, ("a.png", photo))
    choose(page, "Colour")
    slider = page.get_by_role("slider", name="Before and after")
    slider.focus()
    expect(slider).to_have_attribute("aria-valuetext", "50 % before")
    split = "() => parseFloat(document.getElementById('stage').style.getPropertyValue('--split'))"
    was = page.evaluate(split)
    page.keyboard.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", "51 % before")
    assert page.evaluate(split) > was
    page.keyboard.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", "0 % before")

    def transforms() -> set[str]:
        return {page.locator(each).evaluate("(image) => image.style.transform") for each in ("#before", "#after")}

    fitted = transforms()
    zoom_in(page)
    zoomed = transforms()
    page.locator("#stage").focus()
    page.keyboard.press("ArrowRight")
    panned = transforms()
    box = page.locator("#stage").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 4)
    page.mouse.wheel(0, -300)
    expect(page.locator("#stage")).to_have_class("compared pannable")
    assert len(fitted) == len(zoomed) == len(panned) == len(transforms()) == 1
    assert len(fitted | zoomed | panned) == 3
    page.keyboard.press("0")
    assert transforms() == fitted


def test_dragging_the_whole_picture_moves_the_slider_and_dragging_a_part_pans(open_page: Open, photo: bytes) -> None:
    page = open_page()
    add(page, ("a.png", photo))
    choose(page, "Colour")
    box = page.locator("#stage").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 4

    def drag() -> None:
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x - 40, y, steps=2)
        page.mouse.up()

    slider = page.get_by_role("slider")
    drag()
    value = float(slider.input_value())
    assert value < 50
    zoom_in(page)
    transform = page.locator("#before").get_attribute("style")
    drag()
    assert float(slider.input_value()) == value
    assert page.locator("#before").get_attribute("style") != transform


def test_label_maps_have_a_legend(open_page: Open, engine: sn.Engine, photo: bytes) -> None:
    page = open_page()
    add(page, ("a.png", photo))
    choose(page, "Shapes")
    classes = page.locator("#legend .class")
    expect(classes).to_have_count(3)
    expect(classes.first).to_contain_text("%")
    counts = np.bincount(np.asarray(engine.run(photo, "shapes")).ravel(), minlength=3)
    most = ("sky", "tree", "sun")[int(counts.argmax())]
    expect(classes.first).to_contain_text(most)


def test_all_tasks_side_by_side_and_as_a_zip(open_page: Open, engine: sn.Engine, photo: bytes, tmp_path: Path) -> None:
    page = open_page()
    add(page, ("beach.png", photo))
    page.get_by_role("button", name="All tasks side by side").click()
    cells = page.locator("#grid li")
    expect(cells).to_have_count(1 + len(TASKS))
    for cell in cells.all()[1:]:
        expect(cell).to_contain_text("s", use_inner_text=True)
        expect(cell.locator(".fact")).to_contain_text("·")
    slide(page, "grid", tmp_path)
    name, data = downloaded(page, page.locator("#zip-tasks").click)
    assert name == "beach.zip"
    with ZipFile(BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [f"beach-{task}.png" for task in TASKS]
        for task in TASKS:
            assert same(archive.read(f"beach-{task}.png"), engine.run(photo, task))
    cells.nth(2).get_by_role("button").click()
    expect(page.locator("#task-title")).to_have_text("Colour")
    expect(page.locator("#stage")).to_be_visible()


def test_one_task_on_all_photos_as_a_zip(open_page: Open, engine: sn.Engine, photo: bytes) -> None:
    page = open_page()
    add(page, ("a.png", photo), ("a.png", photo))
    expect(page.locator("#photos li")).to_have_count(2)
    choose(page, "Clean")
    name, data = downloaded(page, page.locator("#zip-photos").click)
    assert name == "clean.zip"
    with ZipFile(BytesIO(data)) as archive:
        assert archive.namelist() == ["a-clean.png", "a-clean (2).png"]
        assert same(archive.read("a-clean (2).png"), engine.run(photo, "clean"))


def test_a_file_that_is_no_picture_is_told(open_page: Open, photo: bytes) -> None:
    page = open_page()
    add(page, ("notes.txt", b"no picture"))
    alert = page.locator("#notices").get_by_role("alert")
    expect(alert).to_contain_text("notes.txt is not a picture that this browser can read. Choose PNG")
    alert.get_by_role("button", name="Dismiss").click()
    expect(alert).to_have_count(0)
    add(page, ("a.png", photo), ("b.txt", b""), ("c.txt", b""))
    expect(alert).to_contain_text("b.txt, c.txt are not pictures")
    expect(page.locator("#photos li")).to_have_count(1)


def test_what_the_server_refuses_is_told_and_can_be_tried_again(open_page: Open, start, photo: bytes) -> None:
    page = open_page(url=start("--max-bytes", 10_000).url)
    add(page, ("large.png", photo))
    thumbnail(page, "Colour").click()
    failure = page.locator("#failure")
    expect(failure).to_contain_text("Expected a body of at most 10000 bytes")
    with page.expect_request("**/v1/tasks/colour"):
        failure.get_by_role("button", name="Try again").click()
    expect(failure).to_contain_text("Expected a body of at most 10000 bytes")


def test_a_busy_server_is_asked_again(open_page: Open, photo: bytes) -> None:
    page = open_page()
    page.route(
        "**/v1/tasks/colour",
        lambda route: route.fulfill(
            status=429, headers={"Retry-After": "1"}, json={"error": {"code": "busy", "message": "Expected less."}}
        ),
        times=1,
    )
    add(page, ("a.png", photo))
    choose(page, "Colour")
    expect(page.locator("#tasks img:not([hidden])")).to_have_count(len(TASKS))


def test_escape_ends_the_work_of_a_task(open_page: Open, photo: bytes) -> None:
    page = open_page()
    add(page, ("a.png", photo))
    expect(page.locator("#tasks img:not([hidden])")).to_have_count(len(TASKS))
    page.route("**/v1/tasks/colour", lambda route: None)  # no answer comes
    thumbnail(page, "Colour").click()
    expect(page.locator("#busy")).to_contain_text("Colour is running")
    with page.expect_event("requestfailed"):
        page.keyboard.press("Escape")
    expect(page.locator("#busy")).to_be_hidden()
    page.unroute_all()
    choose(page, "Colour")


def test_by_keyboard_alone_from_the_first_tab_to_a_file(open_page: Open, engine: sn.Engine, photo: bytes) -> None:
    page = open_page()
    page.on("filechooser", lambda _: None)  # from now on, the browser shows no dialog of its own

    def tab_to(element: str) -> None:
        for _ in range(30):
            page.keyboard.press("Tab")
            if page.locator(f"{element}:focus-visible").count():
                return
        raise AssertionError(f"{element} is not reached by the Tab key")

    tab_to("#choose-photos")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files({"name": "beach.png", "mimeType": "image/png", "buffer": photo})
    expect(thumbnail(page, "Shapes")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(thumbnail(page, "Colour")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#download")).to_be_enabled()
    tab_to("#slider")
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("slider")).to_have_attribute("aria-valuetext", "49 % before")
    tab_to("#download")
    name, data = downloaded(page, lambda: page.keyboard.press("Enter"))
    assert name == "beach-colour.png"
    assert same(data, engine.run(photo, "colour"))
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator("#task-title")).to_have_text("Colour")


def test_removals_are_undone(open_page: Open, photo: bytes) -> None:
    page = open_page()
    add(page, ("a.png", photo), ("b.png", photo), ("c.png", photo))
    photos = page.locator("#photos .thumb")
    expect(photos).to_have_count(3)
    page.get_by_role("button", name="b.png", exact=True).focus()
    page.keyboard.press("Delete")
    expect(photos).to_have_count(2)
    page.get_by_role("button", name="Remove all").click()
    expect(page.locator("#welcome")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(photos).to_have_count(2)
    page.keyboard.press("Control+z")
    expect(photos).to_have_count(3)
    assert [each.get_attribute("aria-label") for each in photos.all()] == ["a.png", "b.png", "c.png"]
    page.keyboard.press("n")
    expect(page.locator("#photos .thumb[aria-current=true]")).to_have_attribute("aria-label", "c.png")


def test_copying_and_a_browser_that_refuses_it(open_page: Open, photo: bytes) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    add(page, ("a.png", photo))
    choose(page, "Colour")
    page.get_by_role("button", name="Copy").click()
    expect(page.locator("#notices")).to_contain_text("Colour has been copied.")
    assert page.evaluate("async () => (await navigator.clipboard.read())[0].types") == ["image/png"]
    page.evaluate("() => { delete window.ClipboardItem; }")
    page.get_by_role("button", name="Copy").click()
    expect(page.locator("#notices").get_by_role("alert")).to_contain_text("Download the picture instead")


@pytest.mark.parametrize(("name", "size"), [("desktop", DESKTOP), ("tablet", TABLET), ("phone", PHONE)])
def test_no_size_of_the_screen_scrolls_sideways(
    open_page: Open, photo: bytes, tmp_path: Path, name: str, size: tuple[int, int]
) -> None:
    page = open_page(size, color_scheme="dark")

    def check(state: str) -> None:
        slide(page, f"{name}-{state}", tmp_path)
        width, tall = page.evaluate(
            "() => [document.documentElement.scrollWidth, document.getElementById('stage').clientHeight]"
        )
        assert width <= size[0]
        assert state != "compare" or tall >= 200

    check("empty")
    add(page, ("a.png", photo), ("b.png", photo))
    choose(page, "Shapes")
    check("compare")
    page.keyboard.press("g")
    expect(page.locator("#grid img:not([hidden])")).to_have_count(1 + len(TASKS))
    check("grid")


def test_dark_mode_follows_the_system_until_it_is_switched(open_page: Open) -> None:
    page = open_page(color_scheme="dark")
    expect(page.locator("body")).to_have_css("background-color", "rgb(17, 17, 17)")
    page.emulate_media(color_scheme="light")
    expect(page.locator("body")).to_have_css("background-color", "rgb(246, 246, 245)")
    page.get_by_role("button", name="Dark mode").click()
    expect(page.locator("body")).to_have_css("background-color", "rgb(17, 17, 17)")


def test_a_task_that_is_added_is_there_after_a_reload(open_page: Open, server, tmp_path: Path) -> None:
    task, aside = server.bundle / "tasks" / "clean", tmp_path / "clean"
    shutil.move(task, aside)
    page = open_page()
    expect(page.locator("#tasks li")).to_have_count(2)
    shutil.move(aside, task)
    page.reload()
    expect(page.locator("#tasks li")).to_have_count(3)


def test_a_server_that_goes_and_comes_back(open_page: Open, start, engine: sn.Engine, photo: bytes) -> None:
    server = start()
    page = open_page(url=server.url)
    add(page, ("beach.png", photo))
    expect(page.locator("#tasks img:not([hidden])")).to_have_count(len(TASKS))
    server.process.terminate()
    server.process.wait()
    thumbnail(page, "Colour").click()
    expect(page.locator("#gone")).to_contain_text("The server does not answer.")
    start("--port", server.client.base_url.port)
    expect(page.locator("#gone")).to_be_hidden()
    expect(page.locator("#download")).to_be_enabled()
    assert same(downloaded(page, page.locator("#download").click)[1], engine.run(photo, "colour"))
