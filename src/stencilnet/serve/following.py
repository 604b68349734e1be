"""Work that changes: who follows it is woken at each change, and told by server-sent events."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any, Protocol

from fastapi.responses import StreamingResponse

from stencilnet.serve.problems import documented
from stencilnet.text.strict_json import dumps

_MEDIA = "text/event-stream"

_SILENCE = 15
"""Seconds after which a comment is sent where nothing changes, so that no proxy gives the connection up."""


class Followed(Protocol):
    """Work that can be followed.

    Attributes:
        next_change: Set at the next change, and then replaced.
    """

    next_change: asyncio.Event

    @property
    def state(self) -> str:
        """Its state in one word."""
        ...

    @property
    def ended(self) -> bool:
        """Whether nothing changes any more."""
        ...

    @property
    def info(self) -> Any:
        """Its state as a dataclass."""
        ...


def events_of(work: Followed) -> StreamingResponse:
    """Return an answer that tells the state now and at each change, until the work has ended."""
    return StreamingResponse(_events(work), media_type=_MEDIA, headers={"Cache-Control": "no-store"})


def described(states: tuple[str, ...]) -> dict[int | str, dict[str, Any]]:
    """Return the answers of an operation that sends events, for OpenAPI.

    Args:
        states: The states, as which events are called.
    """
    data = {"type": "string", "contentMediaType": "application/json", "description": "The state, as of other answers."}
    schema = {
        "type": "object",
        "required": ["event", "data"],
        "properties": {"event": {"type": "string", "enum": list(states)}, "data": data},
    }
    content = {_MEDIA: {"schema": schema}}
    return {
        200: {"description": "Server-sent events; the schema is that of one.", "content": content},
        **documented(404, 421, 422, 503),
    }


async def _events(work: Followed) -> AsyncIterator[str]:
    while True:
        change = work.next_change  # taken before the state is read, so that none is missed
        yield f"event: {work.state}\ndata: {dumps(asdict(work.info))}\n\n"
        if work.ended:
            return
        while not change.is_set():
            try:
                async with asyncio.timeout(_SILENCE):
                    await change.wait()
            except TimeoutError:
                yield ": nothing has changed\n\n"
