"""Converts tensors and deltas to safetensors bytes and back, strictly."""

import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from stencilnet.bundle.format import NEEDS, VERSION, BundleError, canonical, parse, restore, upgrade
from stencilnet.bundle.schema import fields, shape_of
from stencilnet.delta import (
    Affine,
    BitMask,
    Entry,
    Quantized,
    Replace,
    Seeded,
    Select,
    Sign,
    Stored,
    TaskDelta,
    Ternary,
)
from stencilnet.delta.coding import decode_bits, encode_bits, is_worth_coding
from stencilnet.delta.rounding import parts
from stencilnet.delta.spec import Array, dtype_named

DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "C64": "complex64",
    "BOOL": "bool",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2": "float8_e5m2",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
}
"""Dtypes that this code reads, by their names in safetensors files."""

_KINDS: tuple[type[Entry], ...] = (Replace, Select, Quantized, Seeded, Sign, Ternary, Affine)
KINDS: dict[str, type[Entry]] = {kind.KIND: kind for kind in _KINDS}
"""Entry kinds that this code reads, by their names in the file."""

RAW = "raw"
"""The coding that stores parts unchanged, with bits packed at one per weight."""

ENTROPY = "entropy"
"""The coding that stores an entry's packed bits as code words where these take fewer bytes."""

_WORTH = 16
"""Least bytes that coding must save: its name takes up to 11 more in the file's header."""

METADATA = "stencilnet"
"""The one metadata key: with several, the bytes of a safetensors file are not stable."""


def encode_tensors(tensors: Mapping[str, Array], metadata: dict[str, str] | None = None) -> bytes:
    """Return arrays as the bytes of a safetensors file; equal arrays give equal bytes."""
    whole = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    return safetensors.numpy.save(whole, metadata)


def encode_backbone(shared: Mapping[str, Array], stored: Stored) -> bytes:
    """Return the shared weights as the bytes of ``model.safetensors``, in the form to which they were rounded.

    Raises:
        ValueError: If they have not been rounded to it, or have changed since.
    """
    return encode_tensors(parts(shared, stored))


def decode_tensors(data: bytes, file: Path) -> dict[str, Array]:
    """Return the arrays of a safetensors file.

    Raises:
        BundleError: If it is damaged.
    """
    try:
        found: list[tuple[str, dict[str, Any]]] = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
        return {name: _array(part) for name, part in found}
    except (SafetensorError, KeyError) as error:  # KeyError: a dtype that is not in the table
        got = f"{type(error).__name__}: {error}"
        raise BundleError(file, "not a valid safetensors file", "tensors", got, restore(file)) from error


def _array(part: Mapping[str, Any]) -> Array:
    array = np.frombuffer(part["data"], dtype_named(DTYPES[part["dtype"]])).reshape(part["shape"])
    return array if sys.byteorder == "little" else array.byteswap()


def encode_delta(delta: TaskDelta, *, raw: bool = False) -> bytes:
    """Return a delta as the bytes of its file; equal deltas give equal bytes.

    Args:
        delta: The delta.
        raw: Whether to leave masks at one bit per weight, which gives the largest file for entries of these shapes.
    """
    parts: dict[str, Array] = {}
    entries = []
    for key, entry in delta.entries.items():
        coding, stored = (RAW, entry.tensors()) if raw else _coded(entry)
        parts |= {f"{key}:{part}": tensor for part, tensor in stored.items()}
        entries.append({"key": key, "kind": entry.KIND, "coding": coding, "shape": list(entry.shape)})
    metadata = {"format": "stencilnet delta", "version": VERSION, "entries": entries}
    return encode_tensors(parts, {METADATA: canonical(metadata).decode()})


def _coded(entry: Entry) -> tuple[str, dict[str, Array]]:
    stored: dict[str, Array] = {}
    for part, tensor in entry.tensors().items():
        code = _shorter(BitMask(tensor, entry.shape)) if part in entry.PLANES else None
        stored |= {part: tensor} if code is None else {_coded_part(part): code}
    return RAW if stored.keys() == entry.tensors().keys() else ENTROPY, stored


