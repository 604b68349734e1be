"""Ray as the engine: each job is a Ray task."""

import logging
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stencilnet.cluster.asking import RayAsk
from stencilnet.cluster.work import Outcome, Submit, Work, carry_out

if TYPE_CHECKING:
    from ray import ObjectRef

logger = logging.getLogger(__name__)


@contextmanager
def on_ray(ask: RayAsk) -> "Iterator[Submit]":
    """Connect to a cluster, or start one on this machine, which is shut down at the end.

    A process that is already connected to Ray uses that cluster. A job whose worker dies is retried and resumes from
    its checkpoint.

    Raises:
        ValueError: If there is no cluster at the address, or this machine has fewer resources than a job requests.
    """
    import ray

    connected = ray.is_initialized()
    if not connected:
        _connect(ask)
    refs: list[ObjectRef[Outcome]] = []

    def submit(work: Work) -> _Handle:
        remote = ray.remote(carry_out).options(
            name=work.job.name,
            num_cpus=ask.num_cpus,
            num_gpus=ask.num_gpus,
            memory=ask.memory or None,
            max_retries=ask.max_retries,
            retry_exceptions=False,
        )
        refs.append(remote.remote(work))
        return _Handle(refs[-1])

    try:
        _check_room(ask, started=not connected and ask.address == "local")
        yield submit
    finally:
        for ref in refs:
            ray.cancel(ref, force=True)  # no effect on finished jobs
        if not connected:
            ray.shutdown()


class _Handle:
    def __init__(self, ref: "ObjectRef[Outcome]") -> None:
        self._ref = ref

    def outcome(self) -> Outcome | None:
        import ray
        from ray.exceptions import RayError, RayTaskError, TaskCancelledError

        if not ray.wait([self._ref], timeout=0)[0]:
            return None
        try:
            found: Outcome = ray.get(self._ref)
        except TaskCancelledError:
            return Outcome(state="stopped")
        except RayTaskError as error:
            return Outcome(state="failed", message=f"{error.cause!r}; the job's log has more")
        except RayError as error:
            first = str(error).strip().partition("\n")[0]
            return Outcome(state="failed", message=f"its worker died ({type(error).__name__}: {first})")
        return found

    def withdraw(self) -> None:
        import ray

        ray.cancel(self._ref, force=False)


def _connect(ask: RayAsk) -> None:
    import ray

    local = ask.address == "local"
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        _knock(ask.address)
        ray.init(
            address=ask.address,
            include_dashboard=False if local else None,
            log_to_driver=False,  # jobs have logs of their own
            logging_level=logging.ERROR,
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"Expected a Ray cluster at `{ask.address}`, but got {type(error).__name__}: {error}. "
            "Start one (`ray start --head`; if it asks for a token, set RAY_AUTH_MODE=token here too), or omit "
            "`--ask address=...` to start one on this machine."
        ) from error
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)  # Ray installs its own handler, which would not save before stopping


def _knock(address: str) -> None:
    """Check that an address answers, since Ray itself would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


def _check_room(ask: RayAsk, *, started: bool) -> None:
    import ray

    there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    wanted = {"CPU": ask.num_cpus, "GPU": ask.num_gpus, "memory": ask.memory}
    short = [
        f"{need:g} {name}, but there is {there.get(name, 0):g}"
        for name, need in wanted.items()
        if need > there.get(name, 0)
    ]
    if not short:
        return
    if started:
        raise ValueError(
            f"A job requests {', '.join(short)} on this machine. "
            "Request less, or name a cluster by `--ask address=...`."
        )
    logger.warning("A job requests %s in the cluster. It waits until there is more.", ", ".join(short))
