"""Bundles without PyTorch: read, applied, edited and run as they are with it."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stencilnet import delta
from stencilnet.bundle import add_task, merge, open_bundle, remove_task, sizes, verify
from stencilnet.kinds.catalog import kind_from_record, kinds
from stencilnet.kinds.kind import DrawingKind, LabelKind, PictureKind

GOLDEN = Path(__file__).parents[1] / "bundle" / "golden"
SHARED = {
    "v1": "da59523cc2905e9b",
    "v1-entropy": "da59523cc2905e9b",
    "v1-forms": "ed513176a55502c2",
    "v1-int8": "31f8eb13352d0f93",
    "v1-quantized": "da59523cc2905e9b",
    "v1-seed": "fc00845b93a39730",
}
TASKS = {
    "v1": {"shapes": "c5c969c5ef9b3d02", "colour": "2cca85c20ea6f4d9", "clean": "e326883a5a8d22d1"},
    "v1-entropy": {"uneven": "6690f2803f46424a"},
    "v1-forms": {
        "sign": "17e6a9e55cbb2778",
        "ternary": "cec7b3973a7b96c5",
        "affine": "449d08d6d60c23b6",
        "norms": "d3634d5c15d20780",
    },
    "v1-int8": {"colour": "f1337de4bb221a66"},
    "v1-quantized": {"colour": "b2a9446acf5c57b8", "drawn": "ae3e5fe8d4ee2016"},
    "v1-seed": {"colour": "6d3a11598d1cbe64"},
}
"""`digest` of the shared weights and of each task's, as PyTorch computed them at format version 1."""

SETTINGS: dict[str, dict[str, Any]] = {
    "segmentation": {"classes": ["sky", "tree", "sun"], "palette": [[0, 0, 0], [0, 128, 0], [255, 220, 0]]},
    "classification": {"classes": ["cat", "dog"], "resize": None, "crop": 32},
    "style": {"style": "gogh.jpg"},
}
"""Settings of kinds that have some without a default, as a bundle records them."""

PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8))


def digest(arrays: Mapping[str, Any]) -> str:
    found = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        found.update(array.tobytes())
    return found.hexdigest()[:16]


