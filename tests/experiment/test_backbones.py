"""Where a backbone starts: drawn, given, frozen, or ImageNet's; and configs that contradict themselves."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import stencilnet as sn
from stencilnet.config.reading import ConfigError, read_config
from stencilnet.config.schema import Backbone
from stencilnet.delta import Replace
from stencilnet.learning.backbones import backbone_problems, make_backbone, start_of
from stencilnet.masks import tensor_of
from stencilnet.models.unet import DECODER
from stencilnet.scenes import Scenes


def vgg13_features() -> nn.Sequential:
    """Torchvision's own layers, without the 120 million weights of the classifier."""
    from torchvision.models.vgg import cfgs, make_layers

    features: nn.Sequential = make_layers(cfgs["B"])
    return features


@pytest.fixture(scope="module")
def vgg13_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of torchvision's layout, random weights, without the classifier."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        features = vgg13_features()
        for layer in features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.normal_(layer.bias, std=0.3)
    path = tmp_path_factory.mktemp("weights") / "vgg13.pth"
    torch.save({f"features.{name}": tensor for name, tensor in features.state_dict().items()}, path)
    return path


def started(path: Path) -> Backbone:
    return Backbone(init="vgg13", weights=str(path))


def test_the_encoder_is_vgg13_on_plain_pictures(vgg13_file: Path) -> None:
    from torchvision.transforms.functional import normalize

    theirs = vgg13_features().eval()
    theirs.load_state_dict(
        {name.removeprefix("features."): tensor for name, tensor in torch.load(vgg13_file, weights_only=True).items()}
    )
    net = make_backbone(started(vgg13_file)).backbone
    assert isinstance(net, sn.UNet)
    x = torch.rand(2, 3, 40, 48, generator=torch.Generator().manual_seed(0))
    layers = dict(net.named_children())
    with torch.no_grad():
        expected, got, border = normalize(x, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]), x, 0
        for block in range(1, 4):
            for index in (1, 2):
                got = F.relu(layers[f"conv{block}_{index}"](got))
            expected = theirs[5 * (block - 1) : 5 * (block - 1) + 4](expected)
            border += 2  # a pixel a convolution: zero padding is the mean to one, black to the other
            inner, ours = (y[..., border:-border, border:-border] for y in (expected, got))
            assert inner.numel()
            assert float(inner.std()) > 0.01
            assert torch.allclose(ours, inner, atol=1e-4 * float(inner.abs().max()))
            got, expected, border = F.max_pool2d(got, 2), F.max_pool2d(expected, 2), -(-border // 2)
    positions = [0, 2, 5, 7, 10, 12, 15, 17, 20, 22]
    names = [f"conv{block}_{index}" for block in range(1, 6) for index in (1, 2)]
    for position, name in list(zip(positions, names, strict=True))[1:]:
        for leaf in ("weight", "bias"):
            assert torch.equal(net.state_dict()[f"{name}.{leaf}"], theirs.state_dict()[f"{position}.{leaf}"])


def test_the_decoder_is_drawn_by_the_seed(vgg13_file: Path) -> None:
    one, drawn = make_backbone(started(vgg13_file), seed=3), make_backbone(Backbone(), seed=3)
    other = make_backbone(started(vgg13_file), seed=4)
    decoder = [name for name in one.state.shared if name.startswith(DECODER)]
    assert all(torch.equal(one.state.shared[name], drawn.state.shared[name]) for name in decoder)
    assert not any(torch.equal(one.state.shared[name], other.state.shared[name]) for name in decoder)
    encoder = [name for name in one.state.shared if name not in decoder]
    assert all(torch.equal(one.state.shared[name], other.state.shared[name]) for name in encoder)
    assert not any(torch.equal(one.state.shared[name], drawn.state.shared[name]) for name in encoder)


def test_building_leaves_the_global_generator_alone() -> None:
    with torch.random.fork_rng(devices=[]):
        before = torch.get_rng_state()
        make_backbone(Backbone(width=2), seed=1)
        assert torch.equal(torch.get_rng_state(), before)


def test_a_file_of_another_layout_is_refused_by_its_key(vgg13_file: Path, tmp_path: Path) -> None:
    state = torch.load(vgg13_file, weights_only=True)
    torch.save({**state, "features.7.weight": state["features.7.weight"][:5]}, tmp_path / "cut.pth")
    (problem,) = backbone_problems(started(tmp_path / "cut.pth"))
    assert problem.startswith(f"backbone.weights: Expected {tmp_path / 'cut.pth'} to have the layout of torchvision's")
    assert "VGG13: features.7.weight (128, 128, 3, 3) (got (5, 128, 3, 3)). Give the state dict of" in problem
    (missing,) = backbone_problems(started(tmp_path / "none.pth"))
    assert "there is no such file. Use `download`, give the path of a file, or start from random weights." in missing
    (other,) = backbone_problems(Backbone(kind="vgg16", init="imagenet", weights=str(vgg13_file)))
    assert "torchvision's VGG16: features." in other
    assert other.endswith("Give the state dict of torchvision.models.vgg16, with its classifier.")
    torch.save({**state, "features.7.bias": state["features.7.bias"] / 0}, tmp_path / "inf.pth")
    (infinite,) = backbone_problems(started(tmp_path / "inf.pth"))
    assert infinite == "backbone.weights: Expected finite weights, but got NaN or infinity in conv2_2.bias."
    assert backbone_problems(started(vgg13_file)) == backbone_problems(Backbone()) == []


def test_contradictions_are_refused_with_their_path() -> None:
    def told(*overrides: str) -> str:
        with pytest.raises(ConfigError) as error:
            read_config("demo/tiny", overrides)
        return str(error.value)

    needs = "`init: vgg13` to come with `kind: unet` and `width: 64`, but got `width: 4`."
    assert told("backbone.init=vgg13").endswith(f"  backbone: Expected {needs}")
    assert "backbone: Expected no `weights` with `init: random`, but got 'cache'." in told("backbone.weights=cache")
    assert "`init: imagenet` to come with `kind: vgg16`, but got `kind: unet`" in told("backbone.init=imagenet")
    assert "backbone: Expected no `width` with `kind: vgg16`, but got 4." in told("backbone.kind=vgg16")
    assert "backbone.kind: expected one of unet, vgg16, but got 'vit'" in told("backbone.kind=vit")
    assert "backbone.norm: expected one of instance, affine, own, but got 'batch'" in told("backbone.norm=batch")
    assert "Expected no `norm: affine` with `kind: vgg16`, which has no norm." in told(
        "backbone={kind: vgg16, norm: affine}"
    )
    affine = "Expected a backbone with `norm: own` or `affine` for {}, which trains norms, but got `norm: instance`"
    assert affine.format("piggyback") in told("methods.0.method.norm=true")
    assert affine.format("norm_only") in told("methods.0.method={kind: norm_only}")
    labels = told("backbone={kind: vgg16}")
    assert "with backbone vgg16, but `scenes` is segmentation, `things`" in labels
    assert "no method decoder with backbone vgg16, which has no decoder" in labels
    task = told("tasks.things.task={kind: classification, classes: [a, b]}", "tasks.things.view.crop=16")
    assert "only tasks that give pictures with backbone unet, but `things` is classification" in task
    assert "things's crop to be at least 32 px for VGG16, but got 16" in task
    own = told("tasks.things.task={kind: classification, classes: [a, b], crop: 16, resize: 256}")
    assert "tasks.1.task.crop: unknown key. Known here: classes" in own


def test_what_is_left_out_is_filled_in() -> None:
    assert Backbone() == Backbone(kind="unet", width=64, norm="instance", init="random", weights=None, frozen=False)
    assert Backbone(init="vgg13").weights == "cache"
    assert [start_of(b) for b in (Backbone(), Backbone(init="vgg13"), Backbone(init="vgg13", frozen=True))] == [
        "fresh",
        "given",
        "frozen",
    ]
    assert start_of(Backbone(frozen=True)) == "frozen"


class Normed(nn.Module):
    """A small network with batch normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(F.relu(self.norm(self.conv(x))))
        return out


def empty(seed: int) -> sn.MultiTaskNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return sn.MultiTaskNet(Normed(), decoder=())


def learned(net: sn.MultiTaskNet, name: str = "colour", **changes: object) -> sn.MultiTaskNet:
    scenes = Scenes(count=4, size=32)
    method = changes.pop("method", "piggyback")
    config = sn.Learning(view=sn.View(crop=32), recipe=sn.Recipe(steps=3, batch=2, lr=1e-3), **changes)  # type: ignore[arg-type]
    data = sn.Splits(train=scenes, validation=scenes)
    return sn.learn(net, sn.Colorization(), data, name=name, method=method, config=config)  # type: ignore[arg-type]


def test_a_frozen_backbone_stays_as_it_is_buffers_too(as_bytes: object) -> None:
    net = empty(1)
    found = learned(net, backbone="frozen")
    assert callable(as_bytes)
    assert as_bytes(found.state.shared) == as_bytes(net.state.shared)
    entries = found.deltas["colour"].entries
    assert set(entries) == {
        "head.weight",
        "head.bias",
        "norm.running_mean",
        "norm.running_var",
        "norm.num_batches_tracked",
    }
    moved = entries["norm.running_mean"]
    assert isinstance(moved, Replace)
    assert not torch.equal(tensor_of(moved.tensor), net.state.shared["norm.running_mean"])
    further = learned(found, "further", method=sn.Piggyback(lr=1e-2))
    x = torch.rand(1, 3, 20, 24)
    assert torch.equal(further(x, "colour"), found(x, "colour"))
    assert as_bytes(further.state.shared) == as_bytes(net.state.shared)


def test_given_weights_are_where_training_starts() -> None:
    net = empty(1)
    found = learned(net, backbone="given")
    for name in ("conv.weight", "norm.weight"):
        moved = (found.state.shared[name] - net.state.shared[name]).abs().max()
        assert 0 < float(moved) < 4e-3  # Adam: the learning rate a step
    fresh = learned(net)
    assert float((fresh.state.shared["conv.weight"] - net.state.shared["conv.weight"]).abs().max()) > 0.05


def test_scratch_is_random_wherever_the_backbone_starts() -> None:
    deltas = [
        learned(learned(empty(seed), backbone=start), "own", method="scratch", backbone=start).deltas["own"]
        for seed, start in ((1, "frozen"), (2, "given"))
    ]
    first, second = (delta.entries["conv.weight"] for delta in deltas)
    assert isinstance(first, Replace)
    assert isinstance(second, Replace)
    assert np.array_equal(first.tensor, second.tensor)


def test_learning_refuses_another_start() -> None:
    with pytest.raises(ValueError, match="`backbone` to be fresh, given or frozen, but got 'pretrained'"):
        sn.Learning(backbone="pretrained")  # type: ignore[arg-type]


def test_a_config_freezes_what_its_seed_draws(tmp_path: Path) -> None:
    from stencilnet.experiment.run import Run
    from stencilnet.experiment.session import Session

    tiny = read_config("demo/tiny", ["backbone.frozen=true", "backbone.width=2"])
    experiment = dataclasses.replace(tiny, tasks=tiny.tasks[:2], methods=tiny.methods[:1], pictures=0)
    run = Run(experiment, Session(out=tmp_path / "run", root=Path()))
    run.learn(experiment.methods[0])
    net, drawn = sn.load(tmp_path / "run" / "bundle"), make_backbone(experiment.backbone, experiment.seed)
    assert all(torch.equal(tensor, drawn.state.shared[name]) for name, tensor in net.state.shared.items())
    assert set(net.deltas["scenes"].entries) == {"head.weight", "head.bias"}
    assert net.deltas["things"].masks