def _shorter(bits: BitMask) -> Array | None:
    """Return packed bits as code words if that saves bytes, else None."""
    if not is_worth_coding(bits):
        return None
    code = encode_bits(bits)
    return code if code.nbytes + _WORTH < bits.nbytes else None


def _coded_part(plane: str) -> str:
    """Return the part name of packed bits in coded form."""
    return "code" if plane == "bits" else f"{plane}_code"


def decode_delta(data: bytes, file: Path, needs: str = NEEDS) -> TaskDelta:
    """Return a delta, given the bytes of its file.

    Args:
        data: The bytes.
        file: Where they are from, for error messages.
        needs: Release that the task's record names, for error messages.

    Raises:
        BundleError: If it is damaged, or its version, or the kind or coding of an entry is unknown.
    """
    parts: dict[str, dict[str, Array]] = defaultdict(dict)
    for name, tensor in decode_tensors(data, file).items():
        key, _, part = name.rpartition(":")
        parts[key][part] = tensor
    entries: dict[str, Entry] = {}
    for declared in _declared(data, file, needs):
        key = declared["key"]
        if key in entries:
            raise BundleError(file, f"`{key}` is declared twice", "one entry per key", "two", restore(file))
        entries[key] = _entry(declared, parts.pop(key, {}), file, needs)
    if parts:
        got = f"tensors of {sorted(parts)} too"
        raise BundleError(file, "undeclared tensors", f"tensors of {list(entries)}", got, restore(file))
    return TaskDelta(entries)


def _declared(data: bytes, file: Path, needs: str) -> list[dict[str, Any]]:
    header = parse(data[8 : 8 + int.from_bytes(data[:8], "little")], file)  # whole: decode_tensors has seen it
    text = header.get("__metadata__", {}).get(METADATA)
    if text is None:
        raise BundleError(file, "not a task's delta", f"metadata under `{METADATA}`", "none", restore(file))
    metadata = parse(text.encode(), file)
    if metadata.get("version") != VERSION:
        got = f"version {metadata.get('version')!r}"
        raise BundleError(file, "another format version", f"format version {VERSION}", got, upgrade(needs))
    fields(metadata, {"format": str, "version": int, "entries": list}, file, "the metadata", needs)
    kinds = {"key": str, "kind": str, "coding": str, "shape": list}
    return [fields(entry, kinds, file, "an entry", needs) for entry in metadata["entries"]]


def _entry(declared: dict[str, Any], parts: Mapping[str, Array], file: Path, needs: str) -> Entry:
    key, kind, coding = declared["key"], declared["kind"], declared["coding"]
    if kind not in KINDS:
        raise BundleError(file, f"`{key}` is of an unknown kind", f"one of {list(KINDS)}", f"{kind!r}", upgrade(needs))
    codings = [RAW, ENTROPY] if KINDS[kind].PLANES else [RAW]
    if coding not in codings:
        raise BundleError(file, f"`{key}` is of an unknown coding", f"one of {codings}", f"{coding!r}", upgrade(needs))
    shape = shape_of(declared["shape"], file, f"the shape of `{key}`")
    coded = {_coded_part(plane): plane for plane in KINDS[kind].PLANES} if coding == ENTROPY else {}
    try:
        if coding == ENTROPY and coded.keys().isdisjoint(parts):
            raise KeyError("no code words")
        plain = {coded.get(p, p): decode_bits(t, shape).packed if p in coded else t for p, t in parts.items()}
        entry = KINDS[kind].from_tensors(plain, shape)
    except (KeyError, ValueError) as error:
        got = f"{sorted(parts)} ({error})"
        raise BundleError(file, f"`{key}` is damaged", f"the parts of a {kind!r}", got, restore(file)) from error
    known = {_coded_part(p) if p in entry.PLANES and _coded_part(p) in parts else p for p in entry.tensors()}
    if known != set(parts):
        raise BundleError(file, f"`{key}` has other parts", f"{sorted(known)}", f"{sorted(parts)}", restore(file))
    return entry
