"""What operations on a picture share: it is received and run within bounds, and the answer's type is chosen."""

from collections.abc import Iterable, Sequence
from typing import Any

from fastapi import Request

from stencilnet.serve.media import preferred
from stencilnet.serve.problems import HttpError, documented
from stencilnet.serve.receiving import check_length, picture_of
from stencilnet.serve.service import Service, while_connected
from stencilnet.serve.work import Answer, Plan, answers
from stencilnet.text.shortening import brief

ERRORS = documented(403, 404, 406, 413, 415, 421, 422, 429, 500, 503)
"""The errors of operations on a picture, for OpenAPI."""


async def answered(service: Service, request: Request, plan: Plan) -> list[Answer]:
    """Return the answers to a request's picture.

    Raises:
        HttpError: If it has no place, takes too long, is not wanted any more, or as `picture_of` and `answers`.
    """
    most = service.limits.max_bytes
    check_length(request, most)
    with service.counted(plan), service.pool.place():
        async with service.bounded():
            data = await picture_of(request, most)
            return await while_connected(request, service.pool.run(lambda stop: list(answers(plan, data, stop))))


def accepted(request: Request, offers: Sequence[str]) -> str:
    """Return the media type to answer in.

    Args:
        request: The request. OpenAPI has no parameter for its header `Accept`.
        offers: The media types that the answer can have, the default first.

    Raises:
        HttpError: If the client accepts none.
    """
    accept = request.headers.get("accept", "")
    media = preferred(accept, offers)
    if media is None:
        raise HttpError(
            406, f"Expected `Accept` to allow one of {', '.join(offers)}, but got {brief(accept)}. Add one."
        )
    return media


def binary(medias: Iterable[str]) -> dict[str, Any]:
    """Return the content of answers for OpenAPI."""
    return {media: {"schema": {"type": "string", "format": "binary"}} for media in medias}
