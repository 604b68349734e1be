"""The `trainer` section of a config, and how it is resolved on this machine."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch

from stencilnet.models.acceleration import has_fast_bf16
from stencilnet.text.fields import check_fields
from stencilnet.training.distributed import ALONE, Group

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "float32", "bf16"]
Compile = Literal["auto", "always", "never"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to train, for any task. What decides the result besides `precision` and `compile` is in the recipe."""

    device: Device = "auto"
    """``auto``: CUDA if available, else Apple's MPS, else the CPU."""
    precision: Precision = "auto"
    """``bf16``: the network's forward pass runs under bfloat16 autocast. Real masks, optimiser states and losses
    stay float32. ``auto``: ``bf16`` if the device has fast bfloat16 arithmetic, else ``float32``; a resumed training
    keeps its precision."""
    compile: Compile = "auto"
    """Whether `torch.compile` compiles a step's network, which takes about a minute per training and needs a C++
    compiler. ``auto``: if the device gains by it and the training is long enough to save the time it takes. It
    changes the result's last bits."""
    workers: int = 0
    """Processes that load training examples, and as many for validation; 0 loads in the training process. The
    result is bit-equal for any number."""
    cache: str | None = None
    """Folder that stores training and validation pictures, decoded and at the view's `resize`; null decodes each
    file once per epoch. In a config: absolute, or relative to the data root; in Python, any path. A picture takes 3
    bytes per pixel (4 with labels, 6 with a target). The result is bit-equal with and without."""
    accumulate: int = 1
    """Parts that a device's share of each batch is split into, run one after the other: this takes the memory of one
    part and gives the gradient of the whole batch within rounding. The recipe's batch must be divisible by devices x
    accumulate."""
    evaluate_every: int = 200
    """Steps between two evaluations on validation data (with one more at the end); the best step is kept."""
    checkpoint_every: int = 200
    """Steps between two checkpoints."""
    log_every: int = 10
    """Steps between two rows of training values in the metrics files."""
    samples: int = 4
    """Validation examples in the contact sheet that each evaluation writes; 0 writes none."""

    def __post_init__(self) -> None:
        least = {
            "workers": 0,
            "accumulate": 1,
            "evaluate_every": 1,
            "checkpoint_every": 1,
            "log_every": 1,
            "samples": 0,
        }
        choices = {"device": get_args(Device), "precision": get_args(Precision), "compile": get_args(Compile)}
        values = vars(self)
        folder = "to name a folder ('.' is the data root itself) or be null, but got an empty string"
        check_fields(
            *(
                (name, values[name] >= low, f"to be at least {low}, but got {values[name]}")
                for name, low in least.items()
            ),
            *(
                (name, values[name] in allowed, f"to be one of {', '.join(allowed)}, but got {values[name]!r}")
                for name, allowed in choices.items()
            ),
            ("cache", self.cache != "", folder),
        )


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """Settings as resolved on a machine: without `auto`, and with all that a result's bytes depend on.

    Attributes:
        settings: The requested settings.
        device: Device of this process: ``cpu``, ``cuda`` or ``mps``.
        precision: ``float32`` or ``bf16``.
        threads: Threads of torch's CPU operations.
        version: Version of PyTorch.
        devices: Number of devices that train together, with one process each. Default: 1.
        compiled: Whether a step's network is compiled; decided per training (`compiling.settled`). Default: false.
    """

    settings: Settings
    device: str
    precision: str
    threads: int
    version: str
    devices: int = 1
    compiled: bool = False

    def autocast(self) -> torch.autocast:
        """Return a new autocast context for the network's forward pass; it does nothing in float32."""
        return torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.precision == "bf16")


def resolve(settings: Settings, group: Group = ALONE) -> Resolved:
    """Resolve the settings on this machine.

    Args:
        settings: The requested settings.
        group: The processes that train together, with one device each.

    Raises:
        ValueError: If this machine lacks the device or has too few of them, or the device lacks bfloat16.
    """
    device = _auto() if settings.device == "auto" else settings.device
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "Expected a CUDA device for `device: cuda`, but PyTorch sees none. "
            "Set it to `auto` or `cpu`, or install the driver and a CUDA build of torch."
        )
    if device == "mps" and not torch.backends.mps.is_available():
        raise ValueError("Expected Apple's MPS for `device: mps`, but PyTorch sees none. Set it to `auto` or `cpu`.")
    if group.size > 1:
        _check_count(device, group.local_size)
    precision = settings.precision
    if precision == "auto":
        precision = "bf16" if has_fast_bf16(device) else "float32"
    if precision == "bf16" and device == "cuda" and not has_fast_bf16(device):
        raise ValueError(
            f"Expected a device with bfloat16 for `precision: bf16`, but {torch.cuda.get_device_name()} has none. "
            "Set it to `float32`."
        )
    return Resolved(
        settings=settings,
        device=device,
        precision=precision,
        threads=torch.get_num_threads(),
        version=str(torch.__version__),
        devices=group.size,
    )


def _check_count(device: str, wanted: int) -> None:
    if device == "mps":
        raise ValueError("Expected one device with `device: mps`: Apple's GPUs cannot train together. Set it to `cpu`.")
    if device == "cuda" and wanted > torch.cuda.device_count():
        raise ValueError(
            f"Expected at most {torch.cuda.device_count()} devices, the number of CUDA devices that PyTorch sees on "
            f"this machine, but got {wanted}. Ask for fewer (`--devices`)."
        )


def _auto() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
