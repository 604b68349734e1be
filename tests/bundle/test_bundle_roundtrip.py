"""What is saved is what is loaded, bit for bit, and nothing is read before it is needed."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from stencilnet.bundle import BundleError, LazyDeltas, TaskRecord, read_config, read_records, sizes, verify
from stencilnet.bundle.tensors import DTYPES, decode_delta, decode_tensors, encode_delta, encode_tensors
from stencilnet.delta import Affine, BitMask, Entry, Replace, Select, Sign, TaskDelta, Ternary
from stencilnet.masks import array_of, arrays_of
from stencilnet.models import MultiTaskNet, UNet, load, save

AsBytes = Callable[..., object]


@pytest.mark.parametrize("width", [1, 3])
def test_every_task_comes_back_bit_for_bit(
    tmp_path: Path, make_net: Callable[..., MultiTaskNet], as_bytes: AsBytes, width: int
) -> None:
    net = make_net("shapes", "colour", "clean", width=width)
    save(net, tmp_path / "b")
    back = load(tmp_path / "b")
    assert as_bytes(back.state.shared) == as_bytes(net.state.shared)
    image = torch.rand(2, 3, 35, 50, generator=torch.Generator().manual_seed(1))
    for name in net.tasks:
        assert as_bytes(back.state.weights(name)) == as_bytes(net.state.weights(name))
        assert torch.equal(back(image, task=name), net(image, task=name))
        assert torch.equal(back.materialize(name)(image), net(image, task=name))


def test_order_of_learning_survives(tmp_path: Path, make_net: Callable[..., MultiTaskNet]) -> None:
    save(make_net("shapes", "clean", "colour"), tmp_path / "b")
    assert load(tmp_path / "b").tasks == ("shapes", "clean", "colour")
    assert list(read_records(tmp_path / "b")) == ["shapes", "clean", "colour"]


def test_records_come_back(tmp_path: Path, make_net: Callable[..., MultiTaskNet]) -> None:
    net = make_net("shapes", "colour")
    save(net, tmp_path / "b")
    assert load(tmp_path / "b").records == net.records
    assert read_records(tmp_path / "b") == net.records


def test_tuples_of_a_record_come_back_as_lists(
    tmp_path: Path, make_net: Callable[..., MultiTaskNet], make_delta: Callable[..., TaskDelta]
) -> None:
    net = make_net()
    record = TaskRecord(kind="colorization", channels=2, method="piggyback", recipe={"betas": (0.5, 0.9)})
    net = net.with_state(net.state.add("x", make_delta(net, "piggyback", 2, 0)), {"x": record})
    save(net, tmp_path / "b")
    assert read_records(tmp_path / "b")["x"].recipe == {"betas": [0.5, 0.9]}
    save(net, tmp_path / "b")  # and count as the same


def test_loading_draws_nothing_from_the_global_generator(bundle: Path) -> None:
    before = torch.get_rng_state()
    load(bundle).materialize("colour")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_task_is_read_at_its_first_use_and_once(bundle: Path, as_bytes: AsBytes) -> None:
    (bundle / "tasks/colour").rename(bundle / "elsewhere")
    (bundle / "tasks/colour").mkdir()
    (bundle / "elsewhere/task.json").rename(bundle / "tasks/colour/task.json")
    net = load(bundle)
    assert "colour" in net.deltas
    assert net.tasks == ("shapes", "colour")
    with pytest.raises(BundleError, match=r"tasks/colour/delta-[0-9a-f]{16}.safetensors: missing"):
        net.deltas["colour"]
    (file,) = (bundle / "elsewhere").iterdir()
    file.rename(bundle / "tasks/colour" / file.name)
    first = net.deltas["colour"]
    (bundle / "tasks/colour" / file.name).unlink()
    assert net.deltas["colour"] is first


def test_records_are_read_without_tensors(bundle: Path) -> None:
    (bundle / "model.safetensors").unlink()
    for file in bundle.glob("tasks/*/delta-*"):
        file.unlink()
    assert list(read_records(bundle)) == ["shapes", "colour"]


def test_lazy_deltas_outlive_a_change_of_folder(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bundle.parent)
    net = load("bundle")
    monkeypatch.chdir("/")
    assert isinstance(net.deltas, LazyDeltas)
    assert list(net.deltas["colour"].masks) == list(net.layout.masked)


def test_a_task_folder_copied_in_is_installed_and_deleted_is_gone(
    tmp_path: Path, make_net: Callable[..., MultiTaskNet], as_bytes: AsBytes
) -> None:
    net = make_net("shapes", "colour", "clean")
    save(net, tmp_path / "whole")
    save(net.with_state(net.state.remove("colour").remove("clean"), net.records), tmp_path / "part")
    (tmp_path / "whole/tasks/colour").rename(tmp_path / "part/tasks/colour")
    assert load(tmp_path / "whole").tasks == ("shapes", "clean")
    part = load(tmp_path / "part")
    assert part.tasks == ("shapes", "colour")
    assert as_bytes(part.state.weights("colour")) == as_bytes(net.state.weights("colour"))


def test_tasks_of_one_place_go_by_name(tmp_path: Path, make_net: Callable[..., MultiTaskNet]) -> None:
    net = make_net("shapes")
    for name in ("b", "a"):
        other = net.with_state(
            net.state.remove("shapes").add(name, net.deltas["shapes"]), {name: net.records["shapes"]}
        )
        save(other, tmp_path / name)
    (tmp_path / "a/tasks/a").rename(tmp_path / "b/tasks/a")
    assert load(tmp_path / "b").tasks == ("a", "b")


def test_sizes_are_those_of_the_files(bundle: Path) -> None:
    measured = sizes(bundle)
    assert measured["backbone"] == len((bundle / "model.safetensors").read_bytes())
    assert list(measured["tasks"]) == ["shapes", "colour"]
    for name, size in measured["tasks"].items():
        (delta,) = (bundle / "tasks" / name).glob("delta-*")
        assert size == {
            "delta": len(delta.read_bytes()),
            "record": len((bundle / "tasks" / name / "task.json").read_bytes()),
        }


def test_same_network_same_bytes(
    tmp_path: Path, make_net: Callable[..., MultiTaskNet], file_bytes: Callable[[Path], dict[str, bytes]]
) -> None:
    save(make_net("shapes", "colour"), tmp_path / "1" / "b")
    save(make_net("shapes", "colour"), tmp_path / "2" / "b")
    assert file_bytes(tmp_path / "1") == file_bytes(tmp_path / "2")


def test_card_names_tasks_kinds_and_bytes(bundle: Path) -> None:
    card = (bundle / "README.md").read_text()
    measured = sizes(bundle)["tasks"]["colour"]
    assert f"| colour | colorization | piggyback | {measured['delta'] + measured['record']:,} |" in card
    assert 'engine.run("photo.jpg", task="shapes")' in card


def test_card_is_never_read(bundle: Path) -> None:
    (bundle / "README.md").unlink()
    assert load(bundle).tasks == ("shapes", "colour")


shapes = st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple)
kinds = st.sampled_from(["replace", "select", "sign", "ternary", "affine"])
dtypes = st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.uint8])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    entries=st.dictionaries(
        st.text(min_size=1, max_size=12), st.tuples(kinds, shapes, dtypes, st.integers(0, 2**31)), max_size=5
    )
)
def test_any_delta_survives_its_file(
    as_bytes: AsBytes, entries: dict[str, tuple[str, tuple[int, ...], torch.dtype, int]]
) -> None:
    delta = TaskDelta({key: _entry(*described) for key, described in entries.items()})
    data = encode_delta(delta)
    back = decode_delta(data, Path("x"))
    assert list(back.entries) == list(delta.entries)
    for key, entry in delta.entries.items():
        assert type(back.entries[key]) is type(entry)
        assert back.entries[key].shape == entry.shape
        assert as_bytes(back.entries[key].tensors()) == as_bytes(entry.tensors())
    assert encode_delta(back) == data
    header = 8 + int.from_bytes(data[:8], "little")
    assert delta.nbytes == len(data) - header


def _entry(kind: str, shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> Entry:
    generator = torch.Generator().manual_seed(seed)
    bits = BitMask.pack(torch.rand(shape, generator=generator) > 0.5)
    match kind:
        case "select":
            return Select(bits)
        case "sign":
            return Sign(bits, array_of(torch.randn(shape[0], *[1] * (len(shape) - 1), generator=generator)))
        case "affine":
            return Affine(bits, array_of(torch.randn(4, generator=generator)))
        case "ternary":
            return Ternary(bits, BitMask.pack(bits.unpack() & array_of(torch.rand(shape, generator=generator) > 0.5)))
    return Replace(array_of((torch.randn(shape, generator=generator) * 9).to(dtype)))


def test_odd_tensors_survive_too(as_bytes: AsBytes) -> None:
    tied = np.arange(6.0)
    tensors = {
        "transposed": np.arange(6.0).reshape(2, 3).T,
        "view": tied[2:4],
        "tied": tied,
        "empty": np.zeros((0, 3), np.float32),
        "scalar": np.array(-0.0),
        "nan": np.array([np.nan, np.inf], np.float16),
        "expanded": np.broadcast_to(np.ones(1), 4),
    }
    assert as_bytes(decode_tensors(encode_tensors(tensors), Path("x"))) == as_bytes(tensors)


@pytest.mark.parametrize("dtype", [getattr(torch, name) for name in DTYPES.values()], ids=str)
def test_bytes_are_those_of_pytorchs_own_reader_and_writer(as_bytes: AsBytes, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    tensors = {
        name: torch.randint(0, 9, shape, generator=generator).to(dtype)
        for name, shape in (("b", (3, 5)), ("a", ()), ("empty", (2, 0)))
    } | {"other": torch.ones(3, dtype=torch.uint8)}
    data = encode_tensors(arrays_of(tensors), {"key": "value"})
    assert data == safetensors.torch.save(tensors, {"key": "value"})
    assert as_bytes(decode_tensors(data, Path("x"))) == as_bytes(tensors)


class Tiny(nn.Module):
    """A backbone of an own class, with batch statistics."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.out = nn.Conv2d(width, 5, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.out(self.norm(self.body(x)).relu())
        return out


