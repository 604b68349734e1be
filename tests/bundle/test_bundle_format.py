"""Names, JSON, hashes: the small rules of the format."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from stencilnet.bundle.format import JSON_LIMIT, BundleError, canonical, check_name, parse, plain, seal, unique, unseal

FILE = Path("bundle/tasks/gogh/task.json")


@pytest.mark.parametrize("name", ["a", "0", "gogh", "a.b_c-d", "x" * 64, "a..b", "1-"])
def test_names_that_may_be(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "a\\b", "A", "é", "-a", ".a", "_a", "x" * 65, "a\n", "a b", "a\x00", "/etc/passwd"],
)
def test_names_that_may_not_be(name: str) -> None:
    with pytest.raises(BundleError, match=r"not a task name.*1 to 64 of a-z, 0-9") as caught:
        check_name(name)
    assert caught.value.remedy == "Use another name."


def test_canonical_bytes_are_sorted_compact_utf8() -> None:
    assert canonical({"b": [1, 2.5, None, True], "a": {"é": "x"}}) == '{"a":{"é":"x"},"b":[1,2.5,null,true]}'.encode()


def test_sealed_json_opens_again_and_is_easy_to_read() -> None:
    data = seal("task", {"x": [1, {"y": "ö"}]}, FILE)
    assert unseal("task", data, FILE) == ({"x": [1, {"y": "ö"}]}, "0.1")
    assert data.decode().startswith("{\n  ")
    assert "ö" in data.decode()


def test_hash_covers_content_not_white_space() -> None:
    data = seal("task", {"x": 1}, FILE)
    assert unseal("task", json.dumps(json.loads(data)).encode(), FILE) == unseal("task", data, FILE)
    changed = json.loads(data) | {"x": 2}
    with pytest.raises(BundleError, match=r"task.json: changed since it was written. Expected SHA-256 [0-9a-f]{64}"):
        unseal("task", json.dumps(changed).encode(), FILE)


def test_other_version_names_the_release_it_needs() -> None:
    body = json.loads(seal("task", {}, FILE)) | {"version": 2, "needs": "0.7"}
    with pytest.raises(BundleError) as caught:
        unseal("task", json.dumps(body).encode(), FILE)
    assert str(caught.value) == (
        "bundle/tasks/gogh/task.json: another format version. Expected format version 1, but got version 2. "
        "Install stencilnet >= 0.7 to read it; this one reads files that need 0.1."
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "stencilnet bundle"}, '"format": "stencilnet task", but got \'stencilnet bundle\''),
        ({"format": None}, "not a file of this format"),
        ({"version": True}, "another format version"),
        ({"needs": "0.1\nrm -rf"}, "`needs` is not a release"),
        ({"needs": 1}, "`needs` is not a release"),
        ({"sha256": None}, "changed since it was written"),
    ],
)
def test_wrong_envelope(change: dict[str, Any], message: str) -> None:
    body = json.loads(seal("task", {}, FILE)) | change
    with pytest.raises(BundleError) as caught:
        unseal("task", json.dumps(body).encode(), FILE)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b"[1]", "got list"),
        (b'{"a": 1, "a": 2}', "the key 'a' occurs twice"),
        (b'{"b": {"a": 1, "a": 2}}', "the key 'a' occurs twice"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": -Infinity}', "-Infinity is not a JSON number"),
        (b'{"a": 1e999}', "1e999 is too large a number"),
        (b'{"a": "\xff"}', "can't decode byte 0xff"),
        (b'\xef\xbb\xbf{"a": 1}', "BOM"),
        (b'{"a": "\\ud800"}', "surrogates not allowed"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "RecursionError"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "limit"),
        (b'{"a": 1} x', "Extra data"),
    ],
)
def test_broken_json_is_one_clear_error(data: bytes, reason: str) -> None:
    with pytest.raises(BundleError) as caught:
        parse(data, FILE)
    assert caught.value.what == "not valid JSON"
    assert reason in str(caught.value)
    assert "Copy the task's folder here again from an intact copy, or remove the task." in str(caught.value)


class CountedKey(str):
    """A key that counts how often keys are compared."""

    __slots__ = ()
    comparisons = 0

    def __eq__(self, other: object) -> bool:
        CountedKey.comparisons += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def test_a_duplicate_among_many_keys_is_found_in_linear_time() -> None:
    pairs = [(CountedKey(f"key {number}"), number) for number in range(2000)]
    CountedKey.comparisons = 0
    with pytest.raises(ValueError, match="the key 'key 1999' occurs twice"):
        unique([*pairs, (CountedKey("key 1999"), 0)])
    assert CountedKey.comparisons < 10  # hashes tell keys apart: only equal ones are compared


def envelope(change: dict[str, Any]) -> bytes:
    whole = {"format": "stencilnet task", "needs": "0.1", "version": 1, "sha256": "0", **change}
    return json.dumps(whole).encode()


@pytest.mark.parametrize(
    "data",
    [
        b'{"' + b"k" * 500_000 + b'": 1, "' + b"k" * 500_000 + b'": 2}',
        b'{"a": ' + b"9" * 4000 + b"." + b"9" * 500_000 + b"}",
        b'{"a": ' + b"9" * 500_000 + b".0}",
        envelope({"format": "f" * 500_000}),
        envelope({"needs": "n" * 500_000}),
        envelope({"version": ["v"] * 80_000}),
        envelope({"sha256": "s" * 500_000}),
    ],
)
def test_messages_about_large_files_are_short(data: bytes) -> None:
    with pytest.raises(BundleError) as caught:
        unseal("task", data, FILE)
    chain = [caught.value, *filter(None, [caught.value.__cause__])]
    assert all(len(str(error)) < 3000 for error in chain)


def test_plain_copies_tuples_as_lists() -> None:
    assert plain({"a": (1, (2.5, "x")), "b": None}, FILE, "settings") == {"a": [1, [2.5, "x"]], "b": None}


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"a": float("nan")}, "metrics.a"),
        ({"a": [1, float("inf")]}, "metrics.a[1]"),
        ({"a": {"b": {1, 2}}}, "metrics.a.b"),
        ({1: "x"}, "metrics"),
        ({"a": Path("x")}, "metrics.a"),
    ],
)
def test_what_json_has_not_is_named_by_its_path(value: object, where: str) -> None:
    with pytest.raises(BundleError) as caught:
        plain(value, FILE, "metrics")
    assert caught.value.what == f"`{where}` cannot be written as JSON"


def test_what_no_reader_would_take_is_not_written() -> None:
    with pytest.raises(BundleError, match=f"too large. Expected at most {JSON_LIMIT} bytes"):
        seal("task", {"x": "y" * JSON_LIMIT}, FILE)
    with pytest.raises(BundleError, match="text that is not Unicode"):
        seal("task", {"x": "\ud800"}, FILE)


def test_hash_is_of_everything_but_itself() -> None:
    body = json.loads(seal("bundle", {"x": 1.0, "y": "é"}, FILE))
    text = '{"format":"stencilnet bundle","needs":"0.1","version":1,"x":1.0,"y":"é"}'
    assert body["sha256"] == hashlib.sha256(text.encode()).hexdigest()
