"""Format version 1 as committed: it must load for ever, to the values that its formulas give."""

import hashlib
import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from stencilnet.bundle import verify
from stencilnet.delta import Affine, Quantized, Replace, Seeded, Select, Sign, Ternary
from stencilnet.masks import task_weights
from stencilnet.models import UNet, load, save

GOLDEN = Path(__file__).parent / "golden" / "v1"
CODED = GOLDEN.with_name("v1-entropy")
FORMS = GOLDEN.with_name("v1-forms")
QUANTIZED = GOLDEN.with_name("v1-quantized")
INT8 = GOLDEN.with_name("v1-int8")
SEED = GOLDEN.with_name("v1-seed")
ALL = pytest.mark.parametrize("golden", [GOLDEN, CODED, FORMS, QUANTIZED, INT8, SEED])


def ramp(shape: tuple[int, ...], start: int) -> npt.NDArray[np.float32]:
    return (((np.arange(np.prod(shape)) * 37 + start) % 101 - 50) / 128).astype(np.float32).reshape(shape)


def documented(what: str) -> dict[str, Any]:
    """The reader in plain Python that the page on the format shows."""
    page = (Path(__file__).parents[2] / "docs" / "format.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    exec(next(block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if what in block), names)
    return names


def bits(shape: tuple[int, ...], start: int) -> npt.NDArray[np.bool_]:
    return ((np.arange(np.prod(shape)) * 5 + start) % 7 < 4).reshape(shape)


def uneven_bits(shape: tuple[int, ...], number: int) -> npt.NDArray[np.bool_]:
    steps = np.arange(np.prod(shape)) * 11 + number
    return (steps % 29 != 0, steps % 29 == 0, steps >= 0, steps % 7 < 4)[number % 4].reshape(shape)


@pytest.mark.parametrize("golden", [GOLDEN, CODED, FORMS, QUANTIZED])
def test_backbone_has_the_values_of_its_formula(golden: Path) -> None:
    backbone = load(golden).backbone.state_dict()
    assert next(iter(backbone)) == "conv1_1.weight"
    for start, (name, tensor) in enumerate(backbone.items()):
        if not name.startswith("head."):
            np.testing.assert_array_equal(tensor.numpy(), ramp(tuple(tensor.shape), start), err_msg=name)


def test_deltas_have_the_values_of_their_formulas() -> None:
    net = load(GOLDEN)
    assert net.tasks == ("shapes", "colour", "clean")
    for name, channels, start in (("shapes", 3, 1), ("colour", 2, 2), ("clean", 3, 3)):
        entries = net.deltas[name].entries
        for key, shape in (("head.weight", (channels, 2, 1, 1)), ("head.bias", (channels,))):
            entry = entries[key]
            assert isinstance(entry, Replace)
            np.testing.assert_array_equal(entry.tensor, ramp(shape, start))
    for start, key in enumerate(net.layout.masked):
        entry = net.deltas["colour"].entries[key]
        assert isinstance(entry, Select)
        np.testing.assert_array_equal(entry.bits.unpack(), bits(tuple(entry.shape), start), err_msg=key)
    for start, key in enumerate(net.layout.decoder):
        entry = net.deltas["clean"].entries[key]
        assert isinstance(entry, Replace)
        np.testing.assert_array_equal(entry.tensor, ramp(tuple(entry.shape), 7 + start), err_msg=key)


def test_coded_masks_have_the_values_of_their_formula() -> None:
    net = load(CODED)
    assert net.tasks == ("uneven",)
    (file,) = CODED.glob("tasks/uneven/delta-*")
    content = file.read_bytes()
    codings = [content.count(f'\\"coding\\":\\"{coding}\\"'.encode()) for coding in ("entropy", "raw")]
    assert codings == [7, 17]
    for number, key in enumerate(net.layout.masked):
        entry = net.deltas["uneven"].entries[key]
        assert isinstance(entry, Select)
        expected = uneven_bits(tuple(entry.shape), number)
        np.testing.assert_array_equal(entry.bits.unpack(), expected, err_msg=key)


def test_forms_have_the_values_of_their_formulas() -> None:
    net = load(FORMS)
    assert isinstance(net.backbone, UNet)
    assert (net.backbone.norm, net.tasks) == ("affine", ("sign", "ternary", "affine", "norms"))
    for number, key in enumerate(net.layout.masked):
        sign, ternary, affine = (net.deltas[task].entries[key] for task in ("sign", "ternary", "affine"))
        shape = tuple(sign.shape)
        assert isinstance(sign, Sign)
        np.testing.assert_array_equal(sign.bits.unpack(), uneven_bits(shape, number))
        side = 1 if key.startswith("up") else 0
        wide = tuple(size if place == side else 1 for place, size in enumerate(shape))
        np.testing.assert_array_equal(sign.scale, ramp(wide, number))
        assert isinstance(ternary, Ternary)
        np.testing.assert_array_equal(ternary.keep.unpack(), bits(shape, number))
        flip = bits(shape, number) & uneven_bits(shape, number + 1)
        np.testing.assert_array_equal(ternary.flip.unpack(), flip)
        assert isinstance(affine, Affine)
        np.testing.assert_array_equal(affine.bits.unpack(), bits(shape, number))
        np.testing.assert_array_equal(affine.k, ramp((4,), number))
    for number, key in enumerate(net.layout.norms):
        norm = net.deltas["norms"].entries[key]
        assert isinstance(norm, Replace)
        np.testing.assert_array_equal(norm.tensor, ramp(tuple(norm.shape), 5 + number))


def test_forms_give_the_weights_of_their_formulas() -> None:
    """In float64, as `docs/format.md` has them."""
    net = load(FORMS)
    for key in net.layout.masked:
        weight = net.state.shared[key].numpy().astype(np.float64)
        sign, ternary, affine = (net.deltas[task].entries[key].tensors() for task in ("sign", "ternary", "affine"))

        def unpacked(packed: npt.NDArray[np.uint8], weight: npt.NDArray[np.float64] = weight) -> npt.NDArray[np.int64]:
            flat = np.unpackbits(packed, count=weight.size, bitorder="little")
            return flat.astype(np.int64).reshape(weight.shape)

        k, mask = affine["k"].astype(np.float64), unpacked(affine["bits"])
        expected = {
            "sign": weight + sign["scale"] * (2 * unpacked(sign["bits"]) - 1),
            "ternary": weight * unpacked(ternary["keep"]) * (1 - 2 * unpacked(ternary["flip"])),
            "affine": k[0] * weight + k[1] + k[2] * mask + k[3] * weight * mask,
        }
        for task, values in expected.items():
            got = task_weights(net.deltas[task], net.state.shared)[key].numpy()
            np.testing.assert_allclose(got, values, rtol=1e-6, atol=1e-7, err_msg=f"{task} {key}")


def test_quantized_weights_are_the_shared_ones_and_steps_times_integers(as_bytes: Callable[..., object]) -> None:
    net = load(QUANTIZED)
    weights = task_weights(net.deltas["colour"], net.state.shared)
    for number, key in enumerate(net.layout.masked):
        entry, shared = net.deltas["colour"].entries[key], net.state.shared[key].numpy()
        assert isinstance(entry, Quantized)
        steps = np.arange(shared.size) * 11 + number
        codes = np.where((steps % 5 == 0) | bool(number % 2), steps % 7 - 3, 0).reshape(shared.shape)
        np.testing.assert_array_equal(entry.codes, codes)
        expected = shared + np.float32((number + 1) / 64) * codes.astype(np.float32)
        assert as_bytes({key: weights[key]}) == as_bytes({key: torch.from_numpy(expected)})


def test_seeded_weights_are_philox_words_and_steps_times_integers(as_bytes: Callable[..., object]) -> None:
    """With the reader that `docs/format.md` shows."""
    net, read = load(QUANTIZED), documented("def seeded_weight")["seeded_weight"]
    weights = task_weights(net.deltas["drawn"], net.state.shared)
    for number, key in enumerate(net.layout.masked[:6]):
        entry, change = net.deltas["drawn"].entries[key], net.deltas["colour"].entries[key]
        assert isinstance(entry, Seeded)
        assert isinstance(change, Quantized)
        seed, bound = (number + 1) * 0x9E3779B97F4A7C15 % 2**64, (number + 1) / 32
        assert (entry.seed.seed, entry.seed.bound) == (seed, bound)
        base = np.array([read(seed, bound, place) for place in range(math.prod(entry.shape))], np.float32)
        codes = change.codes.astype(np.float32).reshape(-1)
        expected = torch.from_numpy(base + np.float32((number + 1) / 64) * codes)
        assert as_bytes({key: weights[key].view(-1)}) == as_bytes({key: expected})


def test_an_int8_backbone_is_codes_times_scales() -> None:
    """The scale is the row's largest value over 127, rounded up to 16 significant bits."""
    net = load(INT8)
    assert net.stored == "int8"
    for start, (name, tensor) in enumerate(net.state.shared.items()):
        exact = ramp(tuple(tensor.shape), start)
        if exact.ndim > 1:
            largest = np.abs(exact.astype(np.float64)).max(axis=tuple(range(1, exact.ndim)), keepdims=True) / 127
            mantissa, exponent = np.frexp(largest.astype(np.float32))
            scale = np.ldexp(np.ceil(mantissa * 2**16), exponent - 16)
            exact = (scale * np.rint(exact / scale)).astype(np.float32)
        np.testing.assert_array_equal(tensor.numpy(), exact, err_msg=name)


def test_the_weights_of_a_backbone_that_is_a_number() -> None:
    """With the reader that `docs/format.md` shows, by seeds that the page says how to find."""
    net, read = load(SEED), documented("def seeded_weight")["seeded_weight"]
    assert net.stored == "seed:7"
    for start, (name, tensor) in enumerate(net.state.shared.items()):
        exact = ramp(tuple(tensor.shape), start)
        if exact.ndim > 1:
            seed = int.from_bytes(hashlib.sha256(f"7/{name}".encode()).digest()[:8], "little")
            bound = float(np.float32(1 / np.sqrt(np.prod(exact.shape[1:]))))
            places = (0, 1, exact.size // 2, exact.size - 1)
            assert tensor.flatten()[list(places)].tolist() == [np.float32(read(seed, bound, place)) for place in places]
        else:
            np.testing.assert_array_equal(tensor.numpy(), exact, err_msg=name)


def test_entries_keep_network_order() -> None:
    net = load(GOLDEN)
    assert list(net.deltas["colour"].entries) == [*net.layout.masked, *net.layout.head]


def test_record_is_as_written() -> None:
    record = load(GOLDEN).records["shapes"]
    assert (record.kind, record.channels, record.method) == ("segmentation", 3, "backbone")
    assert record.settings == {
        "classes": ["sky", "tree", "sun"],
        "palette": [[0, 0, 0], [0, 128, 0], [255, 220, 0]],
    }
    assert record.recipe == {"steps": 10, "lr": 1e-4, "betas": [0.9, 0.999]}
    assert record.metrics == {"mIoU": 33.3}
    assert record.provenance == {"seed": 0, "note": "é, not trained"}


def test_hashes_can_be_worked_out_by_the_documented_rule() -> None:
    for file in (GOLDEN / "config.json", *sorted(GOLDEN.glob("tasks/*/task.json"))):
        body = json.loads(file.read_text(encoding="utf-8"))
        recorded = body.pop("sha256")
        text = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        assert hashlib.sha256(text.encode("utf-8")).hexdigest() == recorded
    for file in GOLDEN.glob("tasks/*/task.json"):
        delta = json.loads(file.read_text(encoding="utf-8"))["delta"]
        content = (file.parent / delta["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == delta["sha256"]
        assert delta["file"] == f"delta-{delta['sha256'][:16]}.safetensors"
    config = json.loads((GOLDEN / "config.json").read_text(encoding="utf-8"))
    assert hashlib.sha256((GOLDEN / "model.safetensors").read_bytes()).hexdigest() == config["backbone"]


@pytest.mark.parametrize(
    ("golden", "files"), [(GOLDEN, 8), (CODED, 4), (FORMS, 10), (QUANTIZED, 6), (INT8, 4), (SEED, 4)]
)
def test_verify_finds_nothing(golden: Path, files: int) -> None:
    report = verify(golden)
    assert report.ok
    assert report.findings == ()
    assert len(report.checked) == files


@ALL
def test_saving_it_again_gives_the_same_bytes(
    tmp_path: Path, file_bytes: Callable[[Path], dict[str, bytes]], golden: Path
) -> None:
    save(load(golden), tmp_path / golden.name)
    assert file_bytes(tmp_path / golden.name) == file_bytes(golden)


@ALL
def test_saving_over_it_changes_nothing(
    tmp_path: Path, file_bytes: Callable[[Path], dict[str, bytes]], golden: Path
) -> None:
    shutil.copytree(golden, tmp_path / golden.name)
    save(load(golden), tmp_path / golden.name)
    assert file_bytes(tmp_path / golden.name) == file_bytes(golden)


@pytest.mark.parametrize("name", ["shapes", "colour", "clean"])
def test_delta_file_is_as_large_as_its_entries_and_header(name: str) -> None:
    (file,) = (GOLDEN / "tasks" / name).glob("delta-*")
    content = file.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    assert load(GOLDEN).deltas[name].nbytes == len(content) - header
