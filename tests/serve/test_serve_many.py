"""Several tasks on one picture: at once as one body, and as jobs that are followed, fetched and cancelled."""

import json
import zipfile
from email import message_from_bytes
from email.policy import HTTP
from io import BytesIO

import httpx
import pytest

from .conftest import Server, as_bytes, photo

TASKS = "colour,shapes,clean"
PNG = {"Content-Type": "image/png"}


def single(server: Server, picture: bytes, task: str) -> bytes:
    return server.client.post(f"/v1/tasks/{task}", content=picture, headers=PNG).raise_for_status().content


def parts(answer: httpx.Response) -> dict[str, tuple[str, bytes]]:
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    message = message_from_bytes(head + answer.content, policy=HTTP)
    return {
        str(part.get_filename()): (part.get_content_type(), part.get_payload(decode=True))
        for part in message.iter_parts()
    }


def unzipped(answer: httpx.Response) -> dict[str, bytes]:
    with zipfile.ZipFile(BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def events(server: Server, job: str) -> list[tuple[str, dict]]:
    text = server.client.get(f"/v1/jobs/{job}/events").text
    blocks = [block.splitlines() for block in text.split("\n\n") if block]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


def test_many_answers_of_one_request_are_those_of_single_ones(server: Server, picture: bytes) -> None:
    expected = {f"{task}.png": single(server, picture, task) for task in TASKS.split(",")}
    zipped = server.client.post(f"/v1/run?tasks={TASKS}", content=picture, headers={**PNG, "Accept": "application/zip"})
    assert unzipped(zipped) == expected
    mixed = server.client.post(f"/v1/run?tasks={TASKS}", content=picture, headers=PNG)
    assert mixed.headers["content-type"].startswith("multipart/mixed; boundary=")
    assert parts(mixed) == {name: ("image/png", body) for name, body in expected.items()}


def test_the_format_of_many_answers_is_chosen(server: Server, picture: bytes) -> None:
    headers = {**PNG, "Accept": "application/zip"}
    answer = server.client.post("/v1/run?tasks=colour,colour&format=webp", content=picture, headers=headers)
    ((name, body),) = unzipped(answer).items()
    assert name == "colour.webp"
    assert body[8:12] == b"WEBP"


def test_a_job_is_followed_and_its_answers_are_fetched(server: Server, picture: bytes) -> None:
    started = server.client.post(f"/v1/jobs?tasks={TASKS}", files={"image": picture})
    assert started.status_code == 202
    job = started.json()["id"]
    assert started.headers["location"] == f"/v1/jobs/{job}"
    told = events(server, job)
    state, last = told[-1]
    assert (state, last) == (
        "done",
        {"id": job, "state": "done", "tasks": TASKS.split(","), "done": TASKS.split(","), "error": None},
    )
    assert all(name == data["state"] for name, data in told)
    assert server.client.get(f"/v1/jobs/{job}").json() == last
    for task in TASKS.split(","):
        answer = server.client.get(f"/v1/jobs/{job}/result/{task}")
        assert (answer.headers["content-type"], answer.content) == ("image/png", single(server, picture, task))
    whole = server.client.get(f"/v1/jobs/{job}/result", headers={"Accept": "application/zip"})
    assert set(unzipped(whole)) == {f"{task}.png" for task in TASKS.split(",")}
    assert server.client.delete(f"/v1/jobs/{job}").status_code == 204
    for path in ("", "/events", "/result", "/result/colour"):
        assert server.client.get(f"/v1/jobs/{job}{path}").json()["error"]["code"] == "not_found"
    assert server.client.delete(f"/v1/jobs/{job}").status_code == 404


def test_a_job_that_fails_says_why(server: Server) -> None:
    job = server.client.post("/v1/jobs?tasks=colour", content=b"nothing", headers=PNG).json()["id"]
    state, last = events(server, job)[-1]
    assert state == "failed"
    assert last["error"]["code"] == "invalid"
    assert last["error"]["message"].startswith("Cannot read the picture: it is none of AVIF, ")
    for path in ("result", "result/colour"):
        answer = server.client.get(f"/v1/jobs/{job}/{path}")
        assert (answer.status_code, answer.json()) == (422, {"error": last["error"]})


@pytest.fixture(scope="module")
def narrow(start) -> Server:
    """One picture runs at a time, and one may wait."""
    return start("--workers", 1, "--queue", 1)


SLOW = {"tasks": "colour,shapes", "tile": 16, "scale": 6}
"""Parameters by which a picture of 400x400 pixels takes many seconds."""


def test_jobs_are_cancelled_while_they_wait_and_while_they_run(narrow: Server, picture: bytes) -> None:
    slow = as_bytes(photo(400, 400))
    running = narrow.client.post("/v1/jobs", params=SLOW, content=slow, headers=PNG)
    waiting = narrow.client.post("/v1/jobs?tasks=colour", content=picture, headers=PNG)
    refused = narrow.client.post("/v1/jobs?tasks=colour", content=picture, headers=PNG)
    assert (running.status_code, waiting.status_code, refused.status_code) == (202, 202, 429)
    assert refused.headers["retry-after"] == "1"
    first, second = running.json()["id"], waiting.json()["id"]
    early = narrow.client.get(f"/v1/jobs/{first}/result/colour")
    assert (early.status_code, early.json()["error"]["code"]) == (409, "not_ready")
    assert narrow.client.get(f"/v1/jobs/{second}").json()["state"] == "waiting"
    with narrow.client.stream("GET", f"/v1/jobs/{first}/events") as stream:
        lines = stream.iter_lines()
        while next(lines) != "event: running":
            pass
        assert narrow.client.delete(f"/v1/jobs/{first}").status_code == 204
        assert "event: cancelled" in list(lines)
    assert events(narrow, second)[-1][0] == "done"  # the thread is free again
    third = narrow.client.post("/v1/jobs?tasks=colour", content=picture, headers=PNG)
    assert third.status_code == 202
