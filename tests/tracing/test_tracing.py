"""A network that stencilnet does not know: its graph lies in the bundle, and ONNX Runtime runs its tasks."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stencilnet.bundle import BundleError, TaskRecord
from stencilnet.bundle.format import GRAPH
from stencilnet.delta import BitMask, Entry, Quantized, Replace, Select, TaskDelta
from stencilnet.export import export_adapters, export_task
from stencilnet.masks import array_of
from stencilnet.models import MultiTaskNet, save
from stencilnet.runtime import Engine
from stencilnet.runtime.parity import compare
from stencilnet.runtime.sessions import make_session
from stencilnet.tracing import GraphError, write_graph

from ..command_line import Stencil
from ..without_torch.test_export import run_with, session

NEAR = 1e-3
SIZES = [(32, 32), (40, 56), (33, 90)]
KINDS = {"clean": ("restoration", 3), "depth": ("depth", 1), "colour": ("colorization", 2)}


class Small(nn.Module):
    """Another package's network: batch norm, a skip, sides that it resizes itself."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.down, self.head = nn.Conv2d(6, 6, 3, stride=2, padding=1), nn.Conv2d(12, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        fine = F.relu(self.norm(self.first(images)))
        coarse = F.interpolate(self.down(fine), size=fine.shape[-2:], mode="nearest")
        return self.head(torch.cat([fine, coarse], dim=1))


