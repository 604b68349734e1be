"""Damaged and hostile bundles: one clear error that names the file and the remedy, and nothing else happens."""

import hashlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from stencilnet.bundle import BundleError, read_records, sizes, verify
from stencilnet.bundle.card import write_card
from stencilnet.bundle.records import next_place
from stencilnet.bundle.tensors import decode_delta
from stencilnet.models import MultiTaskNet, load, save

SHA = "0" * 64
REMEDY = "Copy the task's folder here again from an intact copy, or remove the task."


def reseal(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a JSON file as an attacker would, or a later release: with a hash that fits."""
    body = json.loads(file.read_text(encoding="utf-8"))
    change(body)
    body.pop("sha256")
    text = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    body["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    file.write_text(json.dumps(body), encoding="utf-8")


def plant(folder: Path, content: bytes) -> Path:
    """Put another delta into a task's folder, with all hashes right."""
    sha256 = hashlib.sha256(content).hexdigest()
    for file in folder.glob("delta-*"):
        file.unlink()
    planted = folder / f"delta-{sha256[:16]}.safetensors"
    planted.write_bytes(content)
    reseal(folder / "task.json", lambda body: body.update(delta={"file": planted.name, "sha256": sha256}))
    return planted


def delta_bytes(entries: Any, tensors: dict[str, Tensor], **more: Any) -> bytes:
    metadata = {"format": "stencilnet delta", "version": 1, "entries": entries, **more}
    return safetensors.torch.save(tensors, {"stencilnet": json.dumps(metadata, sort_keys=True)})


def entry(key: str = "head.bias", kind: str = "replace", coding: str = "raw", shape: Any = (2,)) -> dict[str, Any]:
    return {"key": key, "kind": kind, "coding": coding, "shape": shape}


BIAS = {"head.bias:tensor": torch.zeros(2)}


def refused(bundle: Path, *parts: str) -> BundleError:
    with pytest.raises(BundleError) as caught:
        load(bundle).deltas["colour"]
    for part in parts:
        assert part in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("tensors", "entries", "message"),
    [
        (BIAS, [entry(kind="mixture")], "`head.bias` is of an unknown kind. Expected one of ['replace', 'select', "),
        (BIAS, [entry(coding="entropy")], "`head.bias` is of an unknown coding. Expected one of ['raw'], but got 'ent"),
        (
            {"head.bias:bits": torch.zeros(1, dtype=torch.uint8)},
            [entry(kind="select", coding="zip")],
            "`head.bias` is of an unknown coding. Expected one of ['raw', 'entropy'], but got 'zip'",
        ),
    ],
)
def test_what_a_later_release_wrote_names_that_release(
    bundle: Path, tensors: dict[str, Tensor], entries: list[Any], message: str
) -> None:
    file = plant(bundle / "tasks/colour", delta_bytes(entries, tensors))
    reseal(bundle / "tasks/colour/task.json", lambda body: body.update(needs="0.4"))
    refused(bundle, file.name, message, "Install stencilnet >= 0.4 to read it; this one reads files that need 0.1.")


