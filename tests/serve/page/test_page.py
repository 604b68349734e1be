"""The page in a real Chromium, with a real server: from a photo to its answers, looked at and saved."""

import json
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import ExifTags, Image
from playwright.sync_api import expect

import stencilnet as sn

from ..conftest import as_bytes
from .browsing import TASKS, Open, add, choose, downloaded, drop, keep, same, thumbnail, zoom_in

pytestmark = pytest.mark.slow  # a browser


def test_a_dropped_photo_shows_every_task_and_gives_the_engines_pixels(
    open_page: Open, engine: sn.Engine, photo: bytes, tmp_path: Path
) -> None:
    page = open_page()
    expect(page.locator("#privacy")).to_have_text("No picture leaves this machine.")
    expect(page.locator("#bundle-facts")).to_contain_text("3 tasks · ")
    file = tmp_path / "beach.png"
    file.write_bytes(photo)
    drop(page, file)
    expect(page.locator("#tasks img:not([hidden])")).to_have_count(len(TASKS))
    choose(page, "Colour")
    expect(page.locator("#live")).to_contain_text("Colour is done")
    assert page.locator("#task-time").inner_text().endswith("s")
    keep(page, "compare", tmp_path)
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


def test_a_folder_is_dropped_or_chosen_with_the_folders_in_it(open_page: Open, photo: bytes, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    for name in ("a10.png", "a9.png", "inner/b.png", ".hidden", "inner/.hidden"):
        (tmp_path / name).write_bytes(photo)
    page = open_page()
    drop(page, tmp_path)
    photos = page.locator("#photos .thumb")
    expect(photos).to_have_count(3)
    assert [each.get_attribute("aria-label") for each in photos.all()] == ["a9.png", "a10.png", "b.png"]
    page.set_input_files("#folder-files", tmp_path / "inner")
    expect(photos).to_have_count(4)
    expect(page.locator("#notices")).to_be_empty()


def test_a_photo_taken_upright_is_shown_upright(open_page: Open, engine: sn.Engine) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    data = as_bytes(Image.radial_gradient("L").convert("RGB").resize((96, 64)), "JPEG", exif=exif)
    page = open_page()
    add(page, ("a.jpg", data))
    expect(page.locator("#task-bytes")).to_have_text("64 × 96")
    choose(page, "Colour")
    _, saved = downloaded(page, page.locator("#download").click)
    assert same(saved, engine.run(data, "colour"))


def test_labels_of_the_whole_picture_are_bars(open_page: Open, photo: bytes) -> None:
    page = open_page()
    found = page.request.get("/v1/tasks").json()
    found["tasks"][1]["answer"] = {"type": "labels", "classes": []}
    labels = [{"label": "<b>cat</b>", "probability": 0.75}, {"label": "dog", "probability": 0.25}]
    page.route("**/v1/tasks", lambda route: route.fulfill(json=found))
    page.route("**/v1/tasks/colour", lambda route: route.fulfill(json={"labels": labels}))
    page.reload()
    add(page, ("a.png", photo))
    expect(thumbnail(page, "Colour")).to_contain_text("<b>cat</b> 75 %")
    choose(page, "Colour")
    expect(page.locator("#legend .label")).to_have_count(2)
    expect(page.get_by_role("slider")).to_be_hidden()
    name, data = downloaded(page, page.locator("#download").click)
    assert (name, json.loads(data)) == ("a-colour.json", {"labels": labels})


def test_a_photo_can_be_a_drawing_already(open_page: Open, photo: bytes) -> None:
    page = open_page()
    found = page.request.get("/v1/tasks").json()
    found["tasks"][1]["input"] = ["photo", "edges"]
    page.route("**/v1/tasks", lambda route: route.fulfill(json=found))
    page.reload()
    add(page, ("a.png", photo))
    choose(page, "Clean")
    box = page.get_by_label("The photo is a drawing")
    expect(box).to_be_hidden()
    choose(page, "Colour")
    with page.expect_request("**/v1/tasks/colour?input=edges"):
        box.check()


def test_all_tasks_side_by_side_and_as_a_zip(open_page: Open, engine: sn.Engine, photo: bytes, tmp_path: Path) -> None:
    page = open_page()
    add(page, ("beach.png", photo))
    page.get_by_role("button", name="All tasks side by side").click()
    cells = page.locator("#grid li")
    expect(cells).to_have_count(1 + len(TASKS))
    for cell in cells.all()[1:]:
        expect(cell.locator(".fact")).to_contain_text("·")
    keep(page, "grid", tmp_path)
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
    expect(page.locator("#zip-photos")).to_be_disabled()
    choose(page, "Clean")
    name, data = downloaded(page, page.locator("#zip-photos").click)
    assert name == "clean.zip"
    with ZipFile(BytesIO(data)) as archive:
        assert archive.namelist() == ["a-clean.png", "a-clean (2).png"]
        assert same(archive.read("a-clean (2).png"), engine.run(photo, "clean"))


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


def test_the_example_is_a_photo_like_any_other(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("button", name="Try a drawn scene").click()
    expect(page.locator("#tasks img:not([hidden])")).to_have_count(len(TASKS))
