"""ONNX Runtime beside eager PyTorch: one picture, a whole process, and a switch of tasks."""

import subprocess
import sys
from itertools import cycle
from pathlib import Path

import numpy as np

from benchmarks.machine import Measured
from benchmarks.networks import masked_network, pictures, write_bundle
from benchmarks.rows import Found, NotHereError, Setting, compared, interleaved, scaled, speedup
from stencilnet.runtime import Engine

_BACKENDS = ("onnx", "torch")

SESSION = 0.3
"""Most seconds that a switch of tasks may take."""


def picture(setting: Setting) -> Found:
    """Time one picture by ONNX Runtime against eager PyTorch, with as many threads; the note says how far they differ.

    Raises:
        NotHereError: On a GPU, which ONNX Runtime does not use here.
    """
    bundle = _bundle(setting, "task")
    engines = {name: Engine(bundle, backend=name) for name in _BACKENDS}
    image = (np.asarray(pictures(1, setting.size)[0]).transpose(2, 0, 1) / 255).astype(np.float32)
    outputs = [engine.forward(image, "task") for engine in engines.values()]
    onnx, torch = (lambda engine=engine: engine.forward(image, "task") for engine in engines.values())
    times = interleaved({"onnx": onnx, "torch": torch}, setting, calls=3)
    largest = float(np.abs(outputs[0] - outputs[1]).max())
    note = f"width {setting.width}, {setting.size} px; raw outputs within {largest:.1e}"
    return speedup(scaled(times["onnx"], 1e3), scaled(times["torch"], 1e3), "ms", note)


def process(setting: Setting) -> Found:
    """Time `stencil run` on one photo, from the start of the process to its end, against the same with PyTorch.

    Raises:
        NotHereError: On a GPU, which ONNX Runtime does not use here.
    """
    bundle, photo = _bundle(setting, "task"), setting.folder / "photo.jpg"
    pictures(1, setting.size)[0].save(photo, quality=95)

    def run(backend: str) -> None:
        words = ["run", bundle, "task", photo, "-o", setting.folder / "out.png", "--backend", backend]
        command = [sys.executable, "-m", "stencilnet", *map(str, words)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    times = interleaved({"onnx": lambda: run("onnx"), "torch": lambda: run("torch")}, setting)
    return speedup(times["onnx"], times["torch"], "s", f"width {setting.width}, {setting.size} px")


def switch(setting: Setting) -> Found:
    """Time a switch of tasks, by a new session, against its bound in seconds; the note compares it with a copy.

    Raises:
        NotHereError: On a GPU, which ONNX Runtime does not use here.
    """
    bundle = _bundle(setting, "first", "second")
    engine, names = Engine(bundle, backend="onnx", active=1), cycle(("first", "second"))
    tiny = np.zeros((3, 32, 32), np.float32)
    weights = list(masked_network(setting.width, ["first"]).state.weights("first").values())
    arms = {
        "switch": lambda: engine.forward(tiny, next(names)),  # the run itself takes milliseconds
        "copy": lambda: [tensor.clone() for tensor in weights],
    }
    times = interleaved(arms, setting)
    note = f"selection, graph and session; {times['switch'].median / times['copy'].median:.0f} times a copy"
    return compared(times["switch"], Measured(values=(SESSION,) * len(times["switch"].values)), "s", note)


def _bundle(setting: Setting, *names: str) -> Path:
    if setting.device != "cpu":
        raise NotHereError("ONNX Runtime is used on the CPU only")
    return write_bundle(setting.folder / "bundle", masked_network(setting.width, names))