@pytest.mark.parametrize("file", ["config.json", "tasks/colour/task.json"])
def test_a_later_version_or_field_names_its_release(bundle: Path, file: str) -> None:
    reseal(bundle / file, lambda body: body.update(needs="0.5", adapter="x"))
    refused(bundle, file, "has other fields", "adapter", "Install stencilnet >= 0.5")
    reseal(bundle / file, lambda body: body.update(version=2))
    refused(bundle, file, "another format version", "Install stencilnet >= 0.5")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["shapes"], "`columns` does not fit the schema"),
        ({"shapes": "abc"}, "`columns.shapes` is not a hash"),
        ({"../shapes": "0" * 64}, "not a task name"),
        ({"shapes": "0" * 64}, "other adapters than the record says. Expected adapters from the columns of ['shapes']"),
    ],
)
def test_columns_that_are_none(bundle: Path, columns: object, message: str) -> None:
    reseal(bundle / "tasks/colour/task.json", lambda body: body.update(columns=columns))
    refused(bundle, message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (delta_bytes([entry(shape=[3])], BIAS), "`head.bias` is damaged"),
        (delta_bytes([entry(shape=[-2])], BIAS), "the shape of `head.bias` is not a shape"),
        (delta_bytes([entry(shape=[2.0])], BIAS), "the shape of `head.bias` is not a shape"),
        (delta_bytes([entry(shape=[True, 2])], BIAS), "the shape of `head.bias` is not a shape"),
        (delta_bytes([entry(shape=[1 << 60, 1 << 60])], BIAS), "the shape of `head.bias` is not a shape"),
        (delta_bytes([entry(shape="2")], BIAS), "an entry does not fit the schema"),
        (delta_bytes([entry(kind="select")], BIAS), "`head.bias` is damaged"),
        (
            delta_bytes([entry(kind="select", shape=[9])], {"head.bias:bits": torch.zeros(1, dtype=torch.uint8)}),
            "`head.bias` is damaged",
        ),
        (
            delta_bytes([entry(kind="select", shape=[1])], {"head.bias:bits": torch.full((1,), 3, dtype=torch.uint8)}),
            "unused bits",
        ),
        (delta_bytes([entry(kind="sign")], BIAS), "`head.bias` is damaged"),
        (
            delta_bytes(
                [entry(kind="sign")],
                {"head.bias:bits": torch.zeros(1, dtype=torch.uint8), "head.bias:scale": torch.ones(3)},
            ),
            "Expected the scale of a (2,) weight to be float32",
        ),
        (
            delta_bytes(
                [entry(kind="ternary")],
                {f"head.bias:{p}": torch.full((1,), n, dtype=torch.uint8) for p, n in (("keep", 1), ("flip", 2))},
            ),
            "Expected `flip` to hold only bits of `keep`, of shape (2,)",
        ),
        (
            delta_bytes(
                [entry(kind="affine")],
                {"head.bias:bits": torch.zeros(1, dtype=torch.uint8), "head.bias:k": torch.ones(3)},
            ),
            "Expected the numbers `k` of an affine mask to be float32 of shape (4,)",
        ),
        (
            delta_bytes(
                [entry(kind="ternary", coding="entropy")],
                {f"head.bias:{p}": torch.zeros(1, dtype=torch.uint8) for p in ("keep", "flip")},
            ),
            "no code words",
        ),
        (
            delta_bytes(
                [entry(kind="select", coding="entropy")], {"head.bias:bits": torch.zeros(1, dtype=torch.uint8)}
            ),
            "no code words",
        ),
        (delta_bytes([entry(), entry()], BIAS), "`head.bias` is declared twice"),
        (delta_bytes([], BIAS), "undeclared tensors"),
        (delta_bytes([entry()], BIAS | {"head.bias:more": torch.zeros(1)}), "`head.bias` has other parts"),
        (delta_bytes([entry()], BIAS | {"x": torch.zeros(1)}), "undeclared tensors"),
        (delta_bytes([entry(key="head.weight")], BIAS), "`head.weight` is damaged"),
        (delta_bytes([entry()], BIAS, graph="columns"), "the metadata has other fields"),
        (delta_bytes([entry() | {"scale": 2}], BIAS), "an entry has other fields"),
        (delta_bytes(["head.bias"], BIAS), "an entry has other fields"),
        (delta_bytes(None, BIAS), "the metadata does not fit the schema"),
        (delta_bytes([entry()], BIAS, version=2), "another format version"),
        (safetensors.torch.save(BIAS), "not a task's delta"),
        (safetensors.torch.save(BIAS, {"stencilnet": "{"}), "not valid JSON"),
        (safetensors.torch.save(BIAS, {"stencilnet": "[]"}), "not valid JSON"),
        (b"", "not a valid safetensors file"),
        (b"\xff" * 8, "not a valid safetensors file"),
        (b"\x80\x04K\x01.", "not a valid safetensors file"),  # a pickle
        (delta_bytes([entry()], BIAS)[:-3], "not a valid safetensors file"),
        (delta_bytes([entry()], BIAS) + b"xxx", "not a valid safetensors file"),
    ],
)
def test_a_delta_that_is_not_one(bundle: Path, content: bytes, message: str) -> None:
    file = plant(bundle / "tasks/colour", content)
    refused(bundle, str(file), message)
    assert not verify(bundle).ok


