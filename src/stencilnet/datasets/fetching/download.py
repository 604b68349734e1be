"""Resumable download of one file over HTTP(S), checked and put in place only when it is complete.

A download is written to ``NAME.part``; ``NAME.part.json`` records what is fetched (the validators of RFC 9110), so that
a later run resumes only the same file, and starts over if the server's file has changed.
"""

import hashlib
import http.client
import logging
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from stencilnet.data.official.files import ProgressCallback
from stencilnet.datasets.fetching.catalog import Checksum
from stencilnet.datasets.fetching.problems import FetchError, full_disk_named
from stencilnet.storage import sync_folder, write_text
from stencilnet.text.strict_json import dumps, loads

_log = logging.getLogger(__name__)

PAUSES = (1.0, 4.0, 15.0)
"""Seconds to wait before each new attempt. An attempt that gets further than all before starts the list again."""

_TIMEOUT = 60.0
_BLOCK = 1 << 18
_PASSING = (408, 429, 500, 502, 503, 504)
_AGENT = "stencilnet (data set download; Python urllib)"  # Wikimedia refuses requests without a descriptive user agent


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A file to download.

    Attributes:
        url: An ``http:`` or ``https:`` address.
        target: Path of the complete file.
        size: Published size in bytes, or None.
        checksum: Published checksum, or None.
    """

    url: str
    target: Path
    size: int | None = None
    checksum: Checksum | None = None

    @property
    def part(self) -> Path:
        """Path of the partial download."""
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def notes(self) -> Path:
        """Path of the record of the partial download's origin."""
        return self.target.with_name(f"{self.target.name}.part.json")


@dataclass(frozen=True, kw_only=True)
class _Origin:
    """Origin of a partial download; `version` is an ETag or a date for If-Range, `total` the size of the whole file."""

    url: str
    version: str | None
    total: int | None


class _DroppedError(Exception):
    """A failed attempt that may succeed when retried."""


def download(wanted: Wanted, progress: ProgressCallback, *, pauses: tuple[float, ...] = PAUSES) -> None:
    """Download a file, resuming an earlier call; a complete file that already exists is only checked.

    Args:
        wanted: What to download.
        progress: Called with the number of bytes downloaded or checked.
        pauses: Seconds to wait before each new attempt.

    Raises:
        FetchError: If the server cannot be reached, does not have the file or has a different one than published, or
            the disk is full. Downloaded bytes are kept, unless they are wrong.
    """
    if not wanted.url.startswith(("http://", "https://")):
        raise FetchError(f"Expected an address that starts with http:// or https://, but got {wanted.url!r}.")
    if wanted.target.exists():
        problem = _mismatch(wanted, wanted.target, progress)
        if problem:
            raise FetchError(
                f"Expected {wanted.target} to be the published file, but {problem}. Delete it (or replace it by the "
                "published one) and run the same command again."
            )
        return
    _transfer(wanted, progress, pauses)
    problem = _mismatch(wanted, wanted.part, progress)
    if problem:
        _forget(wanted)
        raise FetchError(
            f"Expected {wanted.url} to be the published file, but {problem}. The download has been removed. "
            "Run the same command again; if that fails too, the file on the server is damaged or has changed: try a "
            "mirror."
        )
    os.replace(wanted.part, wanted.target)
    wanted.notes.unlink(missing_ok=True)
    sync_folder(wanted.target.parent)


def _transfer(wanted: Wanted, progress: ProgressCallback, pauses: tuple[float, ...]) -> None:
    best, failures = _length(wanted.part), 0
    while True:
        try:
            with full_disk_named(wanted.part, "The partial download is kept."):
                _attempt(wanted, progress)
            return
        except _DroppedError as dropped:
            length = _length(wanted.part)
            if length > best:
                best, failures = length, 0
            if failures == len(pauses):
                kept = f"{length} bytes are kept in {wanted.part}. " if length else ""
                onward = " to resume" if length else ""
                raise FetchError(
                    f"Expected to download {wanted.url}, but after {failures + 1} attempts in a row: {dropped}. {kept}"
                    f"Check the network and run the same command again{onward}. Or get the file another way and put "
                    f"it at {wanted.target}."
                ) from dropped
            _log.info("%s: %s; trying again in %g s", wanted.target.name, dropped, pauses[failures])
            time.sleep(pauses[failures])
            failures += 1


