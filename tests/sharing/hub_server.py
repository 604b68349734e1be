"""A hub on loopback: the part of the Hugging Face Hub's HTTP protocol that publishing and downloading a model needs.

Repositories with a history, tokens, gated and private repositories, large files by LFS (a batch request, an upload, a
redirect to where it lies, with Range), small ones in the commit itself. It keeps every request, and fails as told.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LICENSES = ("apache-2.0", "mit", "other")
LARGE = (".safetensors", ".jpg")
"""What a new repository's .gitattributes gives to LFS."""


@dataclass
class Repo:
    private: bool = False
    gated: bool = False
    commits: list[tuple[str, str, dict[str, bytes]]] = field(default_factory=list)  # hash, message, files
    refs: dict[str, str] = field(default_factory=dict)

    def commit(self, message: str, files: dict[str, bytes]) -> str:
        sha = hashlib.sha1(f"{len(self.commits)} {message}".encode(), usedforsecurity=False).hexdigest()
        self.commits.append((sha, message, files))
        return sha

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        sha = self.commits[-1][0] if revision == "main" else self.refs.get(revision, revision)
        return next(((found, files) for found, _, files in self.commits if found == sha), None)

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[-1][2]


@dataclass
class Hub:
    url: str
    repos: dict[str, Repo] = field(default_factory=dict)
    tokens: dict[str, str] = field(
        default_factory=lambda: {"hf_writer": "me", "hf_reader": ""}
    )  # the namespace to write
    stored: dict[str, bytes] = field(default_factory=dict)  # LFS, by SHA-256
    requests: list[str] = field(default_factory=list)
    answers: dict[str, int] = field(default_factory=dict)  # status to answer with, once, by a part of "METHOD /path"
    cuts: dict[str, int] = field(default_factory=dict)  # hang up after so many bytes, once, by a part of a stored hash
    ranges: list[str] = field(default_factory=list)  # Range headers seen

    @property
    def elsewhere(self) -> str:
        """The same server as another host: the hub's large files lie at one, which must not get the token."""
        return self.url.replace("127.0.0.1", "localhost")

    def repo(self, name: str, files: dict[str, bytes] | None = None, **how: bool) -> Repo:
        self.repos[name] = Repo(**how)
        self.repos[name].commit("initial commit", {".gitattributes": b"*.safetensors filter=lfs\n"} | (files or {}))
        return self.repos[name]

    def asked_for(self, part: str) -> list[str]:
        return [request for request in self.requests if part in request]


@contextmanager
def hub_server() -> Iterator[Hub]:
    class Handler(_Handler):
        pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Handler.hub = Hub(url=f"http://127.0.0.1:{httpd.server_address[1]}")
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Handler.hub
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


class _RefusedError(Exception):
    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