def test_a_delta_that_does_not_fit(bundle: Path, make_net: Callable[..., MultiTaskNet], tmp_path: Path) -> None:
    save(make_net("shapes", "colour", width=3), tmp_path / "wide")
    (other,) = (tmp_path / "wide/tasks/colour").glob("delta-*")
    file = plant(bundle / "tasks/colour", other.read_bytes())
    refused(bundle, str(file), "the delta does not fit the backbone", "`conv1_1.weight` to have the shape", REMEDY)


def test_a_head_of_other_channels(bundle: Path) -> None:
    reseal(bundle / "tasks/colour/task.json", lambda body: body.update(channels=3))
    refused(bundle, "tasks/colour/delta-", "does not fit", "the 3 output channels of the record")


def test_another_backbones_task_names_both(bundle: Path, make_net: Callable[..., MultiTaskNet], tmp_path: Path) -> None:
    save(make_net("colour", seed=4), tmp_path / "other")
    ours = json.loads((bundle / "config.json").read_text())["backbone"]
    theirs = json.loads((tmp_path / "other/config.json").read_text())["backbone"]
    (tmp_path / "other/tasks/colour").rename(bundle / "tasks/foreign")
    net = load(bundle)
    for read in (lambda: net.records["foreign"], lambda: net.deltas["foreign"], lambda: net.tasks):
        with pytest.raises(BundleError) as caught:
            read()
        assert str(caught.value) == (
            f"{bundle}/tasks/foreign/task.json: another backbone's task. Expected one learned over the backbone "
            f"{ours}, but got one learned over {theirs}. Put it into a bundle with its own backbone, or learn it again "
            "here."
        )
    assert "another backbone's task" in {finding.what for finding in verify(bundle).findings}
    assert net.records["colour"].kind == "colorization"
    assert net.deltas["colour"].nbytes > 0


def test_one_damaged_record_does_not_keep_the_others_from_being_used(bundle: Path) -> None:
    file = bundle / "tasks/shapes/task.json"
    file.write_text(file.read_text().replace('"channels": 3', '"channels": 4'))
    net = load(bundle)
    assert net.records["colour"].channels == 2
    assert net(torch.zeros(1, 3, 16, 16), task="colour").shape == (1, 2, 16, 16)
    assert "shapes" in net.records
    for read in (
        lambda: net.records["shapes"],
        lambda: net.deltas["shapes"],
        lambda: net.tasks,
        lambda: {**net.records},
    ):
        with pytest.raises(BundleError, match=r"tasks/shapes/task.json: changed since it was written"):
            read()
    assert [Path(finding.file) for finding in verify(bundle).findings] == [file]


def test_changed_bytes_are_seen_when_first_read(bundle: Path) -> None:
    (file,) = bundle.glob("tasks/colour/delta-*")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert load(bundle).deltas["shapes"].nbytes > 0
    error = refused(bundle, str(file), "changed since it was written", REMEDY)
    assert error.expected.startswith("SHA-256 ")
    assert error.got == hashlib.sha256(content).hexdigest()


