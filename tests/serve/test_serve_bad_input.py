"""Bad requests get the right status and a message that helps; the service goes on."""

import socket
import struct
import zlib
from collections.abc import Iterator

import httpx
import pytest

from .conftest import Server, as_bytes, photo

PNG = {"Content-Type": "image/png"}


def told(answer: httpx.Response, status: int, code: str) -> str:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message"}
    assert body["error"]["code"] == code
    return str(body["error"]["message"])


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is large."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


def test_what_is_no_picture(server: Server, picture: bytes) -> None:
    for body, reason in (
        (b"hello", "it is none of AVIF, BMP, "),
        (b"%!PS-Adobe-3.0 showpage", "it is PostScript (EPS), which is not read"),
        (picture[: len(picture) // 2], "its data cannot be decoded"),
        (as_bytes(photo(), "JPEG")[:-400], "its data cannot be decoded"),
    ):
        answer = server.client.post("/v1/tasks/colour", content=body, headers=PNG)
        assert told(answer, 422, "invalid").startswith(f"Cannot read the picture: {reason}")


def test_an_empty_body(server: Server) -> None:
    empty = "Expected a picture's file in the body, but got 0 bytes. Send the file."
    assert told(server.client.post("/v1/tasks/colour", content=b"", headers=PNG), 422, "invalid") == empty
    form = server.client.post("/v1/tasks/colour", files={"image": ("photo.png", b"", "image/png")})
    assert told(form, 422, "invalid") == empty


def test_a_form_without_the_picture(server: Server, picture: bytes) -> None:
    other = server.client.post("/v1/tasks/colour", files={"photo": picture})
    assert "with a file in the field `image`, but got none" in told(other, 422, "invalid")
    two = server.client.post("/v1/tasks/colour", files={"image": picture}, data={"scale": "1"})
    assert "and nothing else" in told(two, 422, "invalid")
    headers = {"Content-Type": "multipart/form-data"}
    assert "boundary" in told(server.client.post("/v1/tasks/colour", content=picture, headers=headers), 422, "invalid")


@pytest.mark.parametrize("size", [(60_000, 60_000), (8000, 8000)])
def test_a_bomb_is_not_decoded(server: Server, size: tuple[int, int]) -> None:
    answer = server.client.post("/v1/tasks/colour", content=bomb(*size), headers=PNG)
    assert "60000" in told(answer, 413, "too_large") or "8000x8000 pixels" in told(answer, 413, "too_large")


@pytest.fixture(scope="module")
def strict(start) -> Server:
    return start("--max-pixels", 5000, "--max-bytes", 100_000)


def test_pixels_are_bounded_as_they_are_and_for_the_network(strict: Server, picture: bytes) -> None:
    large = strict.client.post("/v1/tasks/colour", content=as_bytes(photo(100, 60)), headers=PNG)
    expected = "Expected a picture of at most 5000 pixels, but got 100x60 pixels as it is. Make it smaller, "
    assert told(large, 413, "too_large").startswith(expected)
    scaled = strict.client.post("/v1/tasks/colour?scale=3", content=picture, headers=PNG)
    assert "120x72 pixels for the network of 'colour'" in told(scaled, 413, "too_large")
    assert strict.client.post("/v1/tasks/colour?scale=2", content=picture, headers=PNG).status_code == 200


def test_bytes_are_bounded_whether_their_number_is_stated_or_not(strict: Server) -> None:
    def chunks() -> Iterator[bytes]:
        yield from (bytes(50_000) for _ in range(100))

    expected = "Expected a body of at most 100000 bytes, but got more. Send a smaller file, or raise --max-bytes."
    for body in (bytes(5_000_000), chunks()):  # the answer arrives although the client is still sending
        answer = strict.client.post("/v1/tasks/colour", content=body, headers=PNG)
        assert told(answer, 413, "too_large") == expected


def test_a_client_that_waits_to_be_asked_for_its_body_is_not(strict: Server) -> None:
    with socket.create_connection(("127.0.0.1", strict.client.base_url.port or 0)) as connection:
        head = f"POST /v1/tasks/colour HTTP/1.1\r\nHost: {strict.url[7:]}\r\nContent-Type: image/png\r\n"
        connection.sendall(head.encode() + b"Content-Length: 5000000\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 413 ")


def test_media_types(server: Server, picture: bytes) -> None:
    for media in ("text/plain", "application/x-www-form-urlencoded", "application/json"):
        answer = server.client.post("/v1/tasks/colour", content=picture, headers={"Content-Type": media})
        expected = "Expected a picture as `Content-Type: image/...`, application/octet-stream or multipart/form-data, "
        assert told(answer, 415, "unsupported_media_type").startswith(f"{expected}but got '{media}'.")
    assert server.client.post("/v1/tasks/colour", content=picture).status_code == 200  # httpx states none
    html = server.client.post(
        "/v1/tasks/colour", content=picture, headers={**PNG, "Accept": "text/html, image/png;q=0"}
    )
    assert "`Accept` to allow one of image/png, image/jpeg, " in told(html, 406, "not_acceptable")
    packed = server.client.post("/v1/run?tasks=colour", content=picture, headers={**PNG, "Accept": "image/png"})
    assert "one of multipart/mixed, application/zip" in told(packed, 406, "not_acceptable")


def test_unknown_tasks_paths_and_methods(server: Server, picture: bytes) -> None:
    unknown = server.client.post("/v1/tasks/gogh", content=picture, headers=PNG)
    assert told(unknown, 404, "not_found") == "Expected a task among shapes, colour, clean, but got 'gogh'."
    assert told(server.client.post("/v1/run?tasks=colour,gogh", content=picture, headers=PNG), 404, "not_found")
    for path in ("/v2/tasks", "/nothing.html", "/%2e%2e/service.py", "/docs"):
        assert "a path that /openapi.json lists" in told(server.client.get(path), 404, "not_found")
    put = server.client.put("/v1/tasks/colour", content=picture, headers=PNG)
    assert told(put, 405, "method_not_allowed") == "Expected POST for '/v1/tasks/colour', but got 'PUT'."
    assert put.headers["allow"] == "POST"
    assert server.client.put(f"/v1/jobs/{'0' * 22}").headers["allow"] == "DELETE, GET"


def test_all_wrong_parameters_are_told_at_once(server: Server, picture: bytes) -> None:
    wrong = server.client.post("/v1/tasks/colour?scale=large&tile=3&keep_metadata=maybe", content=picture, headers=PNG)
    message = told(wrong, 422, "invalid")
    assert all(word in message for word in ("'large'", "'3'", "`keep_metadata`", "'maybe'"))
    scale = told(server.client.post("/v1/tasks/colour?scale=0", content=picture, headers=PNG), 422, "invalid")
    assert scale == (
        "Expected valid parameters, but found `scale`: Input should be 'trained' or 'native', or greater than 0, "
        "got '0'. Correct them."
    )
    drawing = server.client.post("/v1/tasks/colour?input=edges", content=picture, headers=PNG)
    assert "a task that takes drawings (edges2photo), but got a colorization task" in told(drawing, 422, "invalid")
    restored = server.client.post("/v1/tasks/clean?scale=0.5", content=picture, headers=PNG)
    assert "restoration tasks always run at the picture's own size" in told(restored, 422, "invalid")


def test_other_hosts_and_other_sites_pages_are_refused(server: Server, picture: bytes) -> None:
    rebound = server.client.get("/v1/tasks", headers={"Host": "evil.example"})
    assert "the host localhost or 127.0.0.1, but got 'evil.example'" in told(rebound, 421, "misdirected")
    assert told(server.client.get("/v1/tasks", headers={"Host": "[::1"}), 421, "misdirected")
    port = server.client.base_url.port
    assert server.client.get("/v1/tasks", headers={"Host": f"localhost:{port}"}).status_code == 200
    for origin in ("https://evil.example", "null", f"http://127.0.0.1:{port + 1}"):
        answer = server.client.post("/v1/tasks/colour", files={"image": picture}, headers={"Origin": origin})
        assert f"but got one of '{origin}'" in told(answer, 403, "forbidden")
    own = server.client.post("/v1/tasks/colour", files={"image": picture}, headers={"Origin": server.url})
    assert own.status_code == 200
