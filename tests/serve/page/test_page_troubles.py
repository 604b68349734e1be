"""The page where not all goes well, on every screen: errors, undo, a server that goes, memory, sizes, dark mode."""

import re
import shutil
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

import stencilnet as sn

from ..conftest import as_bytes
from ..conftest import photo as drawn_photo
from .browsing import TASKS, Open, add, choose, downloaded, keep, same, thumbnail

pytestmark = pytest.mark.slow  # a browser

DESKTOP, TABLET, PHONE = (1440, 900), (834, 1112), (360, 740)


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


def test_escape_ends_the_work_of_a_task_on_the_server_too(open_page: Open, server) -> None:
    def hung_up() -> list[str]:
        return re.findall(r'task="clean",status="499".*', server.client.get("/metrics").text)

    page = open_page()
    add(page, ("large.png", as_bytes(Image.new("RGB", (4000, 3000)))))
    expect(page.locator("#tasks img:not([hidden])")).to_have_count(len(TASKS))
    before = hung_up()
    thumbnail(page, "Clean").click()
    expect(page.locator("#busy")).to_contain_text("Clean is running")
    page.keyboard.press("Escape")
    expect(page.locator("#busy")).to_be_hidden()
    while hung_up() == before:
        pass
    expect(page.locator("#notices")).to_be_empty()


def test_a_large_photo_runs_as_a_job(open_page: Open, engine: sn.Engine) -> None:
    page = open_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(f"{request.method} {request.url}"))
    large = as_bytes(drawn_photo(1300, 900), "JPEG")
    add(page, ("large.jpg", large))
    expect(page.locator("#tasks img:not([hidden])")).to_have_count(len(TASKS))
    asked.clear()
    choose(page, "Clean")
    assert same(downloaded(page, page.locator("#download").click)[1], engine.run(large, "clean"))
    (job,) = {found[0] for found in map(re.compile(r"(?<=/v1/jobs/)[\w-]{22}").search, asked) if found}
    found = [line.replace(page.url, "").replace(job, "ID") for line in asked if "blob:" not in line]
    expected = ["POST v1/jobs?tasks=clean", "GET v1/jobs/ID/events", "GET v1/jobs/ID/result/clean", "DELETE v1/jobs/ID"]
    assert found == expected


def test_a_job_that_fails_is_told(open_page: Open, start) -> None:
    page = open_page(url=start("--max-pixels", 1_100_000).url)
    add(page, ("large.jpg", as_bytes(drawn_photo(1300, 900), "JPEG")))
    thumbnail(page, "Clean").click()
    expect(page.locator("#failure")).to_contain_text("Expected a picture of at most 1100000 pixels")


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


@pytest.mark.parametrize(("name", "size"), [("desktop", DESKTOP), ("tablet", TABLET), ("phone", PHONE)])
def test_no_size_of_the_screen_scrolls_sideways(
    open_page: Open, photo: bytes, tmp_path: Path, name: str, size: tuple[int, int]
) -> None:
    page = open_page(size, color_scheme="dark")

    def check(state: str) -> None:
        keep(page, f"{name}-{state}", tmp_path)
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


def test_old_answers_are_let_go_but_for_those_that_are_shown(open_page: Open) -> None:
    kept = open_page().evaluate(
        """async () => {
            const { initial, trimmed } = await import("./model.js");
            const done = (size) => ({ status: "done", blob: { size } });
            const results = new Map([["1 full a", done(5)], ["2 full a", done(5)], ["3 full a", done(4)]]);
            const left = (state, most) => [...trimmed({ ...initial, results, ...state }, most).results.keys()];
            return [left({ photo: 3 }, 9), left({ photo: 1 }, 9), left({ photo: 3, job: {} }, 1)];
        }"""
    )
    assert kept == [
        ["2 full a", "3 full a"],
        ["1 full a", "2 full a", "3 full a"],
        ["1 full a", "2 full a", "3 full a"],
    ]


def test_two_fingers_zoom_and_both_halves_stay_aligned(open_page: Open, photo: bytes) -> None:
    page = open_page(PHONE, has_touch=True)
    add(page, ("a.png", photo))
    choose(page, "Colour")
    box = page.locator("#stage").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 4
    touch = page.context.new_cdp_session(page)

    def fingers(kind: str, *places: float) -> None:
        points = [{"x": place, "y": y, "id": finger} for finger, place in enumerate(places)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    before = page.locator("#before").evaluate("(image) => image.style.transform")
    fingers("touchStart", x - 20, x + 20)
    fingers("touchMove", x - 120, x + 120)
    fingers("touchEnd")
    expect(page.locator("#stage")).to_have_class("compared pannable")
    one, other = (page.locator(each).evaluate("(image) => image.style.transform") for each in ("#before", "#after"))
    assert one == other != before


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


def test_a_bundle_that_cannot_be_read_is_told_as_the_server_says_it(open_page: Open) -> None:
    page = open_page()
    error = {"error": {"code": "internal", "message": "Expected a bundle."}}
    page.route("**/v1/tasks", lambda route: route.fulfill(status=500, json=error), times=1)
    page.reload()
    expect(page.locator("#gone")).to_have_text("Expected a bundle. This page tries again by itself.")
    expect(page.locator("#tasks li")).to_have_count(len(TASKS))


def test_a_task_that_is_damaged_is_told_and_the_others_run(open_page: Open, start, photo: bytes) -> None:
    server = start()
    delta = next((server.bundle / "tasks" / "colour").glob("delta*"))
    delta.write_bytes(delta.read_bytes()[:-1])
    page = open_page(url=server.url)
    add(page, ("a.png", photo))
    expect(page.locator("#tasks img:not([hidden])")).to_have_count(len(TASKS) - 1)
    expect(page.locator("#notices").get_by_role("alert")).to_contain_text("delta")
    expect(thumbnail(page, "Colour")).to_contain_text("failed")
