"""Tasks over HTTP: what they are, and their answers, which are the engine's."""

from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import ExifTags, Image

import stencilnet as sn

TASKS = ("shapes", "colour", "clean")
PNG = {"Content-Type": "image/png"}


@pytest.fixture(scope="module")
def engine(golden: Path) -> sn.Engine:
    return sn.Engine(golden)


def opened(answer: httpx.Response) -> Image.Image:
    assert answer.status_code == 200, answer.text
    return Image.open(BytesIO(answer.content))


def same(one: Image.Image, other: Image.Image) -> bool:
    return one.mode == other.mode and np.array_equal(np.asarray(one), np.asarray(other))


def test_tasks_are_listed_with_what_they_take_and_answer(server) -> None:
    found = server.client.get("/v1/tasks").json()
    assert [task["name"] for task in found["tasks"]] == list(TASKS)
    assert found["backbone"].startswith("a5095e12")
    assert found["damaged"] == []
    shapes, colour, _ = found["tasks"]
    assert shapes["answer"] == {
        "type": "label_map",
        "classes": [
            {"name": "sky", "colour": [0, 0, 0]},
            {"name": "tree", "colour": [0, 128, 0]},
            {"name": "sun", "colour": [255, 220, 0]},
        ],
    }
    size = bytes_of(server.bundle / "tasks" / "colour")
    assert colour == {
        "name": "colour",
        "title": "Colour",
        "kind": "colorization",
        "category": "gray image colouring",
        "input": ["photo"],
        "method": "piggyback",
        "bytes": size,
        "scale": None,
        "answer": {"type": "picture", "classes": []},
    }


def bytes_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


@pytest.mark.parametrize("task", TASKS)
def test_an_answer_is_the_engines(server, engine: sn.Engine, picture: bytes, task: str) -> None:
    answer = server.client.post(f"/v1/tasks/{task}", content=picture, headers=PNG)
    assert answer.headers["content-type"] == "image/png"
    assert same(opened(answer), engine.run(picture, task))
    assert float(answer.headers["server-timing"].removeprefix("task;dur=")) > 0


def test_networks_see_all_16_bits(server, engine: sn.Engine) -> None:
    levels = np.random.default_rng(0).integers(0, 65536, (24, 40), dtype=np.uint16)
    file = BytesIO()
    Image.fromarray(levels).save(file, "PNG")
    answer = opened(server.client.post("/v1/tasks/clean", content=file.getvalue(), headers=PNG))
    assert same(answer, engine.run(file.getvalue(), "clean"))
    rounded = np.rint(levels / 257).astype(np.uint8)
    assert not same(answer, engine.run(Image.fromarray(rounded), "clean"))


def test_a_form_gives_the_same_answer(server, picture: bytes) -> None:
    raw = server.client.post("/v1/tasks/colour", content=picture, headers=PNG)
    form = server.client.post("/v1/tasks/colour", files={"image": ("photo.png", picture, "image/png")})
    assert form.status_code == 200
    assert form.content == raw.content


@pytest.mark.parametrize(("media", "form"), [("image/jpeg", "JPEG"), ("image/webp", "WEBP"), ("image/png", "PNG")])
def test_the_client_chooses_the_format(server, picture: bytes, media: str, form: str) -> None:
    accept = f"text/html, {media};q=0.9, */*;q=0.1"
    answer = server.client.post("/v1/tasks/colour", content=picture, headers={**PNG, "Accept": accept})
    assert answer.headers["content-type"] == media
    image = opened(answer)
    assert (image.format, image.size) == (form, (40, 24))
    assert image.info["icc_profile"]


@pytest.mark.parametrize(("task", "shape"), [("colour", (24, 40, 3)), ("shapes", (24, 40))])
def test_an_array_has_the_pixels(server, engine: sn.Engine, picture: bytes, task: str, shape: tuple[int, ...]) -> None:
    headers = {**PNG, "Accept": "application/x-npy"}
    answer = server.client.post(f"/v1/tasks/{task}", content=picture, headers=headers)
    array = np.load(BytesIO(answer.content), allow_pickle=False)
    assert (array.dtype, array.shape) == (np.uint8, shape)
    assert np.array_equal(array, np.asarray(engine.run(picture, task)))


def test_label_maps_in_webp_keep_the_colours_of_their_classes(server, engine: sn.Engine, picture: bytes) -> None:
    answer = server.client.post("/v1/tasks/shapes", content=picture, headers={**PNG, "Accept": "image/webp"})
    assert same(opened(answer).convert("RGB"), engine.run(picture, "shapes").convert("RGB"))


def test_scale_and_strips(server, engine: sn.Engine, picture: bytes) -> None:
    half = server.client.post("/v1/tasks/colour?scale=0.5", content=picture, headers=PNG)
    assert same(opened(half), engine.run(picture, "colour", scale=0.5))
    assert not same(opened(half), engine.run(picture, "colour"))
    strips = server.client.post("/v1/tasks/colour?tile=16", content=picture, headers=PNG)
    given, expected = (np.asarray(image).astype(int) for image in (opened(strips), engine.run(picture, "colour")))
    assert np.abs(given - expected).max() <= 1


def test_metadata_is_kept_if_asked_for(server) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "Ada"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[1] = "N"
    file = BytesIO()
    Image.new("RGB", (32, 32), "red").save(file, "JPEG", exif=exif)
    jpeg = {"Content-Type": "image/jpeg"}
    without = opened(server.client.post("/v1/tasks/colour", content=file.getvalue(), headers=jpeg)).getexif()
    kept = opened(server.client.post("/v1/tasks/colour?keep_metadata=true", content=file.getvalue(), headers=jpeg))
    assert dict(without) == {}
    assert kept.getexif()[ExifTags.Base.Artist] == "Ada"
    assert dict(kept.getexif().get_ifd(ExifTags.IFD.GPSInfo)) == {}


def test_the_page_is_served_with_its_types_and_a_policy(server) -> None:
    page = server.client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"].startswith("default-src 'self';")
    assert page.headers["x-content-type-options"] == "nosniff"
    script = server.client.get("/main.js")
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    again = server.client.get("/main.js", headers={"If-None-Match": script.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_health_and_metrics(server, picture: bytes) -> None:
    assert server.client.get("/healthz").json() == {"status": "ok", "problem": ""}
    server.client.post("/v1/tasks/clean", content=picture, headers=PNG)
    server.client.post("/v1/tasks/clean", content=b"nothing", headers=PNG)
    text = server.client.get("/metrics").text
    found = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    done = int(found['stencil_requests_total{task="clean",status="200"}'])
    assert done >= 1
    assert found['stencil_request_seconds_count{task="clean"}'] == str(done)
    assert found['stencil_request_seconds_bucket{task="clean",le="+Inf"}'] == str(done)
    assert int(found['stencil_requests_total{task="clean",status="422"}']) >= 1
    assert int(found['stencil_responses_total{status="422"}']) >= 1
    assert found["stencil_queue_length"] == found["stencil_pictures_running"] == "0"
