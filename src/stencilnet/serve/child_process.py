"""A program in a process of its own that tells what it does, a line at a time, until the process ends."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Self

import psutil

_NICE = 10
"""What is added to its niceness, so that the service's own work goes first; on POSIX alone."""
_OUT, _ERRORS = 1, 2
"""The file descriptors of its pipes."""
_MOST = 2**16
"""Bytes of stderr that are kept, the last ones."""


class ChildProcess(asyncio.SubprocessProtocol):
    """A process, which is made by `start`. All of it is for the event loop's thread.

    Args:
        draining: Seconds after the process's end at which its output counts as ended, too: processes that have left
            its group, and so are not killed with it, may hold its pipes open for ever.

    Attributes:
        errors: What it has written to stderr, at most the last 64 KiB.
    """

    def __init__(self, draining: float) -> None:
        self._draining = draining
        self.errors = b""
        self._open = {_OUT, _ERRORS}
        self._output: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._exited = asyncio.Event()
        self._transport: asyncio.SubprocessTransport | None = None

    @classmethod
    async def start(cls, command: Sequence[str], *, draining: float) -> Self:
        """Start a program at a lower priority.

        Args:
            command: The program and its arguments.
            draining: As above.

        Raises:
            OSError: If it cannot be started.
        """
        transport, child = await asyncio.get_running_loop().subprocess_exec(
            lambda: cls(draining),
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,  # a file would need space on the disk
            start_new_session=True,  # Ctrl-C in the service's terminal is for the service
        )
        if os.name == "posix":
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, transport.get_pid(), _NICE)
        return child

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield the lines that it prints, until it has ended."""
        rest = b""
        while (data := await self._output.get()) is not None:
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                yield line

    async def code(self) -> int:
        """Return its exit code once it has ended; below 0, the signal that has ended it."""
        await self._exited.wait()
        assert self._transport is not None, "it was started"
        code = self._transport.get_returncode()
        assert code is not None, "it has ended"
        return code

    def terminate(self) -> None:
        """Ask it to end."""
        if self._transport is not None:
            with suppress(ProcessLookupError):
                self._transport.terminate()

    def kill(self) -> None:
        """Kill it at once, and those that it has started, also where it has ended before them."""
        if self._transport is None:
            return
        pid = self._transport.get_pid()
        if hasattr(os, "killpg"):
            with suppress(OSError):  # all have ended
                os.killpg(pid, signal.SIGKILL)  # it leads a group, since it has a session of its own
            return
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            for each in (*process.children(recursive=True), process):
                with suppress(psutil.Error):
                    each.kill()

    def close(self) -> None:
        """Let go of a process that has ended: another one may have its id from now on."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take note of the transport; called by asyncio."""
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Take output; called by asyncio."""
        if fd == _ERRORS:
            self.errors = (self.errors + data)[-_MOST:]
        else:
            self._output.put_nowait(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002
        """Take note that no process holds a pipe open any more; called by asyncio."""
        self._open.discard(fd)
        if not self._open:
            self._output.put_nowait(None)

    def process_exited(self) -> None:
        """Kill what the process has started, which may hold its pipes open; called by asyncio."""
        self._exited.set()
        self.kill()
        asyncio.get_running_loop().call_later(self._draining, self._output.put_nowait, None)
