"""VGG16 as a backbone: torchvision's own numbers, and the original Piggyback's setting from config to figure."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from torch import nn

import stencilnet as sn
from stencilnet.analysis.masks import zero_ratios
from stencilnet.bundle import TaskRecord
from stencilnet.cli.main import stencil
from stencilnet.config.reading import read_config
from stencilnet.config.schema import Experiment
from stencilnet.datasets.replicas import make_replica
from stencilnet.delta import BitMask, Replace, Select, TaskDelta
from stencilnet.experiment.reporting import write_report
from stencilnet.experiment.run import Run
from stencilnet.experiment.session import Session
from stencilnet.masks import array_of, task_weights
from stencilnet.models import save
from stencilnet.models.stored import class_path, describe, rebuild
from stencilnet.models.vgg16 import HEAD, layer_names
from stencilnet.runtime.parity import RAW
from stencilnet.tasks.classification import Classification


def on_meta() -> sn.VGG16:
    with torch.device("meta"):
        return sn.VGG16(channels=5)


def test_keys_are_torchvisions_and_masks_lie_over_all_but_the_head() -> None:
    from torchvision.models import vgg16

    with torch.device("meta"):
        theirs = vgg16(num_classes=5)
    net = sn.MultiTaskNet(on_meta(), head=HEAD, decoder=())
    shapes = {name: tensor.shape for name, tensor in net.backbone.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in theirs.state_dict().items()}
    weights = [f"{name}.weight" for name, m in theirs.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert list(net.layout.masked) == weights[:-1]
    assert net.layout.head == ("classifier.6.weight", "classifier.6.bias")
    assert net.layout.buffers == ()


def test_layers_have_the_names_of_papers() -> None:
    names = layer_names(on_meta())
    assert list(names) == list(sn.MultiTaskNet(on_meta(), head=HEAD, decoder=()).layout.masked)
    assert list(names.values()) == [
        *("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3"),
        *("conv4_1", "conv4_2", "conv4_3", "conv5_1", "conv5_2", "conv5_3", "fc6", "fc7"),
    ]
    assert layer_names(sn.UNet(width=1)) == {}


def test_small_pictures_and_headless_networks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"at least 32x32 px for VGG16, but got 40x31 px. Use larger ones"):
        on_meta()(torch.zeros(1, 3, 31, 40, device="meta"))
    with pytest.raises(ValueError, match="`channels` to be at least 1, but got 0"):
        sn.VGG16(channels=0)


def test_other_arguments_in_a_bundle_are_refused() -> None:
    net = sn.MultiTaskNet(on_meta(), head=HEAD, decoder=())
    config = describe(net, "0" * 64)
    assert (config.architecture, config.arguments) == ("stencilnet.VGG16", {})
    assert class_path(type("Own", (sn.VGG16,), {"__init__": nn.Module.__init__})()).endswith(".Own")
    with pytest.raises(sn.BundleError, match=r"not the arguments of a VGG16.*none \({}\)"):
        rebuild(dataclasses.replace(config, arguments={"width": 3}), {}, Path("bundle"))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A state dict of torchvision's network; its weights are drawn here instead of fetched."""
    from torchvision.models import vgg16

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        save_file(vgg16(weights=None, init_weights=False).state_dict(), tmp_path / "vgg16.safetensors")
    return tmp_path / "vgg16.safetensors"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The replica of the config's class folders."""
    make_replica("classes", tmp_path / "data")
    return tmp_path / "data"


def small(weights: Path) -> Experiment:
    """The shipped config with two of its tasks, at 32 px, for one step."""
    overrides = ["trainer.precision=float32", "trainer.workers=0", f"backbone.weights={weights}", "trainer.device=cpu"]
    overrides += ["methods.0.method={kind: piggyback, lr: 1.0e-2}"]  # across the threshold in one step
    whole = read_config("paper/figure14", overrides)
    tasks = [
        dataclasses.replace(
            plan,
            task=Classification(),
            view=dataclasses.replace(plan.view, resize=32, crop=32),
            recipe=dataclasses.replace(plan.recipe, steps=1, batch=2),
        )
        for plan in whole.tasks
        if plan.name in ("cubs-head", "wikiart")
    ]
    return dataclasses.replace(whole, tasks=tuple(tasks))


