"""Masks coded to their entropy: the same bits back, few bytes, the same bytes everywhere, and damage is told."""

import hashlib
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stencilnet.bundle import BundleError
from stencilnet.bundle.tensors import decode_delta, decode_tensors, encode_delta
from stencilnet.delta import BitMask, Replace, Select, Sign, TaskDelta, Ternary
from stencilnet.delta.coding import MOST, STEPS, decode_bits, encode_bits, is_worth_coding

FORMAT = Path(__file__).parents[2] / "docs" / "format.md"
FILE = Path("bundle/tasks/x/delta-0.safetensors")
Bits = npt.NDArray[np.bool_]


def documented() -> dict[str, Any]:
    """The reader that the page on the format shows: plain Python, one symbol after the other."""
    block = next(b for b in re.findall(r"```python\n(.*?)```", FORMAT.read_text(), re.DOTALL) if "def decode" in b)
    functions, _, _ = block.partition("\nmask = read_mask(")
    names: dict[str, Any] = {}
    exec(functions, names)
    return names


READER = documented()


def drawn(count: int, share: float, seed: int = 0) -> Bits:
    return np.random.default_rng(seed).random(count) < share


def packed(bits: Bits) -> BitMask:
    return BitMask.pack(bits)


def slowly(code: npt.NDArray[np.uint8], weights: int) -> Bits:
    data = code.tobytes()
    words = [low + 256 * high for low, high in zip(data[::2], data[1::2], strict=True)]
    return np.array(READER["decode"](words, weights), bool)


def entropy_bytes(bits: Bits) -> float:
    """Bytes of bits of one probability that are independent of each other."""
    share = bits.mean()
    return float(bits.size * -(share * np.log2(share) + (1 - share) * np.log2(1 - share)) / 8)


shapes = st.lists(st.integers(1, 12), min_size=1, max_size=4).map(tuple)
shares = st.sampled_from([0.0, 0.001, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.999, 1.0])


@settings(max_examples=80, deadline=None)
@given(shape=shapes, share=shares, seed=st.integers(0, 2**31))
def test_two_decoders_give_back_every_bit(shape: tuple[int, ...], share: float, seed: int) -> None:
    bits = drawn(math.prod(shape), share, seed).reshape(shape)
    code = encode_bits(packed(bits))
    assert decode_bits(code, shape) == packed(bits)
    np.testing.assert_array_equal(slowly(code, bits.size), bits.reshape(-1))


@pytest.mark.parametrize("count", [1, 254, 255, 256, 511, 150_001])
@pytest.mark.parametrize("kept", [True, False])
def test_masks_of_one_kind_of_bit_take_next_to_nothing(count: int, kept: bool) -> None:
    bits = np.full(count, kept)
    code = encode_bits(packed(bits))
    assert code.nbytes <= 16 + 4 * count // (255 * STEPS) + count // 20_000
    assert decode_bits(code, (count,)) == packed(bits)
    np.testing.assert_array_equal(slowly(code, count), bits)


@pytest.mark.parametrize("at", [0, 253, 254, 255, 256, 510, 999])
def test_a_lone_bit_is_found_wherever_it_is(at: int) -> None:
    bits = np.arange(1000) == at
    for mask in (bits, ~bits):
        code = encode_bits(packed(mask))
        assert decode_bits(code, (1000,)) == packed(mask)
        np.testing.assert_array_equal(slowly(code, 1000), mask)


@pytest.mark.parametrize(
    ("share", "count", "rarer"),
    [
        *((share, 100_000, 0) for share in (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.45, 0.48, 0.5)),
        *((share, 100_000, 1) for share in (0.001, 0.1, 0.45)),
        (0.003, 1_000_000, 1),
    ],
)
def test_code_is_about_as_small_as_the_entropy(share: float, count: int, rarer: int) -> None:
    bits = drawn(count, share, seed=count) == bool(rarer)
    code, entropy = encode_bits(packed(bits)), entropy_bytes(bits)
    assert code.nbytes <= 1.02 * entropy + 16
    assert code.nbytes > entropy - 1  # less would be no code of such bits
    if entropy >= 1_000:
        assert code.nbytes <= 1.02 * entropy
    assert decode_bits(code, (count,)) == packed(bits)


