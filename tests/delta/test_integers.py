"""Small integers as code words: the same integers back, few bytes, the same bytes everywhere, and damage is told."""

import hashlib
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stencilnet.delta.integers import LARGEST, MOST, STEPS, decode_integers, encode_integers

FORMAT = Path(__file__).parents[2] / "docs" / "format.md"
Codes = npt.NDArray[np.int8]


def documented() -> dict[str, Any]:
    """The decoder that the page on the format shows: plain Python, one integer after the other."""
    blocks = re.findall(r"```python\n(.*?)```", FORMAT.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(next(block for block in blocks if "def decode_integers" in block), names)
    return names


DECODE = documented()["decode_integers"]


def drawn(shape: tuple[int, ...], spread: float, largest: int, seed: int = 0) -> Codes:
    values = np.random.default_rng(seed).laplace(0, spread, shape)
    return np.clip(np.rint(values), -largest, largest).astype(np.int8)


def bits(codes: Codes) -> float:
    """The entropy by its definition."""
    counts = Counter(codes.reshape(-1).tolist())
    return -sum(count * math.log2(count / codes.size) for count in counts.values())


def words_of(code: npt.NDArray[np.uint8]) -> list[int]:
    data = code.tobytes()
    return [low + 256 * high for low, high in zip(data[::2], data[1::2], strict=True)]


@settings(max_examples=80, deadline=None)
@given(
    shape=st.lists(st.integers(1, 12), min_size=1, max_size=4).map(tuple),
    spread=st.sampled_from([0.0, 0.05, 0.3, 1.0, 5.0, 300.0]),
    largest=st.sampled_from([1, 2, 3, 7, 127]),
    seed=st.integers(0, 2**31),
)
def test_two_decoders_give_back_every_integer(shape: tuple[int, ...], spread: float, largest: int, seed: int) -> None:
    codes = drawn(shape, spread, largest, seed)
    code = encode_integers(codes)
    np.testing.assert_array_equal(decode_integers(code, shape), codes)
    np.testing.assert_array_equal(DECODE(words_of(code), codes.size), codes.reshape(-1))


@pytest.mark.parametrize("value", [0, 1, -1, 3, LARGEST, -LARGEST])
@pytest.mark.parametrize("count", [1, 2, 5000])
def test_one_integer_throughout_takes_next_to_nothing(value: int, count: int) -> None:
    codes = np.full(count, value, np.int8)
    code = encode_integers(codes)
    assert code.nbytes <= 4 + 4 * abs(value) + 4 * -(-count // STEPS) + 2
    np.testing.assert_array_equal(decode_integers(code, (count,)), codes)


@pytest.mark.parametrize("spread", [0.15, 0.2, 0.35, 0.5, 1.0])
@pytest.mark.parametrize("count", [5_000, 100_000, 1_000_000])
def test_code_is_about_as_small_as_the_entropy(spread: float, count: int) -> None:
    codes = drawn((count,), spread, 3)
    size = bits(codes) / 8
    code = encode_integers(codes)
    assert size - 1 < code.nbytes <= 1.02 * size + 24


def test_the_same_integers_are_the_same_bytes_on_every_machine() -> None:
    small = (np.arange(40) * 7 % 5 - 2).astype(np.int8)
    assert encode_integers(small).tobytes().hex() == SMALL
    large = (np.arange(300_000) * 7919 % 1009 // 300 - 1).astype(np.int8)
    assert hashlib.sha256(encode_integers(large).tobytes()).hexdigest() == LARGE


SMALL = "020001003333333333333333750e101af575a53c3225adf322a8"
LARGE = "682f6d83ca36af93b2bb49b9af1643daf2fd930941504b186fc1360582bd6779"


CODES = drawn((5000,), 0.4, 3)
WORDS = words_of(encode_integers(CODES))


def changed(index: int, value: int) -> list[int]:
    return [value if at == index else word for at, word in enumerate(WORDS)]


@pytest.mark.parametrize(
    "words",
    [
        [],
        WORDS[:1],
        WORDS[:5],
        WORDS[:-1],
        [*WORDS, 0],
        changed(0, 128),
        changed(0, 2),
        changed(1, 0),
        changed(1, 60000),
        changed(2, 65535),
        changed(9, 0),
        changed(len(WORDS) - 1, WORDS[-1] ^ 1),
    ],
)
def test_damaged_code_is_told(words: list[int]) -> None:
    with pytest.raises(ValueError, match="Expected"):
        decode_integers(np.array(words, "<u2").view(np.uint8), (5000,))


@pytest.mark.parametrize("shape", [(4999,), (5001,), (0,), (MOST + 1,), (1 << 40,)])
def test_code_of_another_shape_is_told(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="Expected"):
        decode_integers(encode_integers(CODES), shape)


def test_what_cannot_be_coded_is_refused() -> None:
    with pytest.raises(ValueError, match="from -127 to 127"):
        encode_integers(np.array([-128], np.int8))
    with pytest.raises(ValueError, match="Expected 1 to"):
        encode_integers(np.zeros(0, np.int8))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 65535), max_size=40), st.integers(1, 2000))
def test_words_that_nobody_wrote_are_a_value_error_at_worst(words: list[int], count: int) -> None:
    try:
        codes = decode_integers(np.array(words, "<u2").view(np.uint8), (count,))
    except ValueError:
        return
    np.testing.assert_array_equal(DECODE(words, count), codes)
