"""What every request passes first and every answer last: stop, hosts, other sites' pages, headers, unread bodies."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit

from fastapi.datastructures import Headers

from stencilnet.serve.problems import HttpError
from stencilnet.serve.service import Service
from stencilnet.text.shortening import brief

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
"""Headers of every answer. Pictures that a page has made itself are ``blob:`` and ``data:``."""

_UNREAD_BYTES, _UNREAD_SECONDS = 64 * 2**20, 5
"""How much of a refused body is read and dropped. A client that is still sending would not see the answer."""


def gated(app: App, service: Service, host: str) -> App:
    """Return an application behind the gate.

    Args:
        app: The application.
        service: The service.
        host: The address that the server listens on. On a loopback one, only requests that name this machine are
            answered, so that no page can reach it under a name of its own (DNS rebinding).
    """
    local = is_loopback(host)

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        headers = Headers(raw=scope["headers"])
        body = _Body(receive, sent="expect" not in headers)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                service.metrics.count_response(message["status"])
                if message["status"] >= 400:
                    await body.drop_rest()
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        problem = _refused(headers, scope["method"], service, local)
        service.open_requests += 1
        try:
            await (app if problem is None else problem.answer())(scope, body.receive, answer)
        finally:
            service.open_requests -= 1

    return run


def is_loopback(host: str) -> bool:
    """Return whether an address or a name is of this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _refused(headers: Headers, method: str, service: Service, local: bool) -> HttpError | None:
    if service.stopping:
        return HttpError(
            503, "The server is stopping. Send the request again when it has been started.", Connection="close"
        )
    host, origin = headers.get("host", ""), headers.get("origin")
    if local and not is_loopback(_split(f"//{host}").hostname or ""):
        return HttpError(
            421, f"Expected the host localhost or 127.0.0.1, but got {brief(host)}. Use that in the address."
        )
    if method not in ("GET", "HEAD") and origin is not None and _split(origin).netloc != host:
        return HttpError(
            403, f"Expected a page of {host}, but got one of {brief(origin)}. Open the page of this server."
        )
    return None


def _split(address: str) -> SplitResult:
    """Return an address in parts, all empty if it is none."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")


class _Body:
    """A request's body, and whether all of it has been read.

    Args:
        receive: Returns its messages.
        sent: Whether the client sends it unasked; if it waits for "100 Continue", nothing is unread before it is read.
    """

    def __init__(self, receive: Receive, *, sent: bool) -> None:
        self._receive = receive
        self._ended = not sent

    async def receive(self) -> Message:
        """Return the next message."""
        message = await self._receive()
        self._ended = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def drop_rest(self) -> None:
        """Read what is unread, within bounds."""
        read = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(_UNREAD_SECONDS):
                while not self._ended and read < _UNREAD_BYTES:
                    read += len((await self.receive()).get("body", b""))