def test_how_the_bits_lie_does_not_matter() -> None:
    """All that counts is how many there are: sorted, shuffled or in a pattern."""
    shuffled = drawn(100_000, 0.1)
    sizes = {encode_bits(packed(bits)).nbytes for bits in (shuffled, np.sort(shuffled), np.sort(shuffled)[::-1].copy())}
    assert max(sizes) <= 1.02 * entropy_bytes(shuffled)


def test_the_same_mask_is_the_same_bytes_on_every_machine() -> None:
    small = encode_bits(packed(np.arange(60) % 7 != 3))
    assert small.tobytes().hex() == "9ad901000a000000cc719f0026a72aa8"
    large = encode_bits(packed((np.arange(300_000) * 7919 % 1009) < 120))
    assert int(large[2]) == 49  # lanes
    assert (
        hashlib.sha256(large.tobytes()).hexdigest()
        == "6f683d63e85708f3c38509be320ac5de5edc9981339ed6fd8a9e5bf2982a6430"
    )


def delta_of(*masks: Bits) -> TaskDelta:
    entries = {f"conv{number}.weight": Select(packed(bits)) for number, bits in enumerate(masks)}
    return TaskDelta({**entries, "head.bias": Replace(np.zeros(3, np.float32))})


@settings(max_examples=60, deadline=None)
@given(
    masks=st.lists(st.tuples(st.integers(1, 3000), shares, st.integers(0, 2**31)), min_size=1, max_size=6),
)
def test_no_file_is_larger_than_with_one_bit_a_weight(masks: list[tuple[int, float, int]]) -> None:
    delta = delta_of(*(drawn(*mask) for mask in masks))
    data, raw = encode_delta(delta), encode_delta(delta, raw=True)
    assert len(data) <= len(raw)
    for content in (data, raw):
        back = decode_delta(content, FILE)
        assert back.masks == delta.masks
        assert list(back.entries) == list(delta.entries)
    assert encode_delta(decode_delta(raw, FILE)) == data
    headers = [8 + int.from_bytes(content[:8], "little") for content in (data, raw)]
    assert len(raw) - headers[1] == delta.nbytes >= len(data) - headers[0]


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 40_000), share=st.floats(0.4, 0.6), seed=st.integers(0, 2**31))
def test_what_is_not_worth_coding_would_not_be_smaller(count: int, share: float, seed: int) -> None:
    bits = packed(drawn(count, share, seed))
    assert is_worth_coding(bits) or encode_bits(bits).nbytes >= bits.nbytes


def test_each_mask_takes_the_smaller_coding() -> None:
    even, uneven = drawn(20_000, 0.5), drawn(20_000, 0.9)
    data = encode_delta(delta_of(even, uneven))
    assert data.count(b'\\"coding\\":\\"entropy\\"') == 1
    body = len(data) - 8 - int.from_bytes(data[:8], "little")
    assert body == 12 + 2500 + encode_bits(packed(uneven)).nbytes


def test_signs_are_coded_like_masks_and_their_steps_are_not() -> None:
    uneven = packed(drawn(20_000, 0.03).reshape(40, 500))
    steps = np.random.default_rng(0).random((40, 1), np.float32)
    delta = TaskDelta({"conv.weight": Sign(uneven, steps)})
    data = encode_delta(delta)
    body = len(data) - 8 - int.from_bytes(data[:8], "little")
    assert body == 40 * 4 + encode_bits(uneven).nbytes
    back = decode_delta(data, FILE).entries["conv.weight"]
    assert isinstance(back, Sign)
    assert back.bits == uneven
    assert np.array_equal(back.scale, steps)
    assert encode_delta(TaskDelta({"conv.weight": back})) == data


def test_each_plane_of_bits_takes_the_smaller_coding() -> None:
    even, few = drawn(20_000, 0.5), drawn(20_000, 0.02, seed=1)
    for keep, flip, parts in (
        (even, even & few, ["flip_code", "keep"]),
        (few, few & even, ["flip_code", "keep_code"]),
        (even | ~few, few & even, ["flip_code", "keep_code"]),
    ):
        delta = TaskDelta({"conv.weight": Ternary(packed(keep), packed(flip))})
        data = encode_delta(delta)
        assert sorted(name.removeprefix("conv.weight:") for name in decode_tensors(data, FILE)) == parts
        assert len(data) < len(encode_delta(delta, raw=True))
        back = decode_delta(data, FILE).entries["conv.weight"]
        assert isinstance(back, Ternary)
        assert (back.keep, back.flip) == (packed(keep), packed(flip))
        assert encode_delta(TaskDelta({"conv.weight": back})) == data