def stencil(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stencilnet", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_every_golden_bundle_is_here() -> None:
    assert {folder.name for folder in GOLDEN.iterdir()} == set(SHARED) == set(TASKS)


@pytest.mark.parametrize("name", SHARED)
def test_weights_are_those_that_pytorch_computes(name: str) -> None:
    bundle = open_bundle(GOLDEN / name)
    assert digest(bundle.shared) == SHARED[name]
    assert {task: digest(entries.apply(bundle.shared)) for task, entries in bundle.deltas.items()} == TASKS[name]


def test_every_kind_of_entry_is_among_them() -> None:
    bundles = [open_bundle(GOLDEN / name) for name in SHARED]
    found = {type(entry) for bundle in bundles for each in bundle.deltas.values() for entry in each.entries.values()}
    known = {delta.Replace, delta.Select, delta.Quantized, delta.Seeded, delta.Sign, delta.Ternary, delta.Affine}
    assert found == known


def test_records_make_their_tasks() -> None:
    for name in SHARED:
        records = open_bundle(GOLDEN / name).records
        assert set(records) == set(TASKS[name])
        for record in records.values():
            assert kind_from_record(record.kind, record.settings).channels == record.channels


@pytest.mark.parametrize("name", kinds())
def test_every_kind_makes_inputs_and_answers(name: str) -> None:
    kind = kind_from_record(name, SETTINGS.get(name, {}))
    given = kind.to_input(PHOTO)
    assert (given.dtype, given.shape[0]) == (np.float32, 3)
    assert 0 <= given.min() < given.max() <= 1
    if isinstance(kind, LabelKind):
        labels = kind.to_label(np.array([0.0, np.log(3.0)], np.float32))
        assert [label for label, _ in labels] == ["dog", "cat"]
        assert [probability for _, probability in labels] == pytest.approx([0.75, 0.25])
        return
    assert isinstance(kind, PictureKind)
    assert given.shape == (3, 40, 48)
    picture = kind.to_image(np.zeros((kind.channels, 40, 48), np.float32), given)
    assert picture.size == (48, 40)
    assert np.asarray(picture).dtype == np.uint8


def test_a_drawing_is_an_input() -> None:
    kind = kind_from_record("edges2photo", {})
    assert isinstance(kind, DrawingKind)
    assert kind.drawing_to_input(PHOTO.convert("L")).shape == (3, 40, 48)


def test_answers_are_worked_out_by_hand() -> None:
    values = np.random.default_rng(1).random((3, 40, 48), dtype=np.float32)
    segmented = kind_from_record("segmentation", SETTINGS["segmentation"]).to_image(values, values)
    np.testing.assert_array_equal(np.asarray(segmented), values.argmax(axis=0))
    restored = kind_from_record("restoration", {}).to_image(values * 3 - 1, values)
    expected = np.clip(values * 3 - 1, 0, 1).transpose(1, 2, 0) * 255
    assert np.abs(np.asarray(restored) - expected).max() <= 0.5 + 1e-4


def test_a_bundle_is_shown_and_verified() -> None:
    shown = stencil("info", GOLDEN / "v1", "--json")
    assert list(json.loads(shown.stdout)["tasks"]) == list(TASKS["v1"]), shown.stderr
    for name in SHARED:
        checked = stencil("verify", GOLDEN / name)
        assert (checked.returncode, checked.stderr) == (0, "")


def test_tasks_are_merged_and_removed(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(GOLDEN / "v1", bundle)
    merged = stencil("merge", bundle, GOLDEN / "v1-entropy", GOLDEN / "v1").stdout
    assert merged.splitlines() == ["added   uneven", "present clean", "present colour", "present shapes"]
    assert stencil("remove", bundle, "colour").returncode == 0
    assert stencil("verify", bundle).returncode == 0
    left = open_bundle(bundle)
    weights = {task: digest(entries.apply(left.shared)) for task, entries in left.deltas.items()}
    kept = {task: found for task, found in TASKS["v1"].items() if task != "colour"}
    assert weights == kept | TASKS["v1-entropy"]
    assert "uneven" in (bundle / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("words", [("info",), ("remove", "colour"), ("merge", GOLDEN / "v1")])
def test_what_is_no_bundle_is_one_error(words: tuple[object, ...], tmp_path: Path) -> None:
    done = stencil(words[0], tmp_path, *words[1:])
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("stencil: ")
    assert done.stderr.count("\n") == 1


def test_damage_is_found(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(GOLDEN / "v1", bundle)
    (bundle / "model.safetensors").write_bytes(b"nothing")
    done = stencil("verify", bundle)
    assert done.returncode == 1
    assert "model.safetensors" in done.stdout
    assert "restore the files named above" in done.stdout


@pytest.mark.parametrize("name", SHARED)
def test_every_task_is_added_removed_and_merged(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    shutil.copytree(GOLDEN / name, path)
    bundle = open_bundle(path)
    for task, entries in bundle.deltas.items():
        add_task(path, f"{task}-again", bundle.records[task], entries, shared=bundle.shared)
        remove_task(path, task)
        merge(path, [GOLDEN / name / "tasks" / task])
    assert verify(path).ok
    assert sizes(path)["tasks"].keys() == {*TASKS[name], *(f"{task}-again" for task in TASKS[name])}


@pytest.mark.parametrize("name", SHARED)
def test_every_task_is_run(name: str, tmp_path: Path) -> None:
    PHOTO.save(tmp_path / "photo.png")
    for task in TASKS[name]:
        done = stencil("run", GOLDEN / name, task, tmp_path / "photo.png", "-o", tmp_path / f"{task}.png")
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{tmp_path / task}.png\n", "")
        with Image.open(tmp_path / f"{task}.png") as answer:
            assert answer.size == PHOTO.size
            assert len(np.unique(np.asarray(answer))) > 1


def test_the_installed_backend_is_verified() -> None:
    done = stencil("verify", GOLDEN / "v1", "--runtime", "--json")
    found = json.loads(done.stdout)["runtime"]
    assert [(each["task"], list(each["weights"]), each["ok"]) for each in found] == [
        (task, ["onnx"], True) for task in TASKS["v1"]
    ]


@pytest.mark.parametrize(
    ("options", "tasks"),
    [
        (("--backend", "torch"), "tasks with `backend='torch'`"),
        (("--device", "cuda"), "tasks on the device 'cuda'"),
        (("--precision", "bf16"), "tasks in the precision 'bf16'"),
    ],
)
def test_what_only_pytorch_runs_names_its_extra(tmp_path: Path, options: tuple[str, ...], tasks: str) -> None:
    PHOTO.save(tmp_path / "photo.png")
    done = stencil("run", GOLDEN / "v1", "clean", tmp_path / "photo.png", "-o", tmp_path / "out.png", *options)
    said = f"Running {tasks} needs PyTorch, which is not installed. Run: pip install 'stencilnet[train]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)