class Deciding(Small):
    """A network that a graph cannot follow: what it does depends on its values."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images if images.mean() > 0.5 else 1 - images)


def bundle_of(network: nn.Module, folder: Path) -> Path:
    """A task of a mask, one of quantised changes and running statistics of its own, and one of the head alone."""
    generator = torch.Generator().manual_seed(0)
    network.get_submodule("norm").running_mean.uniform_(-0.3, 0.3, generator=generator)
    net = MultiTaskNet(network, decoder=())
    state, records = net.state, {}
    for name, (kind, channels) in KINDS.items():
        entries: dict[str, Entry] = {}
        for key in net.layout.masked:
            shape, drawn = state.shared[key].shape, torch.rand(state.shared[key].shape, generator=generator)
            if name == "clean":
                entries[key] = Select(BitMask.pack(drawn > 0.3))
            elif name == "depth":
                codes = (10 * drawn - 5).to(torch.int8).reshape(shape).numpy()
                entries[key] = Quantized(codes, np.array(0.02, np.float32))
        if name == "depth":
            entries["norm.running_var"] = Replace(np.linspace(0.5, 2, 6, dtype=np.float32))
        head = net.fresh_head(channels, generator)
        state = state.add(name, TaskDelta(entries | {key: Replace(array_of(tensor)) for key, tensor in head.items()}))
        records[name] = TaskRecord(kind=kind, channels=channels, method="none")
    save(net.with_state(state, records), folder)
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = bundle_of(Small(), tmp_path_factory.mktemp("small") / "bundle")
    assert write_graph(path, Small()) == path / GRAPH
    return path


def image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).random((3, height, width), np.float32)


def test_onnx_runtime_gives_what_pytorch_gives(bundle: Path) -> None:
    engine, plain = Engine(bundle), Engine(bundle, backbone=Small())
    assert (engine.backend, plain.backend) == ("onnx", "torch")
    for task in engine.tasks:
        for size in SIZES:
            expected = plain.forward(image(*size), task)
            np.testing.assert_allclose(engine.forward(image(*size), task), expected, atol=NEAR)
    first, *others = (engine.forward(image(32, 32), task)[:1] for task in engine.tasks)
    assert all(np.abs(first - other).max() > 10 * NEAR for other in others)


def test_a_graph_holds_no_weights_and_no_places_of_this_machine(bundle: Path) -> None:
    data = (bundle / GRAPH).read_bytes()
    assert len(data) < 20_000
    assert str(Path(__file__).parent).encode() not in data
    graph = onnx.load(bundle / GRAPH, load_external_data=False).graph
    names = {tensor.name for tensor in graph.initializer if tensor.external_data}
    assert {"first.weight", "norm.running_mean", "head.bias"} <= names
    sides = [side.dim_param or side.dim_value for side in graph.input[0].type.tensor_type.shape.dim]
    assert sides == ["batch", 3, "height", "width"]


def test_no_pytorch_is_loaded(bundle: Path, tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np, stencilnet as sn; engine = sn.Engine(sys.argv[1]);"
        "print(engine.run(np.zeros((20, 30, 3), np.uint8), 'clean').size, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(bundle)], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("(30, 20) False\n", "")


def test_it_is_verified_by_the_backend_that_can_run_it(bundle: Path) -> None:
    assert [(each.task, list(each.weights), each.ok) for each in compare(bundle)] == [
        (task, ["onnx"], True) for task in KINDS
    ]


def test_a_size_that_the_network_cannot_run_is_one_error(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stencilnet.runtime.onnx import OnnxBackend

    def cut(backend: OnnxBackend, task: str) -> object:
        weights = dict(backend.weights(task))
        model = onnx.ModelProto()
        model.CopyFrom(backend._graphs.graph(weights))
        model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 64
        return make_session(model, weights)

    monkeypatch.setattr(OnnxBackend, "_session", cut)
    with pytest.raises(ValueError, match=r"^The network cannot run a picture of 30x20 pixels: .*Got invalid"):
        Engine(bundle).forward(image(20, 30), "clean")


def test_files_for_other_programs(bundle: Path, tmp_path: Path) -> None:
    engine = Engine(bundle)
    export_adapters(bundle, tmp_path / "all")
    together = session(tmp_path / "all" / "backbone.onnx")
    for task in engine.tasks:
        export_task(bundle, task, tmp_path / f"{task}.onnx")
        alone = session(tmp_path / f"{task}.onnx")
        for size in SIZES:
            given, expected = image(*size)[None], engine.forward(image(*size), task)
            np.testing.assert_allclose(alone.run(None, {"image": given})[0][0], expected, atol=NEAR)
            found = run_with(together, tmp_path / "all" / f"{task}.onnx_adapter", given)
            np.testing.assert_allclose(found[0], expected, atol=NEAR)


def changed(bundle: Path, folder: Path, change: object) -> Path:
    path = shutil.copytree(bundle, folder / "bundle")
    model = onnx.load(path / GRAPH, load_external_data=False)
    change(model)  # type: ignore[operator]
    (path / GRAPH).write_bytes(model.SerializeToString())
    return path


def other_backbone(model: onnx.ModelProto) -> None:
    next(entry for entry in model.metadata_props if entry.key == "backbone").value = "0" * 64


def other_shape(model: onnx.ModelProto) -> None:
    next(tensor for tensor in model.graph.initializer if tensor.name == "first.weight").dims[0] = 7


def other_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(onnx.helper.make_tensor_value_info("more", onnx.TensorProto.FLOAT, [1]))


def file_outside(model: onnx.ModelProto) -> None:
    tensor = onnx.TensorProto(name="x", data_type=onnx.TensorProto.FLOAT, dims=[4], data_location=1)
    tensor.external_data.add(key="location", value="/etc/passwd")
    model.graph.node.append(onnx.helper.make_node("Constant", [], ["x"], value=tensor))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_backbone, "the graph of another backbone. Expected backbone"),
        (other_shape, "another weight `first.weight`. Expected (6, 3, 3, 3), but got (7, 3, 3, 3)"),
        (other_input, "other inputs and outputs. Expected ['image', 'output'], but got ['image', 'more', 'output']"),
        (file_outside, "tensors outside the bundle"),
    ],
)
def test_a_graph_that_is_not_the_bundles_is_refused(bundle: Path, tmp_path: Path, change: object, said: str) -> None:
    with pytest.raises(BundleError) as raised:
        Engine(changed(bundle, tmp_path, change))
    assert said in str(raised.value)
    assert "Write it again: stencil export BUNDLE --graph" in str(raised.value)


def test_a_damaged_graph_is_refused(bundle: Path, tmp_path: Path) -> None:
    path = shutil.copytree(bundle, tmp_path / "bundle")
    (path / GRAPH).write_bytes(b"no graph")
    with pytest.raises(BundleError, match="not a graph"):
        Engine(path)


def test_a_network_that_no_graph_can_follow_is_refused(tmp_path: Path) -> None:
    path = bundle_of(Deciding(), tmp_path / "bundle")
    with pytest.raises(GraphError, match=r"^PyTorch cannot write Deciding as an ONNX graph: .*Run its tasks by"):
        write_graph(path, Deciding())
    assert not (path / GRAPH).exists()


def test_a_graph_of_other_outputs_is_refused(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stencilnet import tracing

    before = (bundle / GRAPH).read_bytes()
    model = onnx.load_model_from_string(before)

    def negated(*_words: object) -> onnx.ModelProto:
        model.graph.node[-1].output[0] = "negated"
        model.graph.node.append(onnx.helper.make_node("Neg", ["negated"], ["output"]))
        return model

    monkeypatch.setattr(tracing, "_traced", negated)
    with pytest.raises(GraphError, match=r"network's outputs for 1 images of 64x64 px and 3 output channels"):
        write_graph(bundle, Small())
    assert (bundle / GRAPH).read_bytes() == before


def test_the_command(stencil: Stencil, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stencilnet import tracing

    monkeypatch.setattr(tracing, "write_graph", lambda path, network: path / f"{type(network).__name__}.onnx")
    code = "import torch\nnumber = dict\ndef build():\n    return torch.nn.Conv2d(3, 1, 1)\n"
    (tmp_path / "mine.py").write_text(code)
    done = stencil("export", str(tmp_path), "--graph", "mine:build", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'Conv2d.onnx'}\n")
    for words, said in (
        (
            ("--graph", "mine:nothing"),
            "MODULE:FUNCTION, but got 'mine:nothing': module 'mine' has no attribute",
        ),
        (("--graph", "mine"), "expected MODULE:FUNCTION, but got 'mine'"),
        (("--graph", "nowhere:build"), "No module named 'nowhere'"),
        (("--graph", "mine:number"), "expected mine:number to build a torch.nn.Module, but got dict."),
        (("--graph", "mine:build", "-o", "x.onnx"), "--graph takes neither TASK nor --out"),
        ((), "Missing option '-o' / '--out'."),
    ):
        done = stencil("export", str(tmp_path), *words, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr.replace("\n", " ")


def test_a_bundle_that_needs_no_graph_says_so() -> None:
    golden = Path(__file__).parents[1] / "bundle" / "golden" / "v1"
    with pytest.raises(ValueError, match="are written when tasks are first used: nothing is to be done"):
        write_graph(golden, Small())
