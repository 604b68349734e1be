"""A new task is taught on the page, by a real training of a few steps, and is there without a reload."""

import re
from pathlib import Path
from shutil import copytree

import psutil
import pytest
from PIL import Image, ImageOps
from playwright.sync_api import Page, expect

from ..conftest import Server, as_bytes
from ..conftest import photo as drawn_photo
from .browsing import Open, add, choose, downloaded, drop, keep, thumbnail

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # a browser, and trainings

SIZES = {"desktop": (1280, 800), "tablet": (820, 1100), "phone": (390, 844)}
COUNT = 6


@pytest.fixture(scope="module")
def teacher(start) -> Server:
    return start("--teach")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    for part in ("before", "after"):
        (folder / part).mkdir()
    for number in range(COUNT):
        picture = drawn_photo(40, 40, seed=number)
        picture.save(folder / "before" / f"{number}.png")
        ImageOps.invert(picture).save(folder / "after" / f"{number}.png")
    (folder / "before" / "notes.txt").write_text("no picture")
    return folder


def open_panel(page: Page) -> None:
    page.get_by_role("button", name="Teach a new task").click()
    expect(page.get_by_role("dialog", name="Teach a new task")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_be_focused()


def fill(page: Page, pairs: Path, name: str, steps: int) -> None:
    """Fill the form; the number of steps is the test's, not that of some minutes."""
    page.route("**/v1/teaching?*", lambda route: route.continue_(url=f"{route.request.url}&steps={steps}"))
    page.get_by_label("Name", exact=True).fill(name)
    for title in ("Before", "After"):
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name=f"{title}: Choose a folder").click()
        chooser.value.set_files(pairs / title.lower())
        expect(page.get_by_role("group", name=title)).to_contain_text(f"{COUNT} pictures")


def start_lesson(page: Page) -> None:
    page.get_by_role("button", name="Start").click()


def test_pairs_are_taught_and_the_task_is_there_without_a_reload(
    open_page: Open, teacher: Server, pairs: Path, photo: bytes, tmp_path: Path
) -> None:
    page = open_page(url=teacher.url)
    add(page, ("beach.png", photo))
    open_panel(page)
    fill(page, pairs, "invert", 20)
    expect(page.locator("#lesson-problem")).to_be_hidden()
    start_lesson(page)
    expect(page.locator("#lesson-status")).to_contain_text("Step ")
    expect(page.locator("#lesson-said")).to_contain_text(
        re.compile(r"MSE .*; the unchanged picture has .*Lower is better")
    )
    expect(page.locator("#lesson-hide")).to_be_focused()
    keep(page, "teach-running", tmp_path)
    expect(page.locator("#lesson-status")).to_have_text("The task has been learned, and is among the others.")
    expect(page.locator("#lesson-columns")).to_have_text("inputtargetoutput")
    assert page.locator("#lesson-sheet").evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 100
    keep(page, "teach-done", tmp_path)
    expect(page.get_by_role("button", name="Show it")).to_be_focused()
    page.get_by_text("Refine it").click()
    expect(page.locator("#refine-text")).to_contain_text("into one folder again, as “before” and “after”.")
    expect(page.locator("#refine-commands")).to_contain_text(f"stencil add {teacher.bundle} CONFIG --root FOLDER")
    kept = teacher.bundle.with_name("bundle.teaching") / "invert" / "teach.yaml"
    expect(page.locator("#refine-kept")).to_have_text(f"The config is kept as {kept}.")
    config = downloaded(page, page.get_by_role("link", name="Download the config").click)
    assert config == ("invert.yaml", kept.read_bytes())
    page.set_viewport_size({"width": SIZES["phone"][0], "height": SIZES["phone"][1]})
    assert page.locator("#teach").evaluate("(e) => e.scrollWidth - e.clientWidth") == 0
    keep(page, "teach-refine", tmp_path)
    page.set_viewport_size({"width": 1440, "height": 900})
    page.get_by_role("button", name="Show it").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator("#task-title")).to_have_text("Invert")
    expect(thumbnail(page, "Invert")).to_be_focused()
    expect(page.locator("#download")).to_be_enabled()
    open_panel(page)
    page.get_by_label("Name", exact=True).fill("invert")
    start_lesson(page)
    expect(page.get_by_role("alert")).to_have_text("There is a task invert already. Choose another name.")


