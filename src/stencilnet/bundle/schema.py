"""The contents of ``config.json`` and ``task.json`` as plain data, checked when read and canonical when written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from stencilnet.bundle.format import (
    NEEDS,
    BundleError,
    check_name,
    delta_name,
    is_sha256,
    plain,
    restore,
    seal,
    unseal,
    upgrade,
)
from stencilnet.bundle.record import TaskRecord
from stencilnet.delta.rounding import Stored, check_stored
from stencilnet.text.shortening import brief
from stencilnet.text.strict_json import json_data, with_numbers

IMAGES = {"channels": "RGB", "range": [0, 1], "layout": "NCHW"}
"""Format of a network's input images, in every bundle of this version."""

_MOST = 1 << 40
"""Most elements of a tensor: a larger number is an attack or a flipped bit."""

_SIDES = 64
"""Most dimensions of a tensor that PyTorch's operations support."""

_Kinds = Mapping[str, type | tuple[type, ...]]
_CONFIG: _Kinds = {"architecture": dict, "head": dict, "decoder": list, "images": dict, "backbone": str}
_ARCHITECTURE: _Kinds = {"class": str, "arguments": (dict, type(None))}
_HEAD: _Kinds = {"name": str, "tensors": dict}
_TENSOR: _Kinds = {"dtype": str, "shape": list}
_RECORD: _Kinds = {
    "kind": str,
    "channels": int,
    "method": str,
    "settings": dict,
    "recipe": dict,
    "metrics": dict,
    "provenance": dict,
}
_TASK: _Kinds = {**_RECORD, "order": int, "backbone": str, "delta": dict}
_DELTA: _Kinds = {"file": str, "sha256": str}


@dataclass(frozen=True, kw_only=True)
class HeadTensor:
    """Dtype and shape of a head tensor, the same for every task.

    Attributes:
        dtype: Name of the dtype, such as ``float32``.
        shape: Shape without the first dimension, the output channels, which differ between tasks.
    """

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class BundleConfig:
    """The content of ``config.json``.

    Attributes:
        architecture: ``stencilnet.UNet``, or the class path of another backbone.
        arguments: Arguments to rebuild the backbone; None if the caller has to pass it.
        head: Name of the head layer.
        head_tensors: The head's tensors by state-dict key.
        decoder: Prefixes of the decoder's keys.
        backbone: SHA-256 of ``model.safetensors``.
        stored: The form in which that file holds weights of two or more dimensions.
    """

    architecture: str
    arguments: Mapping[str, Any] | None
    head: str
    head_tensors: Mapping[str, HeadTensor]
    decoder: tuple[str, ...]
    backbone: str
    stored: Stored = "float32"

    def to_bytes(self, file: Path) -> bytes:
        """Return the file's bytes."""
        tensors = {
            name: {"dtype": tensor.dtype, "shape": [None, *tensor.shape]} for name, tensor in self.head_tensors.items()
        }
        body = {
            "architecture": {"class": self.architecture, "arguments": self.arguments},
            "head": {"name": self.head, "tensors": tensors},
            "decoder": list(self.decoder),
            "images": IMAGES,
            "backbone": self.backbone,
            **({} if self.stored == "float32" else {"stored": self.stored}),
        }
        return seal("bundle", body, file)

    @classmethod
    def from_bytes(cls, data: bytes, file: Path) -> "BundleConfig":
        """Read the file's bytes.

        Raises:
            BundleError: If it is damaged, of another version, or does not fit the schema.
        """
        body, needs = unseal("bundle", data, file)
        stored = body.pop("stored", "float32")
        fields(body, _CONFIG, file, "the file", needs)
        architecture = fields(body["architecture"], _ARCHITECTURE, file, "`architecture`", needs)
        head = fields(body["head"], _HEAD, file, "`head`", needs)
        if body["images"] != IMAGES:
            raise BundleError(file, "other image conventions", f"{IMAGES}", f"{body['images']}", upgrade(needs))
        if not all(isinstance(prefix, str) for prefix in body["decoder"]):
            raise BundleError(file, "`decoder` does not fit the schema", "strings", f"{body['decoder']}", restore(file))
        try:
            check_stored(stored)
        except ValueError as error:
            expected = "float32, float16, int8 or seed:N"
            raise BundleError(
                file, "weights stored in an unknown way", expected, brief(stored), upgrade(needs)
            ) from error
        return cls(
            architecture=architecture["class"],
            arguments=architecture["arguments"],
            head=head["name"],
            head_tensors={name: _head_tensor(spec, file, name, needs) for name, spec in head["tensors"].items()},
            decoder=tuple(body["decoder"]),
            backbone=_hash(body["backbone"], file, "`backbone`"),
            stored=stored,
        )