class Other(Tiny):
    """The same weights under another class."""


def tiny_net() -> MultiTaskNet:
    backbone = Tiny()
    generator = torch.Generator().manual_seed(0)
    for name, tensor in backbone.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator))
        assert name
    net = MultiTaskNet(backbone, head="out", decoder=())
    head = {name: Replace(array_of(tensor)) for name, tensor in net.fresh_head(2, generator).items()}
    own = {"norm.running_mean": Replace(array_of(torch.rand(4, generator=generator))), **head}
    record = TaskRecord(kind="colorization", channels=2, method="piggyback")
    return net.with_state(net.state.add("x", TaskDelta(own)), {"x": record})


def test_any_backbone_comes_back_into_a_module_of_its_class(tmp_path: Path, as_bytes: AsBytes) -> None:
    net = tiny_net()
    save(net, tmp_path / "b")
    config = read_config(tmp_path / "b")
    assert config.architecture.endswith("test_bundle_roundtrip.Tiny")
    assert config.arguments is None
    back = load(tmp_path / "b", backbone=Tiny())
    assert as_bytes(back.state.weights("x")) == as_bytes(net.state.weights("x"))
    image = torch.rand(1, 3, 9, 11)
    assert torch.equal(back(image, task="x"), net(image, task="x"))


