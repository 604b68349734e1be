"""Resources that jobs request from an engine: ``--ask KEY=VALUE``, with the engines' own parameter names."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from importlib.util import find_spec
from shutil import which
from typing import Any, Literal

from stencilnet.config.reading import ConfigError
from stencilnet.text.strict_json import loads

_DAY = 24 * 60
_NUMBERS = {"timeout_min", "cpus_per_task", "gpus_per_node", "mem_gb", "nodes", "tasks_per_node"}
_PACKAGES = {"ray": "ray", "slurm": "submitit"}


@dataclass(frozen=True, kw_only=True)
class ProcessesAsk:
    """How many trainings run at once on this machine.

    Attributes:
        jobs: Number of processes, each with about a gigabyte of memory of its own; 0 for as many as PyTorch has threads
            here, and at most 4.
    """

    jobs: int = 0


@dataclass(frozen=True, kw_only=True)
class RayAsk:
    """Resources that jobs request from Ray.

    Attributes:
        address: Address of a running cluster: ``auto``, ``ray://host:10001``, ``host:6379``; ``local`` starts a cluster
            on this machine and shuts it down afterwards.
        num_cpus: Number of cores per job.
        num_gpus: Number of GPUs per job.
        memory: Bytes of memory per job; 0 for no request.
        max_retries: How often a job is resumed after its worker died.
    """

    address: str = "local"
    num_cpus: float = 1
    num_gpus: float = 0
    memory: int = 0
    max_retries: int = 3


@dataclass(frozen=True, kw_only=True)
class SlurmAsk:
    """Resources that jobs request from Slurm, through submitit.

    Attributes:
        cluster: ``slurm``, or ``local`` for processes on this machine.
        slurm_max_num_timeout: How often a job that ran out of time is queued again. Preempted jobs always are.
        parameters: Parameters of submitit's `AutoExecutor.update_parameters`: ``timeout_min``, ``cpus_per_task``,
            ``gpus_per_node``, ``mem_gb``, ``slurm_partition``, ``slurm_account``, ``slurm_qos``, ...
    """

    cluster: Literal["slurm", "local"] = "slurm"
    slurm_max_num_timeout: int = 100
    parameters: dict[str, Any] = field(default_factory=lambda: {"timeout_min": _DAY})


Ask = ProcessesAsk | RayAsk | SlurmAsk
"""What is requested from an engine; its class names the engine."""


def read_ask(engine: str, words: Sequence[str]) -> Ask:
    """Parse the values of ``--ask``, and check that the engine is installed.

    Args:
        engine: ``processes``, ``ray`` or ``slurm``.
        words: ``KEY=VALUE`` settings; a value that is valid JSON is read as JSON, any other as text.

    Raises:
        ConfigError: If the engine is not installed, or a setting is malformed or unknown or has an invalid value.
        ValueError: If this machine cannot submit to Slurm.
    """
    package = _PACKAGES.get(engine)
    if package is not None and find_spec(package) is None:
        raise ConfigError(f"--on {engine}", [f"{package} is not installed: pip install 'stencilnet[{engine}]'"])
    problems = [f"expected KEY=VALUE, but got {word!r}" for word in words if not word.partition("=")[1]]
    if problems:
        raise ConfigError("--ask", problems)
    asked = {key: _value(text) for key, _, text in (word.partition("=") for word in words)}
    match engine:
        case "processes":
            return _processes(asked)
        case "ray":
            return _ray(asked)
        case _:
            return _slurm(asked)


def _value(text: str) -> Any:
    try:
        return loads(text)
    except ValueError:
        return text


def _unknown(engine: str, asked: dict[str, Any], ask: type[ProcessesAsk | RayAsk]) -> list[str]:
    known = [entry.name for entry in fields(ask)]
    return [f"unknown key {key!r} for {engine}. Known: {', '.join(known)}" for key in asked if key not in known]


def _processes(asked: dict[str, Any]) -> ProcessesAsk:
    problems = _unknown("processes", asked, ProcessesAsk)
    jobs = asked.get("jobs", 0)
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 0:
        problems.append(f"expected `jobs` to be a whole number >= 0, but got {jobs!r}")
    if problems:
        raise ConfigError("--ask", problems)
    return ProcessesAsk(jobs=jobs)


def _ray(asked: dict[str, Any]) -> RayAsk:
    problems = _unknown("ray", asked, RayAsk)
    for key in asked.keys() & ({entry.name for entry in fields(RayAsk)} - {"address"}):
        value = asked[key]
        whole = key == "max_retries"
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not value >= 0:
            problems.append(f"expected `{key}` to be a{' whole' if whole else ''} number >= 0, but got {value!r}")
    if not isinstance(asked.get("address", ""), str):
        problems.append(f"expected `address` to be text, but got {asked['address']!r}")
    if problems:
        raise ConfigError("--ask", problems)
    return replace(RayAsk(), **{**asked, **({"memory": int(asked["memory"])} if "memory" in asked else {})})


def _slurm(asked: dict[str, Any]) -> SlurmAsk:
    standard = SlurmAsk()
    cluster = asked.pop("cluster", standard.cluster)
    timeouts = asked.pop("slurm_max_num_timeout", standard.slurm_max_num_timeout)
    problems = []
    if cluster not in ("slurm", "local"):
        problems.append(f"expected `cluster` to be slurm or local, but got {cluster!r}")
    if not isinstance(timeouts, int) or isinstance(timeouts, bool) or timeouts < 0:
        problems.append(f"expected `slurm_max_num_timeout` to be a whole number >= 0, but got {timeouts!r}")
    problems += [
        f"expected `{key}` to be a number, but got {asked[key]!r}"
        for key in _NUMBERS & asked.keys()
        if isinstance(asked[key], bool) or not isinstance(asked[key], int | float)
    ]
    if problems:
        raise ConfigError("--ask", problems)
    ask = SlurmAsk(cluster=cluster, slurm_max_num_timeout=timeouts, parameters={**standard.parameters, **asked})
    check_slurm(ask)
    return ask


def check_slurm(ask: SlurmAsk) -> None:
    """Check, before a run starts, that this machine can submit jobs to Slurm.

    Raises:
        ValueError: If it cannot.
    """
    if ask.cluster == "slurm" and which("srun") is None:  # submitit checks for the same program
        raise ValueError(
            "Expected a machine that can submit to Slurm, but it has no `srun`. Start this on a login node; "
            "`--ask cluster=local` tries it out with processes on this machine."
        )