@dataclass(frozen=True, kw_only=True)
class TaskFile:
    """The content of ``task.json``.

    Attributes:
        record: What the task is.
        order: Place in the order of learning; ties are ordered by name.
        backbone: SHA-256 of the ``model.safetensors`` that the task was learned over.
        delta: SHA-256 of the delta's file; its first 16 digits are in the file's name.
        columns: SHA-256 of the deltas whose columns a progressive net's task runs through, by task; else empty.
        needs: First stencilnet release that reads the task.
    """

    record: TaskRecord
    order: int
    backbone: str
    delta: str
    columns: Mapping[str, str] = field(default_factory=dict)
    needs: str = NEEDS

    def to_bytes(self, file: Path) -> bytes:
        """Return the file's bytes."""
        body = {
            **record_body(self.record, file),
            "order": self.order,
            "backbone": self.backbone,
            "delta": {"file": delta_name(self.delta), "sha256": self.delta},
            **({"columns": dict(self.columns)} if self.columns else {}),
        }
        return seal("task", body, file)

    @classmethod
    def from_bytes(cls, data: bytes, file: Path) -> "TaskFile":
        """Read the file's bytes.

        Raises:
            BundleError: If it is damaged, of another version, or does not fit the schema.
        """
        body, needs = unseal("task", data, file)
        columns = body.pop("columns", {})
        fields(body, _TASK, file, "the file", needs)
        delta = fields(body["delta"], _DELTA, file, "`delta`", needs)
        sha256 = _hash(delta["sha256"], file, "`delta.sha256`")
        if delta["file"] != delta_name(sha256):
            raise BundleError(file, "wrong delta name", delta_name(sha256), f"{delta['file']!a}", restore(file))
        if body["channels"] < 1 or body["order"] < 0:
            got = f"{body['channels']} and {body['order']}"
            raise BundleError(file, "out of range", "`channels` >= 1 and `order` >= 0", got, restore(file))
        return cls(
            record=TaskRecord(**{name: body[name] for name in _RECORD} | {"metrics": with_numbers(body["metrics"])}),
            order=body["order"],
            backbone=_hash(body["backbone"], file, "`backbone`"),
            delta=sha256,
            columns=_columns(columns, file),
            needs=needs,
        )


def record_body(record: TaskRecord, file: str | Path) -> dict[str, Any]:
    """Return a record as JSON data; a non-finite metric becomes the string ``inf``, ``-inf`` or ``nan``.

    Raises:
        BundleError: If a value is not JSON data; the message names its path.
    """
    body = {
        "kind": record.kind,
        "channels": record.channels,
        "method": record.method,
        "settings": record.settings,
        "recipe": record.recipe,
        "metrics": json_data(record.metrics),
        "provenance": record.provenance,
    }
    return {name: plain(value, file, name) for name, value in body.items()}


def fields(value: object, kinds: _Kinds, file: Path, where: str, needs: str) -> dict[str, Any]:
    """Return a JSON object that has exactly the given keys, of the given types.

    Raises:
        BundleError: If `value` is not such an object.
    """
    if not isinstance(value, dict) or set(value) != set(kinds):
        got = sorted(value) if isinstance(value, dict) else type(value).__name__
        raise BundleError(file, f"{where} has other fields", f"{sorted(kinds)}", f"{got}", upgrade(needs))
    for name, kind in kinds.items():
        if not isinstance(value[name], kind) or isinstance(value[name], bool):
            raise BundleError(
                file, f"{where} does not fit the schema", f"`{name}` to be {kind}", f"{value[name]!r}", restore(file)
            )
    return value


def shape_of(value: list[Any], file: Path, where: str) -> tuple[int, ...]:
    """Return a JSON list as a shape.

    Raises:
        BundleError: If it is not a shape.
    """
    sides = [side for side in value if isinstance(side, int) and not isinstance(side, bool) and side >= 0]
    if len(value) > _SIDES or len(sides) != len(value) or prod(max(side, 1) for side in sides) > _MOST:
        expected = f"a list of sizes, at most {_SIDES}"
        raise BundleError(file, f"{where} is not a shape", expected, f"{value}", restore(file))
    return tuple(value)


def _head_tensor(spec: object, file: Path, name: str, needs: str) -> HeadTensor:
    where = f"`head.tensors.{name}`"
    tensor = fields(spec, _TENSOR, file, where, needs)
    if not tensor["shape"] or tensor["shape"][0] is not None:
        got = f"{tensor['shape']}"
        raise BundleError(file, f"{where} is not a head's shape", "a shape with null first", got, restore(file))
    return HeadTensor(dtype=tensor["dtype"], shape=shape_of(tensor["shape"][1:], file, where))


def _columns(value: object, file: Path) -> dict[str, str]:
    if not isinstance(value, dict):
        raise BundleError(file, "`columns` does not fit the schema", "an object", f"{value!r}", restore(file))
    return {check_name(name): _hash(sha256, file, f"`columns.{name}`") for name, sha256 in value.items()}


def _hash(value: object, file: Path, where: str) -> str:
    if not is_sha256(value):
        raise BundleError(file, f"{where} is not a hash", "64 lower-case hex digits", f"{value!r}", restore(file))
    return str(value)