def test_another_backbone_is_refused_with_the_remedy(tmp_path: Path) -> None:
    save(tiny_net(), tmp_path / "b")
    with pytest.raises(
        BundleError, match=r"cannot be rebuilt from the bundle alone.*Build it and pass it as `backbone="
    ):
        load(tmp_path / "b")
    with pytest.raises(BundleError, match=r"another architecture. Expected .*Tiny, but got .*Other"):
        load(tmp_path / "b", backbone=Other())
    with pytest.raises(BundleError, match=r"weight `body.bias` does not fit.*shape \(6,\), but got .*shape \(4,\)"):
        load(tmp_path / "b", backbone=Tiny(6))
    with pytest.raises(BundleError, match=r"weight `body.bias` does not fit.*float64.*but got float32"):
        load(tmp_path / "b", backbone=Tiny().double())


def test_a_u_net_with_affine_norms_is_rebuilt(tmp_path: Path, as_bytes: AsBytes) -> None:
    backbone = UNet(width=2, channels=3, norm="affine")
    generator = torch.Generator().manual_seed(0)
    for tensor in backbone.state_dict().values():
        tensor.copy_(torch.rand(tensor.shape, generator=generator))
    net = MultiTaskNet(backbone)
    own = {
        name: Replace(array_of(torch.rand(net.state.shared[name].shape, generator=generator)))
        for name in net.layout.norms
    }
    head = {name: Replace(array_of(tensor)) for name, tensor in net.fresh_head(2, generator).items()}
    record = TaskRecord(kind="colorization", channels=2, method="norm_only")
    net = net.with_state(net.state.add("x", TaskDelta(own | head)), {"x": record})
    save(net, tmp_path / "b")
    config = read_config(tmp_path / "b")
    assert (config.architecture, config.arguments) == ("stencilnet.UNet", {"width": 2, "norm": "affine"})
    back = load(tmp_path / "b")
    assert isinstance(back.backbone, UNet)
    assert back.backbone.norm == "affine"
    assert back.layout == net.layout
    assert as_bytes(back.state.weights("x")) == as_bytes(net.state.weights("x"))
    image = torch.rand(1, 3, 35, 50, generator=generator)
    assert torch.equal(back(image, task="x"), net(image, task="x"))
    save(MultiTaskNet(UNet(width=2)), tmp_path / "plain")
    assert read_config(tmp_path / "plain").arguments == {"width": 2}