def test_changed_backbone_is_seen_at_once(bundle: Path) -> None:
    content = bytearray((bundle / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (bundle / "model.safetensors").write_bytes(content)
    refused(bundle, "model.safetensors: not the backbone that the bundle was written with", "from an intact copy")


@pytest.mark.parametrize("name", ["UPPER", "with space", "-dash", "é", "x" * 65])
def test_a_folder_with_no_task_name(bundle: Path, name: str) -> None:
    (bundle / "tasks/colour").rename(bundle / "tasks" / name)
    refused(bundle, "not a task name", "Use another name.")
    assert "not a task name" in {finding.what for finding in verify(bundle).findings}


@pytest.mark.parametrize("name", ["../../secret.safetensors", "/etc/passwd", "delta-" + "0" * 16 + ".safetensors"])
def test_a_delta_name_that_leads_elsewhere(bundle: Path, name: str) -> None:
    reseal(bundle / "tasks/colour/task.json", lambda body: body["delta"].update(file=name))
    refused(bundle, "wrong delta name", name)


@pytest.mark.parametrize(
    "inner", ["config.json", "model.safetensors", "tasks", "tasks/colour", "tasks/colour/task.json", "delta"]
)
def test_links_out_of_the_folder_are_refused(bundle: Path, inner: str, tmp_path: Path) -> None:
    (delta,) = bundle.glob("tasks/colour/delta-*")
    place = delta if inner == "delta" else bundle / inner
    outside = place.rename(tmp_path / "outside")
    place.symlink_to(outside)
    refused(bundle, "a link out of the bundle", f"a link to {tmp_path}/outside", "Replace the link by a copy")
    assert not verify(bundle).ok


def test_links_inside_the_folder_and_to_it_are_fine(bundle: Path, tmp_path: Path) -> None:
    (bundle / "tasks/again").symlink_to(bundle / "tasks/colour")
    (tmp_path / "link").symlink_to(bundle)
    assert load(tmp_path / "link").tasks == ("shapes", "again", "colour")
    assert load(tmp_path / "link").deltas["again"].nbytes > 0


def test_broken_and_circular_links(bundle: Path) -> None:
    file = bundle / "tasks/colour/task.json"
    file.unlink()
    file.symlink_to(file.parent / "nothing")
    refused(bundle, "tasks/colour/task.json: missing")
    file.unlink()
    file.symlink_to(file)
    refused(bundle, "tasks/colour/task.json: ")


def test_a_pipe_is_not_waited_for(bundle: Path) -> None:
    file = bundle / "tasks/colour/task.json"
    file.unlink()
    os.mkfifo(file)
    refused(bundle, "not a file. Expected a regular file")


def test_oversized_json(bundle: Path) -> None:
    (bundle / "tasks/colour/task.json").write_bytes(b" " * (1 << 20) + b"{}")
    refused(bundle, "tasks/colour/task.json: too large. Expected at most 1048576 bytes, but got 1048578 bytes")


@pytest.mark.parametrize("place", ["nothing", "file", "folder"])
def test_what_is_no_bundle(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    for read in (load, read_records, sizes):
        with pytest.raises(BundleError, match=r"not a bundle. Expected a folder with config.json.*Check the path"):
            read(tmp_path / place)
    assert [finding.what for finding in verify(tmp_path / place).findings] == ["not a bundle"]


def test_missing_files(bundle: Path) -> None:
    (file,) = bundle.glob("tasks/colour/delta-*")
    file.unlink()
    refused(bundle, f"{file}: missing. Expected a file, but got none. {REMEDY}")
    (bundle / "model.safetensors").unlink()
    refused(bundle, "model.safetensors: missing. Expected a file, but got none. Copy the file here again")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b["architecture"].update(arguments={"width": 0}), "not the arguments of a U-Net"),
        (lambda b: b["architecture"].update(arguments={"width": 1 << 62}), "not the arguments of a U-Net"),
        (lambda b: b["architecture"].update(arguments={"width": True}), "not the arguments of a U-Net"),
        (lambda b: b["architecture"].update(arguments=None), "not the arguments of a U-Net"),
        (
            lambda b: b["architecture"].update(arguments={"width": 2, "norm": "batch"}),
            "a norm of instance, affine, own",
        ),
        (lambda b: b["architecture"].update(arguments={"width": 2, "norm": "affine"}), "`norm1_1.bias` does not fit"),
        (lambda b: b["architecture"].update(arguments={"width": 60_000}), "does not fit the backbone"),
        (lambda b: b["architecture"].update({"class": "os.system"}), "cannot be rebuilt from the bundle alone"),
        (lambda b: b["head"].update(name="tail"), "another architecture"),
        (lambda b: b["head"].update(name="conv9_2"), "does not fit the backbone"),
        (lambda b: b.update(decoder=["nothing"]), "another architecture"),
        (lambda b: b.update(decoder=[1]), "`decoder` does not fit the schema"),
        (lambda b: b.update(images={"channels": "BGR", "range": [0, 255], "layout": "NHWC"}), "image conventions"),
        (lambda b: b.update(backbone="x"), "`backbone` is not a hash"),
        (lambda b: b["head"]["tensors"]["head.bias"].update(dtype="complex64"), "not a dtype of a head"),
        (lambda b: b["head"]["tensors"]["head.bias"].update(shape=[5]), "is not a head's shape"),
        (lambda b: b["head"]["tensors"]["head.bias"].update(shape=[None, 1 << 50]), "is not a shape"),
        (lambda b: b["head"].update(tensors={}), "head.bias` does not fit"),
    ],
)
def test_a_config_that_does_not_fit(bundle: Path, change: Callable[[dict[str, Any]], None], message: str) -> None:
    reseal(bundle / "config.json", change)
    refused(bundle, message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b.update(channels=0), "out of range"),
        (lambda b: b.update(channels=True), "the file does not fit the schema"),
        (lambda b: b.update(order=-1), "out of range"),
        (lambda b: b.update(kind=None), "the file does not fit the schema"),
        (lambda b: b.update(settings=[]), "the file does not fit the schema"),
        (lambda b: b.update(backbone=SHA), "another backbone's task"),
        (lambda b: b.update(backbone=SHA.upper() + "0"), "`backbone` is not a hash"),
        (lambda b: b["delta"].update(sha256="x"), "`delta.sha256` is not a hash"),
        (lambda b: b["delta"].pop("file"), "`delta` has other fields"),
        (lambda b: b.pop("method"), "the file has other fields"),
    ],
)
def test_a_record_that_is_not_one(bundle: Path, change: Callable[[dict[str, Any]], None], message: str) -> None:
    reseal(bundle / "tasks/colour/task.json", change)
    refused(bundle, "tasks/colour/task.json", message)
    assert message in {finding.what for finding in verify(bundle).findings}