def git_hash(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub
    ROUTES = (
        ("GET", r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?", "info"),
        ("GET", r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", "tree"),
        ("POST", r"/api/validate-yaml", "validate"),
        ("POST", r"/api/repos/create", "create"),
        ("POST", r"/api/models/([^/]+/[^/]+)/preupload/([^/]+)", "preupload"),
        ("POST", r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", "batch"),
        ("PUT", r"/lfs/([0-9a-f]{64})", "upload"),
        ("POST", r"/lfs/([0-9a-f]{64})/verify", "verify"),
        ("POST", r"/api/models/([^/]+/[^/]+)/commit/([^/]+)", "commit"),
        ("HEAD|GET", r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", "resolve"),
        ("HEAD|GET", r"/stored/([0-9a-f]{64})", "stored"),
    )

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        request = f"{self.command} {path}"
        self.hub.requests.append(request)
        body = self._body()
        try:
            for part in [part for part in self.hub.answers if part in request]:
                raise _RefusedError(self.hub.answers.pop(part), "as told")
            for methods, pattern, name in self.ROUTES:
                found = re.fullmatch(pattern, path)
                if found and self.command in methods.split("|"):
                    getattr(self, f"_{name}")(body, *found.groups())
                    return
            raise _RefusedError(404, f"no route for {request}")
        except _RefusedError as refused:
            headers = {"X-Error-Message": refused.message} | ({"X-Error-Code": refused.code} if refused.code else {})
            self._send(refused.status, json.dumps({"error": refused.message}).encode(), headers)

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, text in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _user(self) -> str | None:
        """Return the namespace that the token may write to, empty for none; None without a token."""
        given = self.headers.get("authorization")
        if given is None:
            return None
        token = given.removeprefix("Bearer ")
        if token not in self.hub.tokens:
            raise _RefusedError(401, "Invalid credentials in Authorization header")
        return self.hub.tokens[token]

    def _readable(self, name: str) -> Repo:
        user, repo = self._user(), self.hub.repos.get(name)
        if repo is None or (repo.private and user != name.split("/")[0]):
            raise _RefusedError(404, "Repository not found", "RepoNotFound")
        return repo

    def _writable(self, name: str) -> Repo:
        repo, user = self._readable(name), self._user()
        if user is None:
            raise _RefusedError(401, "Invalid username or password.")
        if user != name.split("/")[0]:
            raise _RefusedError(403, "You don't have the rights to write to this repository")
        return repo

    def _at(self, repo: Repo, revision: str) -> tuple[str, dict[str, bytes]]:
        found = repo.at(revision)
        if found is None:
            raise _RefusedError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return found

    def _info(self, _: bytes, name: str, revision: str | None) -> None:
        repo = self._readable(name)
        sha, files = self._at(repo, revision or "main")
        blobs = "blobs" in parse_qs(urlsplit(self.path).query)
        siblings = [{"rfilename": path} | ({"size": len(files[path])} if blobs else {}) for path in files]
        gated = "manual" if repo.gated else False
        self._json({"id": name, "sha": sha, "private": repo.private, "gated": gated, "siblings": siblings, "tags": []})

    def _tree(self, _: bytes, name: str, revision: str) -> None:
        _, files = self._at(self._readable(name), revision)
        entries: list[dict[str, Any]] = []
        for path, data in files.items():
            entry = {"type": "file", "path": path, "size": len(data), "oid": git_hash(data)}
            if path.endswith(LARGE):
                entry["lfs"] = {"oid": sha256(data), "size": len(data), "pointerSize": 130}
            entries.append(entry)
        self._json(entries)

    def _validate(self, body: bytes) -> None:
        front = json.loads(body)["content"].split("---")[1]
        licenses = re.findall(r"^license: \"?([^\"\n]*)", front, re.MULTILINE)
        if any(each not in LICENSES for each in licenses):
            errors = [{"message": f'"license" must be one of {LICENSES}'}]
            self._send(400, json.dumps({"errors": errors, "warnings": []}).encode())
            return
        self._json({"errors": [], "warnings": []})

    def _create(self, body: bytes) -> None:
        asked, user = json.loads(body), self._user()
        if user is None:
            raise _RefusedError(401, "Invalid username or password.")
        if user != asked["organization"]:
            raise _RefusedError(403, "You don't have the rights to create a model under this namespace")
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.hub.repos:
            raise _RefusedError(409, "You already created this model repo")
        self.hub.repo(name, private=asked.get("visibility") == "private" or asked.get("private") is True)
        self._json({"url": f"{self.hub.url}/{name}"})

    def _preupload(self, body: bytes, name: str, revision: str) -> None:
        _, files = self._at(self._writable(name), revision)
        modes = []
        for file in json.loads(body)["files"]:
            large = file["path"].endswith(LARGE)
            there = files.get(file["path"])
            oid = None if there is None else sha256(there) if large else git_hash(there)
            mode = {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
            modes.append(mode | ({} if oid is None else {"oid": oid}))
        self._json({"files": modes})

    def _batch(self, body: bytes, name: str) -> None:
        self._writable(name)
        objects = []
        for each in json.loads(body)["objects"]:
            href = f"{self.hub.url}/lfs/{each['oid']}"
            actions = {"upload": {"href": href}, "verify": {"href": f"{href}/verify"}}
            objects.append({**each, **({} if each["oid"] in self.hub.stored else {"actions": actions})})
        self._json({"transfer": "basic", "objects": objects})

    def _upload(self, body: bytes, oid: str) -> None:
        if sha256(body) != oid:
            raise _RefusedError(400, "the content is not what was announced")
        self.hub.stored[oid] = body
        self._send(200)

    def _verify(self, body: bytes, oid: str) -> None:
        self._send(200 if json.loads(body)["size"] == len(self.hub.stored.get(oid, b"")) else 404)

    def _commit(self, body: bytes, name: str, revision: str) -> None:
        repo = self._writable(name)
        sha, files = self._at(repo, revision)
        files, summary = dict(files), ""
        for line in body.splitlines():
            key, value = json.loads(line)["key"], json.loads(line)["value"]
            if key == "header":
                summary = value["summary"]
                if value.get("parentCommit", sha) != sha:
                    raise _RefusedError(412, "A commit has happened since. Please refresh and try again.")
            elif key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                files[value["path"]] = self.hub.stored[value["oid"]]
            elif files.pop(value["path"], None) is None:
                raise _RefusedError(404, "A file with this name doesn't exist", "EntryNotFound")
        oid = repo.commit(summary, files)
        url = f"{self.hub.url}/{name}/commit/{oid}"
        self._json({"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""})

    def _resolve(self, _: bytes, name: str, revision: str, path: str) -> None:
        repo = self._readable(name)
        if repo.gated and not self._user():
            raise _RefusedError(403, f"Access to model {name} is restricted.", "GatedRepo")
        sha, files = self._at(repo, revision)
        if path not in files:
            raise _RefusedError(404, "Entry not found", "EntryNotFound")
        data, common = files[path], {"X-Repo-Commit": sha}
        if not path.endswith(LARGE):
            self._send(200, data, common | {"ETag": f'"{git_hash(data)}"'})
            return
        oid = sha256(data)
        self.hub.stored[oid] = data
        linked = {"X-Linked-Etag": f'"{oid}"', "X-Linked-Size": str(len(data))}
        self._send(302, b"", common | linked | {"Location": f"{self.hub.elsewhere}/stored/{oid}"})

    def _stored(self, _: bytes, oid: str) -> None:
        assert "authorization" not in self.headers, "a token left the hub"
        data, wanted = self.hub.stored[oid], self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if wanted:
            self.hub.ranges.append(wanted)
        headers = {"ETag": f'"{oid}"', "Content-Length": str(len(data) - start), "Accept-Ranges": "bytes"}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        cut = next((self.hub.cuts.pop(part) for part in list(self.hub.cuts) if part in oid), None)
        if cut is not None:
            self.close_connection = True
        self._send(206 if start else 200, data[start:] if cut is None else data[start : start + cut], headers)