@pytest.mark.slow
def test_the_original_setting_from_config_to_figure(weights: Path, root: Path, tmp_path: Path) -> None:
    from torchvision.models import vgg16
    from torchvision.transforms.functional import normalize

    experiment = small(weights)
    run = Run(experiment, Session(out=tmp_path / "run", root=root))
    run.learn(experiment.methods[0])

    # ImageNet's weights lie in the bundle as they were, and the second task left the first as it was.
    bundle = tmp_path / "run" / "bundle"
    net = sn.load(bundle)
    own = load_file(weights)
    assert all(torch.equal(tensor, own[name]) for name, tensor in net.state.shared.items())
    assert own.keys() - net.state.shared.keys() == {"classifier.6.weight", "classifier.6.bias"}
    x = torch.rand(1, 3, 32, 40, generator=torch.Generator().manual_seed(0))
    first = net(x, task="cubs-head")
    assert torch.equal(first, sn.load(tmp_path / "run" / "backbone" / "bundle")(x, task="cubs-head"))
    with torch.device("meta"):
        theirs = vgg16(num_classes=2).eval()
    theirs.load_state_dict(own | task_weights(net.state.deltas["cubs-head"], {}), assign=True)
    with torch.no_grad():
        expected = theirs(normalize(x, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    assert torch.allclose(first, expected, atol=1e-5)

    assert 'labels = engine.label("photo.jpg", task="cubs-head")' in (bundle / "README.md").read_text(encoding="utf-8")

    # A page with the mask's figure and without pictures.
    text = write_report(run).with_name("report.md").read_text(encoding="utf-8")
    assert "The network keeps its initial weights; task 1 learns its head." in text
    assert "2 tasks, learned one after another by Piggyback" in text
    assert r"conv1\_1 " in text
    assert "fc7 " in text
    assert "## Pictures" not in text
    assert not run.folder.pictures("wikiart").exists()
    assert (run.folder.path / "figures" / "zero-ratio-wikiart.svg").exists()

    # The command line: the figure by itself, and no pictures from a task that gives labels.
    ratios = zero_ratios(net.deltas["wikiart"].weight_codes)
    assert len(ratios) == 15
    assert any(ratios.values())
    del net
    runner = CliRunner()
    assert runner.invoke(stencil, ["analyze", str(bundle), "-o", str(tmp_path / "analysis")]).exit_code == 0
    figure = (tmp_path / "analysis" / "zeros-wikiart.svg").read_text(encoding="utf-8")
    assert all(f">{name}<" in figure for name in layer_names(on_meta()).values())
    photo = next((root / "wikiart" / "test").rglob("*.jpg"))
    refused = runner.invoke(stencil, ["run", str(bundle), "wikiart", str(photo), "-o", str(tmp_path / "out.png")])
    assert refused.exit_code == 1
    assert not (tmp_path / "out.png").exists()
    assert "The task 'wikiart' (classification) gives a label, not a picture" in str(
        refused.exception or refused.output
    )


@pytest.mark.slow
def test_both_backends_run_a_masked_task_alike(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(4)
    net = sn.MultiTaskNet(sn.VGG16(channels=2), head=HEAD, decoder=())
    mask = torch.rand(net.state.shared["features.5.weight"].shape, generator=generator) > 0.4
    head = {name: Replace(array_of(tensor)) for name, tensor in net.fresh_head(2, generator).items()}
    state = net.state.add("art", TaskDelta({"features.5.weight": Select(BitMask.pack(mask)), **head}))
    task = Classification(classes=("old", "new"))
    record = TaskRecord(kind=task.kind, channels=2, method="piggyback", settings=task.settings())
    save(net.with_state(state, {"art": record}), tmp_path / "bundle")
    del net, state
    done = CliRunner().invoke(stencil, ["verify", str(tmp_path / "bundle"), "--runtime", "--json"])
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)["runtime"]
    assert (found["task"], sorted(found["weights"]), found["ok"]) == ("art", ["onnx", "torch"], True)
    assert 0 < found["raw"] <= RAW  # they are two backends