def test_a_backbone_of_odd_tensors(bundle: Path) -> None:
    for tensors, message in (
        ({"x": torch.zeros(1)}, "`conv1_1.bias` does not fit the backbone"),
        ({}, "`conv1_1.bias` does not fit the backbone"),
    ):
        content = safetensors.torch.save(tensors)
        (bundle / "model.safetensors").write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        for file in (bundle / "config.json", *bundle.glob("tasks/*/task.json")):
            reseal(file, lambda body, sha256=sha256: body.update(backbone=sha256))
        refused(bundle, message)


GOLDEN = Path(__file__).parent / "golden" / "v1"
(SHAPES,) = GOLDEN.glob("tasks/shapes/delta-*")
CONTENT = SHAPES.read_bytes()


def outcome(read: Callable[[], object]) -> str | None:
    """What a bundle error says; None if there is none. Any other error goes through."""
    try:
        read()
    except BundleError as error:
        return str(error)
    return None


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(CONTENT) - 1), st.integers(1, 255), st.integers(0, len(CONTENT)))
def test_damaged_deltas_never_do_worse_than_a_bundle_error(at: int, flip: int, length: int) -> None:
    damaged = bytearray(CONTENT)
    damaged[at] ^= flip
    for content in (bytes(damaged), CONTENT[:length]):
        said = outcome(lambda content=content: decode_delta(content, SHAPES))
        assert said is None or str(SHAPES) in said
        assert content != CONTENT[:length] or said is not None or length == len(CONTENT)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 800), st.integers(1, 255))
