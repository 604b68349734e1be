"""The cost of a training step: masks compared with plain fine-tuning and with the original's masked layers."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from benchmarks.machine import Measured
from benchmarks.original import with_masked_layers
from benchmarks.rows import Found, NotHereError, Setting, compared, interleaved, scaled, speedup
from stencilnet.masks import Masks, Trainable, Weights
from stencilnet.models import MultiTaskNet, UNet
from stencilnet.models.acceleration import can_compile, has_fast_bf16
from stencilnet.tasks.segmentation import Segmentation
from stencilnet.tasks.task import Example, Recipe
from stencilnet.text.strict_json import dumps
from stencilnet.training.settings import Resolved, Settings, resolve
from stencilnet.training.step import ONE_LAUNCH, Learner, make_learner, train_step

CLASSES = 21
RECIPE = Recipe(steps=1_000_000, lr=1e-4, schedule="constant")
TASK = Segmentation(classes=tuple(f"class {number}" for number in range(CLASSES)))


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A network and its batch.

    Attributes:
        width: Channels of the first level.
        size: Side of an image, in pixels.
        batch: Images per step.
    """

    width: int
    size: int
    batch: int

    def __str__(self) -> str:
        return f"width {self.width}, {self.size} px, batch {self.batch}"


def half(setting: Setting) -> Shape:
    """Return the setting's network on images of half the setting's size, with four images per step."""
    return Shape(width=setting.width, size=setting.size // 2, batch=4)


def quarter(setting: Setting) -> Shape:
    """Return a network of a quarter of the width on images of a quarter of the size, with eight images per step."""
    return Shape(width=max(1, setting.width // 4), size=setting.size // 4, batch=8)


def whole(setting: Setting) -> Shape:
    """Return the setting's network on images of the setting's size, with sixteen images per step."""
    return Shape(width=setting.width, size=setting.size, batch=16)


def mask_step(setting: Setting, shape: Shape) -> Found:
    """Time a mask-training step against a fine-tuning step of a plain loop."""
    times = interleaved(
        {"masks": our_step("masks", shape, setting), "plain": plain_step("plain", shape, setting)},
        setting,
        calls=_calls(setting),
    )
    return compared(scaled(times["masks"], 1e3), scaled(times["plain"], 1e3), "ms", str(shape))


def original_step(setting: Setting, shape: Shape) -> Found:
    """Time a step through the original's masked layers against a fine-tuning step, both of a plain loop."""
    times = interleaved(
        {"original": plain_step("original", shape, setting), "plain": plain_step("plain", shape, setting)},
        setting,
        calls=_calls(setting),
    )
    return compared(scaled(times["original"], 1e3), scaled(times["plain"], 1e3), "ms", str(shape))


def default_step(setting: Setting) -> Found:
    """Time a mask-training step, as `fit` takes it by default, against an eager float32 fine-tuning step.

    Raises:
        NotHereError: If this device lacks bfloat16 arithmetic, which makes the default faster.
    """
    if not has_fast_bf16(setting.device):
        raise NotHereError("this processor has no bfloat16 instructions")
    shape = half(setting)
    step = our_step("masks", shape, setting, fast=True)
    plain = plain_step("plain", shape, setting, fast=False)
    times = interleaved({"default": step, "plain": plain}, setting, calls=_calls(setting))
    how = "bf16 compiled" if can_compile(setting.device) else "bf16"
    return speedup(scaled(times["default"], 1e3), scaled(times["plain"], 1e3), "ms", f"{shape}, {how}")


def our_step(kind: str, shape: Shape, setting: Setting, *, fast: bool | None = None) -> Callable[[], object]:
    """Return a training step as `fit` takes it.

    Args:
        kind: What is trained: ``masks`` or ``weights``.
        shape: Network and batch.
        setting: The setting that gives the device.
        fast: Whether the step is in bf16 and compiled; None (the default): only on CUDA.
    """
    learner, batch = _learner(kind, shape, _resolved(setting, fast=_fast(setting, fast))), _batch(shape, setting.device)
    return lambda: train_step(learner, batch, 0)


def plain_step(kind: str, shape: Shape, setting: Setting, *, fast: bool | None = None) -> Callable[[], object]:
    """Return a training step of a plain loop over a plain module, as a user would write it.

    Args:
        kind: ``plain`` fine-tunes the network; ``original`` trains the original's masked layers.
        shape: Network and batch.
        setting: The setting that gives the device.
        fast: As for `our_step`.
    """
    resolved = _resolved(setting, fast=_fast(setting, fast))
    network: nn.Module = UNet(width=shape.width, channels=CLASSES).to(setting.device)
    if kind == "original":
        network = with_masked_layers(network, "head").to(setting.device)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=RECIPE.lr, fused=True)
    batch = _batch(shape, setting.device)
    mode = ONE_LAUNCH if setting.device == "cuda" else None
    run = torch.compile(network, mode=mode) if resolved.compiled else network

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        sample = TASK.prepare(batch)
        with resolved.autocast():
            output: Tensor = run(sample["input"])
        loss = torch.stack(list(TASK.loss(output.float(), sample, None).values())).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def mask_memory(setting: Setting, shape: Shape) -> Found:
    """Measure how much more peak memory training a mask takes than fine-tuning, in units of the weights' bytes.

    Each of the two runs in its own process; both hold the network's shared weights, as learning does.
    """
    peaks = {kind: tuple(_peak(kind, shape, setting.device) for _ in range(2)) for kind in ("masks", "weights")}
    weights = sum(p.nbytes for p in UNet(width=shape.width, channels=CLASSES).parameters())
    more = tuple((a - b) / weights for a, b in zip(peaks["masks"], peaks["weights"], strict=True))
    masks, plain = (Measured(values=tuple(peak / 2**20 for peak in peaks[kind])) for kind in ("masks", "weights"))
    ratio = masks.median / plain.median
    return Found(
        unit="MiB",
        first=masks,
        second=plain,
        ratio=Measured(values=more),
        note=f"{shape}; weights {weights / 2**20:.1f} MiB; peaks in the ratio {ratio:.3f}",
    )


def _peak(kind: str, shape: Shape, device: str) -> int:
    words = [kind, str(shape.width), str(shape.size), str(shape.batch), device, str(torch.get_num_threads())]
    frank = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}  # otherwise glibc keeps a varying part of freed memory
    done = subprocess.run(
        [sys.executable, "-m", __name__, *words],
        capture_output=True,
        text=True,
        errors="backslashreplace",
        check=False,
        cwd=Path(__file__).parents[1],  # where `-m` finds this package
        env=frank,
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it was killed, perhaps for lack of memory"])[-1]
        raise NotHereError(f"the measured process failed: {last}")
    return int(json.loads(done.stdout)["peak"])


def _measure_peak(kind: str, shape: Shape, device: str) -> int:
    """Take two steps in this process and return the most bytes it held."""
    resolved = resolve(Settings(device=device, precision="float32"))  # type: ignore[arg-type]
    learner, batch = _learner(kind, shape, resolved), _batch(shape, device)
    for _ in range(2):
        train_step(learner, batch, 0)
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    return _most_held()


def _most_held() -> int:
    """Return the peak memory of this process, in bytes.

    On Linux `getrusage` is not used, since its number starts at the memory of the parent process.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    import resource  # exists only on POSIX

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _learner(kind: str, shape: Shape, resolved: Resolved) -> Learner:
    net = MultiTaskNet(UNet(width=shape.width, channels=CLASSES))
    state, layout = net.state, net.layout
    head = net.fresh_head(CLASSES, torch.Generator().manual_seed(0))
    trainable: Trainable = (
        Masks(state.shared, layout.buffers, head, layout.masked)
        if kind == "masks"
        else Weights(state.shared, layout.buffers, head, layout.parameters)
    )
    learner = make_learner(
        net.backbone, trainable, None, task=TASK, recipe=RECIPE, mask_lr=RECIPE.lr, resolved=resolved
    )
    learner.backbone.train()
    return learner


def _resolved(setting: Setting, *, fast: bool) -> Resolved:
    """Return resolved settings: bf16 and compiled as far as the device supports them, or eager float32."""
    precision, device = ("auto" if fast else "float32"), setting.device
    resolved = resolve(Settings(device=device, precision=precision))  # type: ignore[arg-type]
    return replace(resolved, compiled=fast and can_compile(device))


def _calls(setting: Setting) -> int:
    """Return the number of steps per measurement: on a GPU a single one is too short to time."""
    return 20 if setting.device == "cuda" else 1


def _fast(setting: Setting, asked: bool | None) -> bool:
    return setting.device == "cuda" if asked is None else asked


def _batch(shape: Shape, device: str) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    sides = (shape.size, shape.size)
    examples = [
        Example(
            name=f"noise {number}",
            image=torch.randint(0, 256, (3, *sides), dtype=torch.uint8, generator=generator),
            label=torch.randint(0, CLASSES, sides, dtype=torch.uint8, generator=generator),
        )
        for number in range(shape.batch)
    ]
    batch: dict[str, Tensor] = default_collate([TASK.sample(example) for example in examples])
    return {name: tensor.to(device) for name, tensor in batch.items()}


if __name__ == "__main__":
    kind_, width_, size_, batch_, device_, threads_ = sys.argv[1:]
    torch.set_num_threads(int(threads_))
    found_ = _measure_peak(kind_, Shape(width=int(width_), size=int(size_), batch=int(batch_)), device_)
    sys.stdout.write(dumps({"peak": found_}) + "\n")
