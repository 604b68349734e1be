"""Many clients, impatient clients, and the end of the service."""

import socket
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from signal import SIGINT, SIGTERM

import httpx
import pytest

from stencilnet.bundle import remove_task

from .conftest import Server, Start, as_bytes, photo

pytestmark = pytest.mark.slow  # servers of their own, stopped in the middle of work
PNG = {"Content-Type": "image/png"}
SLOW = {"tile": 16, "scale": 4}
"""Parameters by which a picture of 400x400 pixels takes seconds."""


@pytest.fixture(scope="module")
def large() -> bytes:
    return as_bytes(photo(400, 400))


def counts(server: Server) -> dict[str, int]:
    lines = server.client.get("/metrics").text.splitlines()
    return {name: int(float(value)) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def wait_for(server: Server, name: str, value: int) -> None:
    for _ in range(3000):
        if counts(server).get(name) == value:
            return
    raise AssertionError(f"{name} is not {value}: {counts(server)}")


def test_a_hundred_at_once_are_answered_or_told_to_wait(start: Start, picture: bytes) -> None:
    server = start("--queue", 40)
    expected = server.client.post("/v1/tasks/colour", content=picture, headers=PNG).content

    def ask(number: int) -> httpx.Response:
        return many.post(f"/v1/tasks/{('colour', 'shapes', 'clean')[number % 3]}", content=picture, headers=PNG)

    unlimited = httpx.Limits(max_connections=None)
    with (
        httpx.Client(base_url=server.url, limits=unlimited, timeout=60, trust_env=False) as many,
        ThreadPoolExecutor(100) as threads,
    ):
        answers = list(threads.map(ask, range(100)))
    found = Counter(answer.status_code for answer in answers)
    assert set(found) <= {200, 429}
    assert found[200] >= 42
    assert all(answer.headers["retry-after"] == "1" for answer in answers if answer.status_code == 429)
    assert {answer.content for answer in answers[::3] if answer.status_code == 200} <= {expected}
    after = counts(server)
    assert sum(value for name, value in after.items() if name.startswith("stencil_requests_total")) == 101
    assert after["stencil_queue_length"] == after["stencil_pictures_running"] == 0


@pytest.fixture(scope="module")
def narrow(start: Start) -> Server:
    """One picture runs at a time, none may wait."""
    return start("--workers", 1, "--queue", 0)


def test_a_client_that_hangs_up_frees_its_place(narrow: Server, large: bytes, picture: bytes) -> None:
    with socket.create_connection(("127.0.0.1", narrow.client.base_url.port or 0)) as connection:
        head = (
            f"POST /v1/tasks/colour?tile=16&scale=6 HTTP/1.1\r\nHost: {narrow.url[7:]}\r\nContent-Type: image/png\r\n"
        )
        connection.sendall(head.encode() + f"Content-Length: {len(large)}\r\n\r\n".encode() + large)
        wait_for(narrow, "stencil_pictures_running", 1)
        assert narrow.client.post("/v1/tasks/colour", content=picture, headers=PNG).status_code == 429
    wait_for(narrow, 'stencil_requests_total{task="colour",status="499"}', 1)
    wait_for(narrow, "stencil_pictures_running", 0)
    assert narrow.client.post("/v1/tasks/colour", content=picture, headers=PNG).status_code == 200


def test_a_client_that_hangs_up_while_it_sends_frees_its_place(narrow: Server, picture: bytes) -> None:
    with socket.create_connection(("127.0.0.1", narrow.client.base_url.port or 0)) as connection:
        head = f"POST /v1/tasks/shapes HTTP/1.1\r\nHost: {narrow.url[7:]}\r\nContent-Type: image/png\r\n"
        connection.sendall(head.encode() + b"Content-Length: 1000\r\n\r\nhalf of it")
        wait_for(narrow, "stencil_queue_length", 1)
    wait_for(narrow, 'stencil_requests_total{task="shapes",status="499"}', 1)
    assert narrow.client.post("/v1/tasks/colour", content=picture, headers=PNG).status_code == 200


def test_time_is_bounded(start: Start, large: bytes, picture: bytes) -> None:
    server = start("--timeout", 1)
    slow = server.client.post("/v1/tasks/colour", params={"tile": 16, "scale": 6}, content=large, headers=PNG)
    assert (slow.status_code, slow.json()["error"]["code"]) == (503, "unavailable")
    assert slow.json()["error"]["message"].startswith("Expected an answer within 1 seconds, but it takes longer.")
    wait_for(server, "stencil_pictures_running", 0)
    assert server.client.post("/v1/tasks/colour", content=picture, headers=PNG).status_code == 200
    query = {"tile": 16, "scale": 6, "tasks": "colour"}
    job = server.client.post("/v1/jobs", params=query, content=large, headers=PNG).json()["id"]
    with server.client.stream("GET", f"/v1/jobs/{job}/events") as stream:
        assert "event: done" in list(stream.iter_lines())


def test_a_task_that_is_removed_while_a_request_waits_is_not_found(start: Start, large: bytes, picture: bytes) -> None:
    server = start("--workers", 1)
    with ThreadPoolExecutor(2) as threads:
        slow = threads.submit(server.client.post, "/v1/tasks/colour", params=SLOW, content=large, headers=PNG)
        wait_for(server, "stencil_pictures_running", 1)
        job = server.client.post("/v1/jobs?tasks=shapes", content=picture, headers=PNG).json()["id"]
        waiting = threads.submit(server.client.post, "/v1/tasks/shapes", content=picture, headers=PNG)
        wait_for(server, "stencil_queue_length", 2)
        remove_task(server.bundle, "shapes")
        assert slow.result().status_code == 200
    answer, expected = waiting.result(), "Expected a task among those of GET /v1/tasks, but got 'shapes'."
    assert (answer.status_code, answer.json()["error"]) == (404, {"code": "not_found", "message": expected})
    with server.client.stream("GET", f"/v1/jobs/{job}/events") as stream:
        assert "event: failed" in list(stream.iter_lines())
    assert server.client.get(f"/v1/jobs/{job}").json()["error"] == answer.json()["error"]
    assert server.client.post("/v1/tasks/colour", content=picture, headers=PNG).status_code == 200


@pytest.mark.parametrize("signal", [SIGTERM, SIGINT])
def test_a_signal_lets_what_runs_end(start: Start, large: bytes, picture: bytes, signal: int) -> None:
    server = start("--workers", 1)
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(server.client.post, "/v1/tasks/colour", params=SLOW, content=large, headers=PNG)
        wait_for(server, "stencil_pictures_running", 1)
        job = server.client.post("/v1/jobs?tasks=colour", content=picture, headers=PNG).json()["id"]
        with server.client.stream("GET", f"/v1/jobs/{job}/events") as stream:
            lines = stream.iter_lines()
            assert next(lines) == "event: waiting"
            server.process.send_signal(signal)
            assert "event: cancelled" in list(lines)
        late = server.client.post("/v1/tasks/colour", content=picture, headers=PNG)
        assert (late.status_code, late.json()["error"]["code"]) == (503, "unavailable")
        assert slow.result().status_code == 200
    _, err = server.process.communicate(timeout=60)
    assert (server.process.returncode, err) == (0, "")


def command(*words: object) -> subprocess.CompletedProcess[str]:
    called = [sys.executable, "-m", "stencilnet", "serve", *map(str, words)]
    return subprocess.run(called, capture_output=True, text=True, timeout=120)


def test_a_busy_port_is_one_line(golden: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = command(golden, "--port", port)
    expected = (
        f"stencil: Cannot listen on 127.0.0.1, port {port}: Address already in use. Choose another --port or --host.\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", expected)


def test_a_broken_bundle_is_one_line(tmp_path: Path) -> None:
    done = command(tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    expected = "not a bundle. Expected a folder with config.json, but got a folder without one. Check the path."
    assert done.stderr == f"stencil: {tmp_path}: {expected}\n"
