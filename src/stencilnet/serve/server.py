"""Listens, and stops gracefully."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import uvicorn

from stencilnet.runtime import Engine
from stencilnet.serve.app import make_app
from stencilnet.serve.limits import Limits
from stencilnet.serve.live import LiveEngine
from stencilnet.serve.service import Service
from stencilnet.serve.teaching import Teaching, delete_leftovers


def serve(
    path: Path,
    open_engine: Callable[[Path], Engine],
    *,
    host: str,
    port: int,
    limits: Limits,
    teach: bool = False,
    announce: Callable[[str], None],
) -> None:
    """Serve a bundle's tasks over HTTP until SIGTERM, Ctrl-C or the end of the terminal.

    The first signal lets running requests end, cancels jobs, and refuses new requests; a second one ends at once.

    Args:
        path: The bundle's folder.
        open_engine: Opens an engine of it; called again when the folder has changed.
        host: The address or name to listen on.
        port: The port; 0 for a free one.
        limits: The bounds.
        teach: Whether new tasks may be taught; for loopback addresses.
        announce: Gets the service's address once it listens.

    Raises:
        BundleError: If the bundle cannot be opened.
        ValueError: If the address cannot be listened on.
    """
    if teach:
        delete_leftovers()
    service = Service(LiveEngine(path, open_engine), limits, Teaching(path) if teach else None)
    with _listening(host, port) as listener:
        address = f"[{host}]" if ":" in host else host
        announce(f"http://{address}:{listener.getsockname()[1]}")
        config = uvicorn.Config(
            make_app(service, host),
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
        )
        try:
            _Server(config, service).run(sockets=[listener])
        finally:
            service.close()


def _listening(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        raise ValueError(f"Cannot listen on {host}, port {port}: {reason}. Choose another --port or --host.") from error


class _Server(uvicorn.Server):
    """A server that answers while it stops: new requests get 503, and it ends with the last running one."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle the signal of a closed terminal, too, unless it is ignored (`nohup`)."""
        with super().capture_signals():
            if not hasattr(signal, "SIGHUP") or signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
                yield
                return
            before = signal.signal(signal.SIGHUP, self.handle_exit)
            try:
                yield
            finally:
                signal.signal(signal.SIGHUP, before)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Begin to stop; at the second signal, stop."""
        self.should_exit = self.force_exit = self._service.stopping
        self._service.stopping = True

    async def on_tick(self, counter: int) -> bool:
        """Return whether to end."""
        done = await super().on_tick(counter)
        if self._service.stopping:
            self._service.cancel()
        return done or (self._service.stopping and self._service.idle)
