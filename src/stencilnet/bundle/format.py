"""Names, limits, errors and JSON of the bundle format (``docs/format.md``)."""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stencilnet.text.shortening import brief, shorten

VERSION = 1
"""Format version that this code reads and writes."""

NEEDS = "0.1"
"""First stencilnet release that reads what this code writes; raised when the format changes, not at each release."""

CONFIG = "config.json"
BACKBONE = "model.safetensors"
TASKS = "tasks"
TASK = "task.json"
CARD = "README.md"
GRAPH = "graph.onnx"
"""The graph of an architecture that a bundle cannot rebuild; other bundles have none."""

JSON_LIMIT = 1 << 20
"""Largest JSON file in bytes."""

DELTA_LIMIT = 1 << 30
"""Largest delta in bytes that is read from an archive or a hub; a bundle's own may be larger."""

_TASK_NAME = r"[a-z0-9][a-z0-9._-]{0,63}"
_NAME = re.compile(_TASK_NAME)
_PATH = re.compile(
    rf"{re.escape(CONFIG)}|{re.escape(BACKBONE)}|"
    rf"{TASKS}/{_TASK_NAME}/(?:{re.escape(TASK)}|delta-[0-9a-f]{{16}}\.safetensors)"
)
_RELEASE = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6}){0,3}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class BundleError(ValueError):
    """A bundle cannot be read or written. Long texts are cut, since they may come from a file.

    Attributes:
        file: The file or folder at fault.
        what: What is wrong with it.
        expected: What was expected.
        got: What was found.
        remedy: What to do about it.
    """

    def __init__(self, file: str | Path, what: str, expected: str, got: str, remedy: str) -> None:
        what, expected, got, remedy = map(shorten, (what, expected, got, remedy))
        super().__init__(str(file), what, expected, got, remedy)
        self.file = str(file)
        self.what = what
        self.expected = expected
        self.got = got
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.file}: {self.what}. Expected {self.expected}, but got {self.got}. {self.remedy}"


class MissingError(BundleError):
    """A file of the bundle is missing."""


class RemovedError(BundleError):
    """A task was removed since the bundle was opened."""


def restore(file: Path) -> str:
    """Return the remedy for a damaged file."""
    if file.parent.parent.name == TASKS:
        return "Copy the task's folder here again from an intact copy, or remove the task."
    return "Copy the file here again from an intact copy of the bundle."


def upgrade(needs: str) -> str:
    """Return the remedy for a file that a later release wrote."""
    return f"Install stencilnet >= {needs} to read it; this one reads files that need {NEEDS}."


def check_name(name: str) -> str:
    """Return a task's name if it is safe as a folder's name on every system.

    Raises:
        BundleError: If it is not safe.
    """
    if not _NAME.fullmatch(name):
        raise BundleError(
            f"{TASKS}/{shorten(ascii(name))}",
            "not a task name",
            "1 to 64 of a-z, 0-9, `.`, `_` and `-`, the first a letter or digit",
            f"{name!a}",
            "Use another name.",
        )
    return name


def is_bundle_file(path: str) -> bool:
    """Return whether a path inside a bundle's folder, with ``/`` between its parts, is that of a file of the format."""
    return _PATH.fullmatch(path) is not None


def delta_name(sha256: str) -> str:
    """Return the name of a delta's file, given the hash of its content."""
    return f"delta-{sha256[:16]}.safetensors"


def sha256_of(data: bytes) -> str:
    """Return the SHA-256 of bytes as 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def is_sha256(value: object) -> bool:
    """Return whether a value is 64 lower-case hex digits."""
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def canonical(value: Any) -> bytes:
    """Return JSON data as the bytes that are hashed: keys sorted, no spaces, UTF-8, numbers as Python writes them."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8")


def plain(value: Any, file: str | Path, where: str) -> Any:
    """Return a copy of JSON data with tuples as lists.

    Raises:
        BundleError: If a value is not JSON data; the message names its path.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, list | tuple):
        return [plain(item, file, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: plain(item, file, f"{where}.{key}") for key, item in value.items()}
    raise BundleError(
        file,
        f"`{where}` cannot be written as JSON",
        "numbers (finite), strings, booleans, None, and lists and string-keyed dicts of them",
        f"{value!r} ({type(value).__name__})",
        "Convert it, or leave it out.",
    )


def seal(kind: str, body: Mapping[str, Any], file: str | Path) -> bytes:
    """Return a JSON file's bytes: the body, its kind and version, and the SHA-256 of the canonical bytes of all these.

    Raises:
        BundleError: If it would be larger than readers accept, or its text is not Unicode.
    """
    whole = {"format": f"stencilnet {kind}", "version": VERSION, "needs": NEEDS, **body}
    remedy = "Shorten the record."
    try:
        whole["sha256"] = sha256_of(canonical(whole))
    except UnicodeEncodeError as error:
        raise BundleError(file, "text that is not Unicode", "text that UTF-8 can hold", str(error), remedy) from error
    data = (json.dumps(whole, sort_keys=True, ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode("utf-8")
    if len(data) > JSON_LIMIT:
        raise BundleError(file, "too large", f"at most {JSON_LIMIT} bytes", f"{len(data)} bytes", remedy)
    return data


def unseal(kind: str, data: bytes, file: Path) -> tuple[dict[str, Any], str]:
    """Return the body of a sealed JSON file, and the release it needs.

    Raises:
        BundleError: If it is not JSON, is of another kind or version, or does not match its own hash.
    """
    body = parse(data, file)
    found, version, needs = body.pop("format", None), body.pop("version", None), body.pop("needs", None)
    if found != f"stencilnet {kind}":
        raise BundleError(
            file, "not a file of this format", f'"format": "stencilnet {kind}"', f"{found!r}", restore(file)
        )
    if not isinstance(needs, str) or not _RELEASE.fullmatch(needs):
        raise BundleError(file, "`needs` is not a release", 'a release like "0.1"', f"{needs!r}", restore(file))
    if version != VERSION or isinstance(version, bool):
        raise BundleError(
            file, "another format version", f"format version {VERSION}", f"version {version!r}", upgrade(needs)
        )
    recorded = body.pop("sha256", None)
    try:
        actual = sha256_of(canonical({"format": found, "version": version, "needs": needs, **body}))
    except RecursionError as error:
        raise _not_json(file, f"{type(error).__name__}: {error}") from error
    if recorded != actual:
        raise BundleError(file, "changed since it was written", f"SHA-256 {recorded}", actual, restore(file))
    return body, needs


def parse(data: bytes, file: Path) -> dict[str, Any]:
    """Return one JSON object, read strictly.

    Raises:
        BundleError: If it is not UTF-8, not JSON, not an object, or has duplicate keys or numbers that JSON lacks.
    """
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=unique, parse_constant=_no_constant, parse_float=_finite
        )
        if b"\\u" in data:
            canonical(value)  # escaped lone surrogates pass the parser
    except (ValueError, RecursionError) as error:
        raise _not_json(file, f"{type(error).__name__}: {error}") from error
    if not isinstance(value, dict):
        raise _not_json(file, type(value).__name__)
    return value


def _not_json(file: Path, got: str) -> BundleError:
    return BundleError(file, "not valid JSON", "one UTF-8 JSON object", got, restore(file))


def unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object's keys and values as a mapping.

    Raises:
        ValueError: If a key occurs twice; the message names the first such key.
    """
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {brief(key)} occurs twice")
        result[key] = value
    return result


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{shorten(text)} is too large a number")
    return value