def test_a_class_of_a_script_is_known_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tiny, "__module__", "__main__")
    save(tiny_net(), tmp_path / "b")
    assert read_config(tmp_path / "b").architecture == "__main__.Tiny"
    monkeypatch.undo()
    assert load(tmp_path / "b", backbone=Tiny()).tasks == ("x",)
    with pytest.raises(BundleError, match="another architecture"):
        load(tmp_path / "b", backbone=Other())


def test_metrics_that_are_not_finite_come_back(bundle: Path, make_net: Callable[..., MultiTaskNet]) -> None:
    net = make_net("shapes", "colour", "clean")
    metrics = {"step": 3, "scores": {"PSNR": math.inf, "gain": [-math.inf, math.nan], "SSIM": 1.0}}
    record = replace(net.records["clean"], metrics=metrics)
    perfect = net.with_state(net.state, {**net.records, "clean": record})
    save(perfect, bundle)
    text = (bundle / "tasks" / "clean" / "task.json").read_text()
    written = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert written["metrics"] == {"step": 3, "scores": {"PSNR": "inf", "gain": ["-inf", "nan"], "SSIM": 1.0}}
    found = load(bundle).records["clean"].metrics
    assert found["scores"]["PSNR"] == math.inf
    assert found["scores"]["gain"][0] == -math.inf
    assert math.isnan(found["scores"]["gain"][1])
    assert (found["step"], found["scores"]["SSIM"]) == (3, 1.0)
    save(load(bundle), bundle)  # the same task again: nothing to do
    assert (bundle / "tasks" / "clean" / "task.json").read_text() == text
    assert verify(bundle).ok
