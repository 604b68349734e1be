"""Learned tasks as files: masks and quantised changes of the same weights side by side, and columns."""

from pathlib import Path

import numpy as np
import pytest

import stencilnet as sn
from stencilnet.export import export_adapters, export_task
from stencilnet.scenes import Scenes

from ..without_torch.test_export import image, run_with, session

NEAR = 1e-3


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = sn.Splits(train=Scenes(count=4, size=32), validation=Scenes(count=2, size=32, first=100))
    config = sn.Learning(view=sn.View(crop=32, resize=48), recipe=sn.Recipe(steps=2, batch=2, lr=1e-2))
    net = sn.MultiTaskNet(sn.UNet(width=2, norm="own"))
    for method in ("piggyback", "quantized_delta", "progressive"):
        if not net.tasks:
            net = sn.learn(net, sn.Colorization(), data, name="first", config=config)
        net = sn.learn(net, sn.Colorization(), data, name=method, method=method, config=config)
    path = tmp_path_factory.mktemp("learned") / "bundle"
    sn.save(net, path)
    return path


def test_adapters_of_several_methods_share_a_backbone(bundle: Path, tmp_path: Path) -> None:
    tasks = ["first", "piggyback", "quantized_delta"]
    export_adapters(bundle, tmp_path / "out", tasks)
    engine, model = sn.Engine(bundle), session(tmp_path / "out" / "backbone.onnx")
    outputs = []
    for task in tasks:
        outputs.append(engine.forward(image(40, 37), task))
        found = run_with(model, tmp_path / "out" / f"{task}.onnx_adapter", image(40, 37)[None])
        np.testing.assert_allclose(found[0], outputs[-1], atol=NEAR)
    assert np.abs(outputs[0] - outputs[1]).max() > 10 * NEAR < np.abs(outputs[1] - outputs[2]).max()


def test_a_task_with_columns_is_one_file_and_no_adapter(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"`progressive` runs through the columns of first.*Export it as one file"):
        export_adapters(bundle, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    export_task(bundle, "progressive", tmp_path / "task.onnx")
    found = session(tmp_path / "task.onnx").run(None, {"image": image(40, 37)[None]})[0]
    np.testing.assert_allclose(found[0], sn.Engine(bundle).forward(image(40, 37), "progressive"), atol=NEAR)


def test_a_file_names_the_scale_that_its_task_was_learned_at(bundle: Path, tmp_path: Path) -> None:
    export_task(bundle, "first", tmp_path / "task.onnx")
    said = session(tmp_path / "task.onnx").get_modelmeta().custom_metadata_map["input"]
    assert said.endswith("The task was learned on pictures whose shorter side is 48: resize to that.")