def test_a_lesson_goes_on_behind_the_page_and_over_a_reload_until_it_is_cancelled(
    open_page: Open, teacher: Server, pairs: Path, photo: bytes
) -> None:
    page, other, third = (open_page(url=teacher.url) for _ in range(3))
    for each, name in ((page, "endless"), (other, "second")):
        open_panel(each)
        fill(each, pairs, name, 100_000)
    start_lesson(page)
    expect(page.locator("#lesson-status")).to_contain_text("of 100000")
    start_lesson(other)  # meets the lesson that is in the way
    expect(other.locator("#teach-title")).to_have_text("endless")
    third.get_by_role("button", name="Teach a new task").click()
    expect(third.locator("#teach-title")).to_have_text("endless")
    for each in (other, third):
        each.context.close()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    add(page, ("beach.png", photo))
    choose(page, "Colour")
    page.reload()
    page.get_by_role("button", name="Teaching").click()
    expect(page.locator("#lesson-status")).to_contain_text("of 100000")
    assert psutil.Process(teacher.process.pid).children()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#lesson")).to_be_visible()
    expect(page.locator("#lesson-problem")).to_be_hidden()
    assert psutil.Process(teacher.process.pid).children() == []
    expect(page.get_by_role("button", name="Teach a new task")).to_have_count(1)
    expect(thumbnail(page, "Endless")).to_have_count(0)


def test_what_is_missing_and_what_fails_is_told_and_what_was_chosen_stays(
    open_page: Open, teacher: Server, pairs: Path, tmp_path: Path
) -> None:
    page = open_page(url=teacher.url)
    open_panel(page)
    alert = page.locator("#lesson-problem")
    for name, said in (
        ("", "Give the task a name"),
        ("My Task", "The name can have a-z"),
        ("mine", "Before: choose at"),
    ):
        page.get_by_label("Name", exact=True).fill(name)
        start_lesson(page)
        expect(alert).to_contain_text(said)
    page.get_by_text("Style", exact=True).click()
    page.set_input_files("[data-folder=painting]", pairs / "before" / "0.png")
    expect(page.get_by_role("group", name="Painting")).to_contain_text("0.png")
    page.get_by_text("Labels", exact=True).click()
    gray = [
        {"name": f"{n}.jpg", "mimeType": "image/jpeg", "buffer": as_bytes(drawn_photo(seed=n), "JPEG")}
        for n in range(5)
    ]
    for folder in ("images", "labels"):
        page.set_input_files(f"[data-folder={folder}]", gray)
    start_lesson(page)
    expect(alert).to_contain_text(re.compile("labels/.*jpg"))  # what `stencil teach` says of the file
    expect(page.get_by_role("group", name="Label maps")).to_contain_text("5 pictures")
    broken = [*gray[:4], {"name": "5.jpg", "mimeType": "image/jpeg", "buffer": b"no picture"}]
    page.set_input_files("[data-folder=images]", broken)
    start_lesson(page)
    expect(alert).to_contain_text("Cannot read the picture")


def test_a_lesson_whose_sending_fails_or_is_given_up_leaves_no_pictures(
    open_page: Open, teacher: Server, pairs: Path
) -> None:
    page = open_page(url=teacher.url)
    begun: list[str] = []
    page.on("request", lambda request: begun.append(request.url) if "/v1/teaching?" in request.url else None)
    open_panel(page)
    fill(page, pairs, "broken", 20)
    page.route("**/pictures/after?name=0.png", lambda route: route.continue_(post_data=b"none"))
    page.evaluate("() => [1, 2].forEach(() => document.getElementById('lesson').requestSubmit())")  # a double click
    expect(page.locator("#lesson-problem")).to_contain_text("image")
    assert len(begun) == 1
    assert teacher.client.get("/v1/teaching").json() == {"lesson": None}
    page.unroute("**/pictures/after?name=0.png")
    page.route("**/pictures/after?name=3.png", lambda _: None)  # never answered
    for give_up in (lambda: page.get_by_role("button", name="Cancel").click(), page.reload):
        with page.expect_request("**/pictures/after?name=3.png"):
            start_lesson(page)
        assert teacher.client.get("/v1/teaching").json()["lesson"]["pictures"] == {"before": COUNT, "after": 3}
        give_up()
        expect(page.locator("#show-teach-text")).to_have_text("Teach a new task")
        while teacher.client.get("/v1/teaching").json()["lesson"]:  # the request of a closed page is not seen
            page.wait_for_timeout(20)