def test_the_documented_reader_reads_both_codings(tmp_path: Path) -> None:
    masks = {"a": drawn(900, 0.5).reshape(30, 30), "b": drawn(4000, 0.02).reshape(40, 2, 50)}
    file = tmp_path / "delta.safetensors"
    file.write_bytes(encode_delta(TaskDelta({key: Select(packed(bits)) for key, bits in masks.items()})))
    for key, bits in masks.items():
        np.testing.assert_array_equal(READER["read_mask"](file, key), bits)


CODE = encode_bits(packed(drawn(5000, 0.1)))
WORDS = [int(word) for word in CODE.view("<u2")]


def changed(index: int, value: int) -> list[int]:
    return [value if at == index else word for at, word in enumerate(WORDS)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "at least 4 code words"),
        (WORDS[:3], "at least 4 code words"),
        (WORDS[:5], "two words per lane"),
        (WORDS[:-1], "words"),
        ([*WORDS, 0], "words to end in states of 65536"),
        (changed(0, 0), "a chance of at least 1"),
        (changed(1, 0), "in 0 lanes"),
        (changed(1, 65535), "in 65535 lanes"),
        (changed(2, 0), "symbols"),
        (changed(2, WORDS[2] - 1), "words to end in states of 65536"),
        (changed(2, 5002), "symbols"),
        (changed(3, 9), "symbols"),
        (changed(5, 0), "states of at least 65536"),
        (changed(4, WORDS[4] ^ 1), "Expected"),
        (changed(len(WORDS) - 1, WORDS[-1] ^ 1), "Expected"),
    ],
)
def test_damaged_code_is_told(words: list[int], message: str) -> None:
    code = np.array(words, "<u2").view(np.uint8)
    with pytest.raises(ValueError, match=re.escape(message)):
        decode_bits(code, (5000,))


@pytest.mark.parametrize("shape", [(4999,), (5001,), (0,), (MOST + 1,), (1 << 40,)])
def test_code_of_another_shape_is_told(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="Expected"):
        decode_bits(CODE, shape)


@pytest.mark.parametrize("code", [CODE[:-1], CODE[None], CODE.astype(np.int16), np.zeros(0, np.uint8)])
def test_code_of_another_layout_is_told(code: npt.NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match=r"Expected at least 4 code words, as \(2 \* words,\) bytes"):
        decode_bits(code, (5000,))


def test_few_bytes_cannot_ask_for_much_work() -> None:
    """A symbol may cost a hundredth of a bit; the number of steps is bounded all the same."""
    code = np.array([1, 1, STEPS + 1, 0, 0, 1], "<u2").view(np.uint8)
    with pytest.raises(ValueError, match=f"1 to {STEPS} symbols"):
        decode_bits(code, (1_000_000,))


def test_a_mask_that_is_too_large_to_code_is_stored_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stencilnet.delta.coding.MOST", 999)
    delta = delta_of(np.ones(1000, bool), np.ones(999, bool))
    data = encode_delta(delta)
    assert [data.count(part) for part in (b"conv0.weight:bits", b"conv1.weight:code")] == [1, 1]


CONTENT = encode_delta(delta_of(drawn(600, 0.1), np.ones(900, bool), drawn(50, 0.5)))
HEADER = 8 + int.from_bytes(CONTENT[:8], "little")


def outcome(read: Callable[[], object]) -> str | None:
    """What a bundle error says; None if there is none. Any other error goes through."""
    try:
        read()
    except BundleError as error:
        return str(error)
    return None


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(CONTENT) - 1), st.integers(1, 255), st.integers(HEADER, len(CONTENT)))
def test_damaged_code_never_does_worse_than_a_bundle_error(at: int, flip: int, length: int) -> None:
    damaged = bytearray(CONTENT)
    damaged[at] ^= flip
    said = outcome(lambda: decode_delta(bytes(damaged), FILE))
    assert said is None or str(FILE) in said
    said = outcome(lambda: decode_delta(CONTENT[:length], FILE))
    assert (said is None) == (length == len(CONTENT))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 65535), max_size=40), st.integers(1, 2000))
def test_words_that_nobody_wrote_are_a_value_error_at_worst(words: list[int], weights: int) -> None:
    code = np.array(words, "<u2").view(np.uint8)
    try:
        mask = decode_bits(code, (weights,))
    except ValueError:
        return
    assert mask.numel == weights
    np.testing.assert_array_equal(slowly(code, weights), mask.unpack())
