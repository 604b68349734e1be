"""A new task is taught over HTTP, by a real training of a few steps in a process of the service."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from signal import SIG_DFL, SIGHUP, SIGTERM, Signals
from signal import signal as set_handler

import httpx
import psutil
import pytest
import yaml
from PIL import Image, ImageOps

from stencilnet.errors import NotInstalledError, check_extra

from .conftest import Server, Start, as_bytes, photo
from .test_serve_bad_input import PNG, told
from .test_serve_load import wait_for

COUNT = 6
TRAINING = pytest.mark.slow  # a process that imports PyTorch


def inverted(picture: Image.Image) -> Image.Image:
    return ImageOps.invert(picture)


@pytest.fixture(scope="module")
def teacher(start: Start) -> Server:
    return start("--teach")


@pytest.fixture(autouse=True)
def _forget(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "teacher" in request.fixturenames:
        client = request.getfixturevalue("teacher").client
        if lesson := client.get("/v1/teaching").json()["lesson"]:
            client.delete(f"/v1/teaching/{lesson['id']}").raise_for_status()


def begin(server: Server, name: str = "invert", kind: str = "pairs", **query: object) -> str:
    answer = server.client.post("/v1/teaching", params={"name": name, "kind": kind, **query})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/v1/teaching/{answer.json()['id']}"
    return str(answer.headers["location"])


def send(server: Server, lesson: str, folder: str, name: str, data: bytes, **headers: str) -> httpx.Response:
    path = f"{lesson}/pictures/{folder}"
    return server.client.post(path, params={"name": name}, content=data, headers={**PNG, **headers})


def send_pairs(server: Server, lesson: str, count: int = COUNT) -> None:
    for number in range(count):
        picture = photo(40, 40, seed=number)
        assert send(server, lesson, "before", f"in/{number}.png", as_bytes(picture)).status_code == 200
        answer = send(server, lesson, "after", f"in/{number}.jpg", as_bytes(inverted(picture), "JPEG"))
    assert answer.json()["pictures"] == {"before": count, "after": count}


def follow(server: Server, lesson: str) -> Iterator[dict]:
    with server.client.stream("GET", f"{lesson}/events") as stream:
        for line in stream.iter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


def trainings(server: Server) -> list[psutil.Process]:
    return psutil.Process(server.process.pid).children(recursive=True)


@TRAINING
def test_pairs_are_taught_while_pictures_are_answered(teacher: Server, picture: bytes) -> None:
    assert teacher.client.get("/v1/tasks").json()["teaching"] is True
    assert teacher.client.get("/v1/teaching").json() == {"lesson": None}
    lesson = begin(teacher, steps=20)
    send_pairs(teacher, lesson)
    assert teacher.client.post(f"{lesson}/start").status_code == 202
    answered = set()
    states = []
    for state in follow(teacher, lesson):
        states.append(state)
        answered.add(teacher.client.post("/v1/tasks/colour", content=picture, headers=PNG).status_code)
    assert answered == {200}
    last = states[-1]
    assert (last["state"], last["error"]) == ("done", None), last
    assert [state["step"] for state in states] == sorted(state["step"] for state in states)
    assert (last["step"], last["steps"], last["seconds_left"]) == (20, 20, 0)
    assert last["measure"]["metric"] == "MSE"
    assert last["better"] == (last["measure"]["value"] < last["measure"]["trivial_value"])
    assert last["measure"]["trivial"] == "the unchanged picture"
    assert last["notes"]
    assert any(state["doing"] == "looking into the folders" for state in states)
    assert teacher.client.get("/v1/teaching").json()["lesson"] == last

    sheet = teacher.client.get(f"{lesson}/samples/{last['samples']}")
    assert sheet.headers["content-type"] == "image/png"
    assert last["columns"] == ["input", "target", "output"]
    assert Image.open(BytesIO(sheet.content)).width % 3 == 1  # three pictures and two gaps of two pixels
    assert told(teacher.client.get(f"{lesson}/samples/999"), 404, "not_found")

    config = teacher.client.get(f"{lesson}/config")
    assert Path(last["config"]["file"]).read_bytes() == config.content
    (told_again,) = yaml.safe_load(config.text)["tasks"]
    assert told_again["data"]["train"] == {"kind": "pairs", "inputs": "before", "targets": "after"}

    assert "invert" in [task["name"] for task in teacher.client.get("/v1/tasks").json()["tasks"]]
    answer = teacher.client.post("/v1/tasks/invert", content=picture, headers=PNG)
    assert Image.open(BytesIO(answer.content)).size == photo().size
    again = teacher.client.post("/v1/teaching", params={"name": "invert", "kind": "pairs"})
    assert "there is a task 'invert'" in told(again, 422, "invalid")


@TRAINING
def test_a_failure_is_told_with_the_names_that_were_sent(teacher: Server) -> None:
    lesson = begin(teacher, "few")
    for name in ("a", "b"):
        send(teacher, lesson, "before", f"inner/{name}.png", as_bytes(photo())).raise_for_status()
    send(teacher, lesson, "after", "inner/a.png", as_bytes(photo())).raise_for_status()
    teacher.client.post(f"{lesson}/start").raise_for_status()
    *_, last = follow(teacher, lesson)
    assert (last["state"], last["error"]["code"]) == ("failed", "invalid")
    message = last["error"]["message"]
    assert "inner/b" in message
    assert "picture-" not in message
    assert "/tmp" not in message
    assert trainings(teacher) == []
    assert "this one is failed. Begin a new one." in told(teacher.client.get(f"{lesson}/config"), 409, "not_ready")


@TRAINING
def test_cancelling_ends_the_process_and_one_runs_at_a_time(teacher: Server) -> None:
    lesson = begin(teacher, "cancelled", steps=100_000)
    send_pairs(teacher, lesson)
    teacher.client.post(f"{lesson}/start").raise_for_status()
    events = follow(teacher, lesson)
    assert next(state for state in events if state["step"])["state"] == "running"
    assert len(trainings(teacher)) >= 1
    other = teacher.client.post("/v1/teaching", params={"name": "other", "kind": "pairs"})
    assert "but 'cancelled' is being learned. Wait, or cancel it." in told(other, 409, "not_ready")
    assert told(teacher.client.post(f"{lesson}/start"), 409, "not_ready")
    assert teacher.client.delete(lesson).status_code == 204
    assert trainings(teacher) == []
    assert [state["state"] for state in events][-1] == "cancelled"
    assert teacher.client.get("/v1/teaching").json() == {"lesson": None}
    assert "cancelled" not in [task["name"] for task in teacher.client.get("/v1/tasks").json()["tasks"]]


@TRAINING
def test_the_service_ends_its_training(start: Start) -> None:
    server = start("--teach")
    lesson = begin(server, steps=100_000)
    send_pairs(server, lesson)
    server.client.post(f"{lesson}/start").raise_for_status()
    events = follow(server, lesson)
    assert next(state for state in events if state["step"])
    processes = trainings(server)
    assert processes
    (folder,) = {Path(process.cmdline()[process.cmdline().index("--out") + 1]).parent for process in processes[:1]}
    server.process.send_signal(SIGTERM)
    assert [state["state"] for state in events][-1] == "cancelled"
    _, err = server.process.communicate(timeout=60)
    assert (server.process.returncode, err) == (0, "")
    assert [process.is_running() for process in processes] == [False] * len(processes)
    assert not folder.exists()


@pytest.mark.parametrize("signal", [SIGTERM, SIGHUP])
def test_no_pictures_are_left_behind(
    start: Start, signal: Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    (tmp_path / f"stencil-teach-{ended.pid}-left" / "pictures").mkdir(parents=True)
    running = tmp_path / f"stencil-teach-{os.getpid()}-kept"
    running.mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = set_handler(SIGHUP, SIG_DFL)  # a service inherits that of `nohup`, and heeds it
    server = start("--teach")
    set_handler(SIGHUP, before)
    assert list(tmp_path.glob("stencil-teach-*")) == [running]
    lesson = begin(server)
    send(server, lesson, "before", "a.png", as_bytes(photo())).raise_for_status()
    (picture,) = tmp_path.rglob("picture-*.png")
    server.process.send_signal(signal)
    _, err = server.process.communicate(timeout=60)
    assert (server.process.returncode, err) == (0, "")
    assert not picture.exists()
    assert list(tmp_path.glob("stencil-teach-*")) == [running]


def test_pictures_are_checked_before_they_are_kept(start: Start) -> None:
    server = start("--teach", "--max-pixels", 5000, "--max-bytes", 100_000)
    lesson = begin(server, "checked")
    small = as_bytes(photo())
    for name, data, status, said in (
        ("in/a.png", b"hello", 422, "'in/a.png': "),
        ("in/a.png", small[:-100], 422, "'in/a.png': "),
        ("in/a.png", as_bytes(photo(100, 60)), 413, "'in/a.png': "),
        ("in/a.png", as_bytes(photo(100, 60)), 413, "as it is. Make it smaller, or start the server"),
        ("a.png", bytes(100_001), 413, "bytes"),
        ("a.exe", small, 422, "'a.exe'"),
        ("a", small, 422, "'a'"),
    ):
        code = {413: "too_large", 422: "invalid"}[status]
        assert said in told(send(server, lesson, "before", name, data), status, code)
    form = server.client.post(f"{lesson}/pictures/before", params={"name": "../../a.png"}, files={"image": small})
    assert form.json()["pictures"] == {"before": 1, "after": 0}
    assert "'../../a.tif' twice" in told(send(server, lesson, "before", "../../a.tif", small), 422, "invalid")
    assert "among before, after" in told(send(server, lesson, "photos", "a.png", small), 404, "not_found")
    assert "no pictures for after" in told(server.client.post(f"{lesson}/start"), 409, "not_ready")
    other = begin(server, "second")
    assert told(send(server, lesson, "before", "b.png", small), 404, "not_found")
    assert send(server, other, "before", "b.png", small).status_code == 200


def test_a_picture_that_is_sent_by_half_is_not_kept(teacher: Server) -> None:
    lesson = begin(teacher, "hung-up")
    data = as_bytes(photo())
    head = (
        f"POST {lesson}/pictures/before?name=a.png HTTP/1.1\r\nHost: {teacher.url[7:]}\r\nContent-Type: image/png\r\n"
    )
    with socket.create_connection(("127.0.0.1", teacher.client.base_url.port or 0)) as connection:
        connection.sendall(head.encode() + f"Content-Length: {len(data)}\r\n\r\n".encode() + data[:-1])
        wait_for(teacher, "stencil_queue_length", 1)
    wait_for(teacher, "stencil_queue_length", 0)
    assert teacher.client.get("/v1/teaching").json()["lesson"]["pictures"] == {"before": 0, "after": 0}
    assert send(teacher, lesson, "before", "a.png", data).json()["pictures"] == {"before": 1, "after": 0}


def test_wrong_lessons_are_refused(teacher: Server) -> None:
    for query, said in (
        ({"name": "../up", "kind": "pairs"}, "`name`"),
        ({"name": "new", "kind": "magic"}, "`kind`"),
        ({"name": "new", "kind": "restore"}, "`damage` for `restore` alone, but got none"),
        ({"name": "new", "kind": "pairs", "damage": "noise"}, "but got one for `pairs`"),
        ({"name": "new", "kind": "pairs", "threshold": 9}, "for `labels` alone"),
        ({"name": "new", "kind": "pairs", "minutes": "inf"}, "`minutes`"),
    ):
        assert said in told(asked(teacher, query), 422, "invalid")
    assert told(teacher.client.delete(f"/v1/teaching/{'0' * 22}"), 404, "not_found")


def asked(server: Server, query: dict) -> httpx.Response:
    return server.client.post("/v1/teaching", params=query)


def test_a_page_of_another_site_cannot_teach(teacher: Server) -> None:
    query = {"name": "evil", "kind": "pairs"}
    for origin in ("https://evil.example", "null", f"http://127.0.0.1:{(teacher.client.base_url.port or 0) + 1}"):
        answer = teacher.client.post("/v1/teaching", params=query, headers={"Origin": origin})
        assert told(answer, 403, "forbidden")
    rebound = teacher.client.post("/v1/teaching", params=query, headers={"Host": "evil.example"})
    assert told(rebound, 421, "misdirected")
    lesson = begin(teacher, "good")
    for method, path in (
        ("POST", f"{lesson}/start"),
        ("DELETE", lesson),
        ("POST", f"{lesson}/pictures/before?name=a.png"),
    ):
        answer = teacher.client.request(method, path, headers={"Origin": "https://evil.example"})
        assert told(answer, 403, "forbidden")
    assert teacher.client.get("/v1/teaching").json()["lesson"]["pictures"] == {"before": 0, "after": 0}


def test_a_service_that_was_not_asked_to_does_not_teach(server: Server) -> None:
    assert asked(server, {"name": "new", "kind": "pairs"}).status_code == 405
    assert told(server.client.get("/v1/teaching"), 404, "not_found")
    assert "/v1/teaching" not in server.client.get("/openapi.json").json()["paths"]
    assert server.client.get("/v1/tasks").json()["teaching"] is False


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    check_extra("train", "stencil serve --teach")
    monkeypatch.setattr("stencilnet.errors.find_spec", lambda _: None)
    with pytest.raises(NotInstalledError, match=r"^stencil serve --teach needs PyTorch, .* 'stencilnet\[train\]'$"):
        check_extra("train", "stencil serve --teach")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("bundle", "--host", "0.0.0.0"), "needs a loopback address, but got --host 0.0.0.0."),
        (("sample",), "--teach changes BUNDLE, but the bundle `sample` is part of the installation"),
    ],
)
def test_teaching_is_offered_only_where_it_is_safe(
    tmp_path: Path, golden: Path, words: tuple[str, ...], said: str
) -> None:
    (tmp_path / "bundle").symlink_to(golden)
    command = [sys.executable, "-m", "stencilnet", "serve", *words, "--teach"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