def _attempt(wanted: Wanted, progress: ProgressCallback) -> None:
    offset, origin = _resume_point(wanted)
    headers = {"User-Agent": _AGENT, "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if origin.version is not None:
            headers["If-Range"] = origin.version
    try:
        response = urllib.request.urlopen(urllib.request.Request(wanted.url, headers=headers), timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and _total(error.headers.get("Content-Range")) == offset:
                return  # the part is complete
            _raise_refusal(wanted, error)
    except urllib.error.URLError as error:
        raise _DroppedError(f"the server could not be reached ({error.reason})") from error
    except (OSError, http.client.HTTPException) as error:
        raise _DroppedError(f"the connection failed ({error or type(error).__name__})") from error
    with response:
        _receive(wanted, response, offset, origin, progress)


def _resume_point(wanted: Wanted) -> tuple[int, _Origin]:
    """Return the offset from which to resume and the part's origin; 0 unless the part is surely of the same file."""
    offset = _length(wanted.part)
    try:
        origin = _Origin(**loads(wanted.notes.read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return 0, _Origin(url=wanted.url, version=None, total=None)
    checkable = origin.version is not None or wanted.checksum is not None
    return (offset if origin.url == wanted.url and checkable else 0), origin


def _raise_refusal(wanted: Wanted, error: urllib.error.HTTPError) -> None:
    said = f"HTTP {error.code} {error.reason}"
    if error.code == 416:
        _forget(wanted)
        raise _DroppedError("the file on the server has changed") from error
    if error.code in _PASSING:
        raise _DroppedError(f"the server answered {said}") from error
    raise FetchError(
        f"Expected {wanted.url} to exist, but the server answered {said}. Perhaps the file has moved: use a mirror "
        f"that has it, or get it another way and put it at {wanted.target}; then run the same command again."
    ) from error


def _receive(
    wanted: Wanted, response: http.client.HTTPResponse, offset: int, origin: _Origin, progress: ProgressCallback
) -> None:
    """Write a response's body to the part: append it if the server resumed, else start over."""
    if response.status == 206:
        content_range = response.headers.get("Content-Range")
        total = _total(content_range)
        as_asked = offset > 0 and (content_range or "").startswith(f"bytes {offset}-")
        if not as_asked or (origin.total is not None and origin.total != total):
            _forget(wanted)
            raise _DroppedError("the file on the server has changed")
    else:
        length = response.headers.get("Content-Length")
        offset, total = 0, int(length) if length is not None else None
        wanted.part.unlink(missing_ok=True)
        begun = _Origin(url=wanted.url, version=_version(response), total=total)
        write_text(wanted.notes, dumps(asdict(begun)))
    if wanted.size is not None and total is not None and total != wanted.size:
        _forget(wanted)
        raise FetchError(
            f"Expected {wanted.url} to have the published {wanted.size} bytes, but the server has a file of {total} "
            "bytes: it is truncated or another version. Nothing was downloaded. Try a mirror, or try later."
        )
    with wanted.part.open("ab") as file:
        _copy(response, file, offset, total, lambda done: progress(wanted.target.name, done, total or wanted.size or 0))


def _copy(
    response: http.client.HTTPResponse, file: BinaryIO, done: int, total: int | None, tell: Callable[[int], None]
) -> None:
    while True:
        tell(done)
        try:
            block = response.read1(_BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise _DroppedError(f"the connection broke after {done} bytes ({error or type(error).__name__})") from error
        if not block:
            break
        file.write(block)
        done += len(block)
    file.flush()
    os.fsync(file.fileno())
    if total is not None and done < total:
        raise _DroppedError(f"the connection ended after {done} of {total} bytes")


def _version(response: http.client.HTTPResponse) -> str | None:
    """Return the value for If-Range: a strong ETag, else the date of the last change (RFC 9110, Sec. 13.1.5)."""
    tag: str | None = response.headers.get("ETag")
    if tag is not None and not tag.startswith("W/"):
        return tag
    date: str | None = response.headers.get("Last-Modified")
    return date


def _total(content_range: str | None) -> int | None:
    found = re.fullmatch(r"bytes (?:\d+-\d+|\*)/(\d+)", content_range or "")
    return int(found[1]) if found else None


def _mismatch(wanted: Wanted, file: Path, progress: ProgressCallback) -> str:
    """Return a text that says how a file differs from the published one; empty if it does not."""
    length = file.stat().st_size
    if wanted.size is not None and length != wanted.size:
        return f"it has {length} bytes and not the published {wanted.size}"
    if wanted.checksum is None:
        return ""
    digest, done = hashlib.new(wanted.checksum.algorithm, usedforsecurity=False), 0
    with file.open("rb") as stream:
        while block := stream.read(1 << 22):
            digest.update(block)
            done += len(block)
            progress(f"check {wanted.target.name}", done, length)
    found = digest.hexdigest()
    if found == wanted.checksum.digest:
        return ""
    return f"its {wanted.checksum.algorithm} is {found} and not the published {wanted.checksum.digest}"


def _length(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _forget(wanted: Wanted) -> None:
    wanted.part.unlink(missing_ok=True)
    wanted.notes.unlink(missing_ok=True)
