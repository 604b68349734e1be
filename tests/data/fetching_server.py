"""A web server on loopback that misbehaves as told, and archives to serve."""

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from stencilnet.datasets.fetching.catalog import Checksum


@dataclass
class Served:
    """A file on the server, and how it is served; the lists are used up, one item a request."""

    data: bytes
    tag: str | None = '"v1"'
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)  # hang up after so many bytes of the body
    held: threading.Event | None = None  # before it hangs up after a cut, wait for this
    statuses: list[int] = field(default_factory=list)  # answer with these first
    claimed: int | None = None  # Content-Length, if not the true one
    sized: bool = True
    asked: list[tuple[str | None, str | None]] = field(default_factory=list)  # Range and If-Range of each request


class Server:
    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.files: dict[str, Served] = {}

    def serve(self, name: str, data: bytes, **how: object) -> Served:
        self.files[f"/{name}"] = Served(data, **how)  # type: ignore[arg-type]
        return self.files[f"/{name}"]


@contextmanager
def web_server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            answer(self, server.files.get(self.path))

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = Server(httpd.server_address[1])
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def answer(request: BaseHTTPRequestHandler, file: Served | None) -> None:
    if file is None:
        request.send_error(404)
        return
    wanted, condition = request.headers["Range"], request.headers["If-Range"]
    file.asked.append((wanted, condition))
    if file.statuses:
        request.send_error(file.statuses.pop(0))
        return
    start = 0
    if wanted and file.ranges and (condition is None or condition == file.tag):
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
    total = len(file.data)
    if start and start >= total:
        request.send_response(416)
        request.send_header("Content-Range", f"bytes */{total}")
        request.send_header("Content-Length", "0")
        request.end_headers()
        return
    request.send_response(206 if start else 200)
    if start:
        request.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
    if file.tag:
        request.send_header("ETag", file.tag)
    if file.sized:
        request.send_header("Content-Length", str((file.claimed or total) - start))
    request.end_headers()
    cut = file.cuts.pop(0) if file.cuts else total
    request.wfile.write(file.data[start : start + cut])
    if cut < total and file.held:
        file.held.wait()


def md5(data: bytes) -> Checksum:
    return Checksum(algorithm="md5", digest=hashlib.md5(data, usedforsecurity=False).hexdigest())


def zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(files: Mapping[str, bytes | tarfile.TarInfo]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            if isinstance(data, tarfile.TarInfo):
                archive.addfile(data)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()