def test_damaged_json_never_does_worse_than_a_bundle_error(bundle: Path, at: int, flip: int) -> None:
    for file in (bundle / "config.json", bundle / "tasks/shapes/task.json"):
        good = file.read_bytes()
        damaged = bytearray(good)
        damaged[at % len(good)] ^= flip
        file.write_bytes(damaged)
        for read in (lambda: load(bundle).tasks, lambda: load(bundle).records["shapes"], lambda: write_card(bundle)):
            said = outcome(read)
            assert said is None or str(bundle) in said
        assert next_place(bundle) >= 2
        file.write_bytes(good)


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


def test_nothing_is_ever_unpickled(bundle: Path, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"conv1_1.bias": Payload(tmp_path / "was-here")}, buffer)
    refused_file = plant(bundle / "tasks/colour", buffer.getvalue())
    refused(bundle, str(refused_file), "not a valid safetensors file")
    (bundle / "model.safetensors").write_bytes(buffer.getvalue())
    sha256 = hashlib.sha256(buffer.getvalue()).hexdigest()
    for file in (bundle / "config.json", *bundle.glob("tasks/*/task.json")):
        reseal(file, lambda body: body.update(backbone=sha256))
    refused(bundle, "model.safetensors: not a valid safetensors file")
    assert not (tmp_path / "was-here").exists()
    buffer.seek(0)
    torch.load(buffer, weights_only=False)
    assert (tmp_path / "was-here").exists()  # it would have


MANY = [f"key {number} " + "x" * 20 for number in range(20_000)]


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.update(dict.fromkeys(MANY, 1)),
        lambda body: body.update(method=MANY),
        lambda body: body.update(delta={"file": "f" * 500_000, "sha256": SHA}),
        lambda body: body.update(columns={"n" * 500_000: SHA}),
        lambda body: body.update(columns={name.replace(" ", ""): "s" * 50 for name in MANY[:5000]}),
        lambda body: body.update(backbone="b" * 500_000),
    ],
)
def test_a_large_record_gives_a_short_message(bundle: Path, change: Callable[[dict[str, Any]], None]) -> None:
    reseal(bundle / "tasks" / "colour" / "task.json", change)
    assert len(str(refused(bundle))) < 3000
    (finding,) = verify(bundle).findings
    assert len(str(finding)) < 3000


@pytest.mark.parametrize(
    ("tensors", "entries"),
    [
        (BIAS, [entry(key) for key in MANY]),
        (BIAS, [{**entry(), **dict.fromkeys(MANY, 1)}]),
        (BIAS, [entry(kind="k" * 500_000)]),
        (BIAS, [entry(shape=MANY)]),
        (BIAS, [entry(shape=[1] * 20_000)]),
        (BIAS, [entry(), entry("lateral/" + "t" * 500_000 + "/x.weight")]),
        ({f"{key}:tensor": torch.zeros(2) for key in MANY}, [entry()]),
        ({f"{key}:tensor": torch.zeros(2) for key in MANY}, [entry(key) for key in MANY]),
    ],
)
def test_a_large_delta_gives_a_short_message(bundle: Path, tensors: dict[str, Tensor], entries: Any) -> None:
    plant(bundle / "tasks" / "colour", delta_bytes(entries, tensors))
    error: BaseException | None = refused(bundle)
    while error is not None:
        assert len(str(error)) < 3000
        error = error.__cause__


def test_a_duplicate_key_in_a_tensor_files_header(bundle: Path) -> None:
    tensor = b'{"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}'
    header = b'{"__metadata__": {"a": "1", "a": "2"}, "head.bias:tensor": ' + tensor + b"}"
    plant(bundle / "tasks" / "colour", len(header).to_bytes(8, "little") + header)
    refused(bundle, "the key 'a' occurs twice")
