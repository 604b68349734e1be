"""Strict JSON: what is written, what is read back, and that nothing in the package writes any other."""

import ast
import json
from math import inf, isnan, nan
from pathlib import Path

import numpy as np
import pytest

import stencilnet
from stencilnet.text.strict_json import dumps, json_data, loads, with_numbers

SOURCES = sorted(Path(stencilnet.__file__).parent.rglob("*.py"))


def strict(text: str) -> object:
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


def test_finite_data_are_written_as_json_writes_them() -> None:
    value = {"b": [1, 2.5, True, None, "inf?"], "a": {"é": -0.0}}
    assert dumps(value) == json.dumps(value)
    more = {"indent": 2, "sort_keys": True, "ensure_ascii": False}
    assert dumps(value, **more) == json.dumps(value, **more)


@pytest.mark.parametrize("text", ["[" * 100_000, b'{"a":' * 100_000, b"\xff", "[1", ""])
def test_what_cannot_be_read_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        loads(text)


def test_what_is_written_is_read() -> None:
    value = {"b": [1, 2.5, True, None], "a": {"é": "x"}}
    assert loads(dumps(value)) == loads(dumps(value).encode()) == value


def test_numbers_that_json_has_not_are_words() -> None:
    value = {"PSNR": inf, "worse": (-inf, np.float64(nan)), "finite": 1.0}
    assert json_data(value) == {"PSNR": "inf", "worse": ["-inf", "nan"], "finite": 1.0}
    assert strict(dumps(value)) == json_data(value)


def test_words_are_read_back_as_numbers() -> None:
    back = with_numbers(json.loads(dumps({"scores": {"PSNR": inf, "x": [-inf, nan]}, "step": 3})))
    assert back["scores"]["PSNR"] == inf
    assert back["scores"]["x"][0] == -inf
    assert isnan(back["scores"]["x"][1])
    assert back["step"] == 3


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_source_writes_another_json(path: Path) -> None:
    loose = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "json":
            loose.append(f"line {node.lineno}: names of `json` by themselves are not looked for here")
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        written = node.func.attr in ("dump", "dumps", "JSONEncoder") and ast.unparse(node.func.value) == "json"
        if written and not any(k.arg == "allow_nan" and ast.unparse(k.value) == "False" for k in node.keywords):
            loose.append(f"line {node.lineno}: {ast.unparse(node)}")
    assert not loose
