"""Work that another thread stops: between strips, and within ONNX Runtime's graph; the engine stays usable."""

import threading
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from stencilnet.runtime import Engine
from stencilnet.runtime.tiling import Tile
from stencilnet.stopping import Stop, StoppedError

GOLDEN = Path(__file__).parents[1] / "bundle" / "golden" / "v1"
PICTURE = np.random.default_rng(0).random((3, 40, 56), np.float32)


def test_what_interrupts_is_called_once_it_is_asked_for() -> None:
    stop, calls = Stop(), []
    with stop.calling(lambda: calls.append("first")):
        pass
    with stop.calling(lambda: calls.append("second")):
        assert not stop.asked
        stop.check()
        stop.ask()
    assert (stop.asked, calls) == (True, ["second"])
    with pytest.raises(StoppedError):
        stop.check()
    with pytest.raises(StoppedError), stop.calling(lambda: calls.append("third")):
        calls.append("inside")
    assert calls == ["second"]


@pytest.mark.parametrize("backend", ["onnx", "torch"])
@pytest.mark.parametrize("tile", ["never", 16])
def test_nothing_runs_once_it_is_asked_for(backend: str, tile: Tile) -> None:
    engine, stop = Engine(GOLDEN, backend=backend), Stop()
    expected = engine.forward(PICTURE, "colour", tile=tile, stop=stop)
    stop.ask()
    with pytest.raises(StoppedError):
        engine.forward(PICTURE, "colour", tile=tile, stop=stop)
    np.testing.assert_array_equal(engine.forward(PICTURE, "colour", tile=tile, stop=Stop()), expected)


def test_strips_stop_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    from stencilnet.runtime import onnx_layers

    engine, stop, layers = Engine(GOLDEN), Stop(), []
    whole = onnx_layers.OnnxLayers.apply

    def third_stops(self, layer, x):
        layers.append(layer)
        if len(layers) == 3:
            stop.ask()
        return whole(self, layer, x)

    monkeypatch.setattr(onnx_layers.OnnxLayers, "apply", third_stops)
    with pytest.raises(StoppedError):
        engine.forward(PICTURE, "colour", tile=16, stop=stop)
    assert len(layers) == 3


def test_a_graph_stops_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The flag is set between ONNX Runtime's start and its first node, so its own error is what ends the run."""
    engine, stop = Engine(GOLDEN), Stop()
    expected = engine.forward(PICTURE, "colour")
    run = ort.InferenceSession.run_with_iobinding

    def asked_in_between(self, binding, options):
        asking = threading.Thread(target=stop.ask)
        asking.start()
        asking.join()
        return run(self, binding, options)

    with monkeypatch.context() as patched:
        patched.setattr(ort.InferenceSession, "run_with_iobinding", asked_in_between)
        with pytest.raises(StoppedError):
            engine.forward(PICTURE, "colour", stop=stop)
    np.testing.assert_array_equal(engine.forward(PICTURE, "colour", stop=Stop()), expected)