def test_pictures_are_dropped_on_their_place_and_nowhere_else(
    open_page: Open, teacher: Server, pairs: Path, tmp_path: Path
) -> None:
    page = open_page(url=teacher.url)
    open_panel(page)
    box = page.get_by_role("group", name="After").bounding_box()
    assert box is not None
    drop(page, pairs / "after", at=(box["x"] + 20, box["y"] + 20))
    expect(page.get_by_role("group", name="After")).to_contain_text(f"{COUNT} pictures")
    for inner in ("one", "two"):
        copytree(pairs / "before", tmp_path / "before" / inner)
    box = page.get_by_role("group", name="Before").bounding_box()
    assert box is not None
    drop(page, tmp_path / "before", at=(box["x"] + 20, box["y"] + 20))
    expect(page.get_by_role("group", name="Before")).to_contain_text(f"{2 * COUNT} pictures")
    page.get_by_label("Name", exact=True).fill("folders")
    start_lesson(page)
    expect(page.get_by_role("alert")).to_contain_text("Before: several pictures are called 0. Rename them")
    page.get_by_label("Name", exact=True).fill("")
    drop(page, pairs / "after", at=(box["x"] + 20, 4))
    page.keyboard.press("Escape")
    expect(page.locator("#welcome")).to_be_visible()
    page.get_by_role("button", name="Teach a new task").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Name", exact=True).focus()
    page.keyboard.type("g?on")  # keys of the page are letters here
    expect(page.get_by_label("Name", exact=True)).to_have_value("g?on")
    page.get_by_label("Pairs").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("group", name="Label maps")).to_be_visible()
    expect(page.get_by_label("Names of the classes")).to_be_visible()


def test_label_maps_can_be_seen(open_page: Open, teacher: Server) -> None:
    page = open_page(url=teacher.url)
    open_panel(page)
    page.get_by_text("Labels", exact=True).click()
    dark, mask = Image.new("L", (30, 30)), Image.new("L", (30, 30))
    for value, x in ((1, 10), (2, 20), (255, 29)):  # class indices, and void
        dark.paste(value, (x, 0, 30, 30))
    mask.paste(255, (10, 0, 30, 30))
    maps = [
        {"name": f"{name}.png", "mimeType": "image/png", "buffer": as_bytes(image)}
        for name, image in (("dark", dark), ("mask", mask))
    ]
    page.set_input_files("[data-folder=labels]", maps)
    thumbnails = page.get_by_role("group", name="Label maps").locator("img")
    for number, factor in enumerate(("127.5", "1")):
        expect(thumbnails.nth(number)).to_have_css("filter", f"brightness({factor})")


def test_a_service_that_does_not_teach_has_no_panel(open_page: Open) -> None:
    page = open_page()
    expect(page.locator("#bundle-facts")).to_contain_text("tasks")
    expect(page.locator("#show-teach")).to_be_hidden()
    expect(page.locator("#teach")).to_be_hidden()


@pytest.mark.parametrize("name", SIZES)
def test_the_panel_fits_every_screen(open_page: Open, teacher: Server, name: str, tmp_path: Path) -> None:
    width, height = SIZES[name]
    for scheme in ("light", "dark"):
        page = open_page((width, height), url=teacher.url, color_scheme=scheme)
        open_panel(page)
        keep(page, f"teach-{name}-{scheme}", tmp_path)
        found = page.locator("#teach").evaluate(
            "(e) => [e.scrollWidth - e.clientWidth, e.getBoundingClientRect().right]"
        )
        assert found[0] == 0
        assert found[1] <= width
