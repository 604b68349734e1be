"""Tasks as ONNX files: ONNX Runtime and the file alone give what the engine gives, for every kind of entry."""

import dataclasses
import hashlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from PIL import Image

from stencilnet import Engine
from stencilnet.bundle import add_task, open_bundle
from stencilnet.export import export_adapters, export_task, runtime
from stencilnet.export.site import export_site

GOLDEN = Path(__file__).parents[1] / "bundle" / "golden"
TASKS = [(folder.name, task) for folder in sorted(GOLDEN.iterdir()) for task in Engine(folder).tasks]
NEAR = 1e-3
SIZES = [(1, 1), (5, 90), (37, 50), (48, 64), (129, 31)]


def image(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((3, height, width), np.float32)


def session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3  # inputs with defaults are warned of
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run_with(model: ort.InferenceSession, adapter: Path, given: np.ndarray) -> np.ndarray:
    loaded, options = ort.LoraAdapter(), ort.RunOptions()
    loaded.Load(str(adapter))
    options.add_active_adapter(loaded)
    return model.run(["output"], {"image": given}, options)[0]


def stencil(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stencilnet", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_a_file_is_a_task(name: str, task: str, tmp_path: Path) -> None:
    export_task(GOLDEN / name, task, tmp_path / "task.onnx")
    onnx.checker.check_model(onnx.load(tmp_path / "task.onnx"), full_check=True)
    model, engine = session(tmp_path / "task.onnx"), Engine(GOLDEN / name)
    for size in SIZES:
        found = model.run(None, {"image": image(*size)[None]})[0]
        np.testing.assert_allclose(found[0], engine.forward(image(*size), task), atol=NEAR)
    pair = np.stack([image(40, 33, seed) for seed in (1, 2)])
    each = [engine.forward(one, task) for one in pair]
    np.testing.assert_allclose(model.run(None, {"image": pair})[0], each, atol=NEAR)


@pytest.mark.parametrize("name", sorted({name for name, _ in TASKS}))
def test_an_adapter_is_a_task(name: str, tmp_path: Path) -> None:
    engine, out = Engine(GOLDEN / name), tmp_path / "out"
    written = export_adapters(GOLDEN / name, out)
    assert sorted(written) == sorted(out.iterdir())
    onnx.checker.check_model(onnx.load(out / "backbone.onnx"), full_check=True)
    model = session(out / "backbone.onnx")
    for size in SIZES:
        assert np.isnan(model.run(None, {"image": image(*size)[None]})[0]).all()  # no task is active
        for task in [*engine.tasks, *engine.tasks]:
            found = run_with(model, out / f"{task}.onnx_adapter", image(*size)[None])
            np.testing.assert_allclose(found[0], engine.forward(image(*size), task), atol=NEAR)


def test_adapters_are_as_small_as_their_forms(tmp_path: Path) -> None:
    for name, task, least, most in (("v1", "colour", 1 / 8, 0.2), ("v1-quantized", "colour", 1, 1.2)):
        export_adapters(GOLDEN / name, tmp_path / name, [task])
        assert [path.name for path in (tmp_path / name).glob("*_adapter")] == [f"{task}.onnx_adapter"]
        weights = sum(entry.shape != () and np.prod(entry.shape) for entry in _changes(name, task))
        size = (tmp_path / name / f"{task}.onnx_adapter").stat().st_size
        assert least * weights < size < most * weights + 16_384


def _changes(name: str, task: str) -> list:
    return [e for e in open_bundle(GOLDEN / name).deltas[task].entries.values() if e.KIND != "replace"]


def test_files_say_what_goes_in_and_out(tmp_path: Path) -> None:
    engine = Engine(GOLDEN / "v1")
    export_task(GOLDEN / "v1", "shapes", tmp_path / "task.onnx")
    export_adapters(GOLDEN / "v1", tmp_path / "all")
    said = session(tmp_path / "task.onnx").get_modelmeta().custom_metadata_map
    assert said["kind"] == engine.record("shapes").kind == "segmentation"
    assert json.loads(said["settings"]) == engine.record("shapes").settings
    assert said["input"] == "image: float32 (N, 3, H, W) in [0, 1], RGB as sRGB / 255. H and W of any length."
    assert said["output"].startswith("output: float32 (N, 3, ...): a logit for each of the classes in `settings`")
    together = session(tmp_path / "all" / "backbone.onnx").get_modelmeta().custom_metadata_map
    assert together["backbone"] == said["backbone"]
    tasks = json.loads(together["tasks"])
    assert list(tasks) == list(engine.tasks)
    assert tasks["shapes"] == {key: said[key] for key in ("kind", "settings", "input", "output")}


def test_the_command(tmp_path: Path) -> None:
    one = stencil("export", GOLDEN / "v1", "clean", "-o", tmp_path / "new" / "clean.onnx")
    assert (one.returncode, one.stdout, one.stderr) == (0, f"{tmp_path / 'new' / 'clean.onnx'}\n", "")
    (tmp_path / "new" / "clean.onnx").write_bytes(b"old")
    assert stencil("export", GOLDEN / "v1", "clean", "-o", tmp_path / "new" / "clean.onnx").returncode == 0
    assert session(tmp_path / "new" / "clean.onnx").get_inputs()[0].name == "image"  # replaced, as by `stencil run`
    some = stencil("export", GOLDEN / "v1", "clean", "colour", "-o", tmp_path / "some")
    assert some.stdout.splitlines() == [
        str(tmp_path / "some" / name) for name in ("backbone.onnx", "clean.onnx_adapter", "colour.onnx_adapter")
    ]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("nothing", "-o", "task.onnx"), 1, "Expected `task` to be one of shapes, colour, clean, but got 'nothing'."),
        (("nothing", "-o", "folder"), 1, "Expected `task` to be one of shapes, colour, clean, but got 'nothing'."),
        (("-o", "task.onnx"), 2, "task.onnx holds one task, but got 0. Name one TASK, or a folder as --out."),
        (("clean", "colour", "-o", "task.onnx"), 2, "holds one task, but got 2."),
        (("-o", "taken"), 1, "taken to be a new or empty folder, but it is not. Use another one, or delete it."),
        (("clean", "-o", "taken/file/task.onnx"), 1, "taken/file"),
        (("-o", "taken/file/folder"), 1, "taken/file"),
        (("--web", "--runtime", "taken", "-o", "site"), 1, "Expected taken to be the npm package onnxruntime-web"),
        (("--runtime", "taken", "-o", "site"), 2, "--runtime is for --web only."),
    ],
)
def test_what_cannot_be_written_is_one_error(tmp_path: Path, words: tuple[str, ...], code: int, said: str) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("mine")
    command = [sys.executable, "-m", "stencilnet", "export", str(GOLDEN / "v1"), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["taken", "file"]


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(GOLDEN / "v1", "bundle")
    Image.fromarray((255 * image(37, 50)).astype(np.uint8).transpose(1, 2, 0)).save("photo.jpg")
    for line in re.findall(r"^stencil .*", page, flags=re.MULTILINE):
        assert stencil(*shlex.split(line, comments=True)[1:]).returncode == 0, line
    found: dict = {}
    for code in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        exec(code, found)
    np.testing.assert_allclose(found["again"], found["chroma"], atol=NEAR)
    expected = Engine("bundle").forward(found["image"][0], "colour")
    np.testing.assert_allclose(found["chroma"][0], expected, atol=NEAR)


def test_a_site_is_written_whole_and_names_what_it_leaves_out(tmp_path: Path) -> None:
    copy = shutil.copytree(GOLDEN / "v1", tmp_path / "bundle")
    bundle = open_bundle(copy)
    record = dataclasses.replace(bundle.records["colour"], kind="stranger")
    add_task(copy, "odd", record, bundle.deltas["colour"], shared=bundle.shared)
    left_out = export_site(copy, tmp_path / "site", runtime={"ort.mjs": b"code"})
    assert list(left_out) == ["odd"]
    site = json.loads((tmp_path / "site" / "site.json").read_text())
    assert list(site["tasks"]) == ["shapes", "colour", "clean"]
    written = {str(path.relative_to(tmp_path / "site")) for path in (tmp_path / "site").rglob("*.*")}
    for file in written - {"sw.js"}:
        assert (
            hashlib.sha256((tmp_path / "site" / file).read_bytes()).hexdigest()
            in (tmp_path / "site" / "sw.js").read_text()
        )
    assert {"index.html", "local/engine.js", "runtime/ort.mjs", "bundle/model.safetensors"} < written
    with pytest.raises(ValueError, match="`odd` does not: only segmentation"):
        export_site(copy, tmp_path / "other", ["odd", "clean"], runtime={})
    with pytest.raises(ValueError, match="to be a new or empty folder"):
        export_site(copy, tmp_path / "site", runtime={})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "site"]


def test_a_download_that_is_another_file_is_refused_and_not_kept(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "package.tgz").write_bytes(b"another")
    monkeypatch.setattr(runtime, "_URL", (tmp_path / "package.tgz").as_uri())
    with pytest.raises(OSError, match="to have the SHA-512 q0y"):
        runtime.runtime_files(None, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
