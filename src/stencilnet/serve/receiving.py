"""The picture in a request: raw, or as the part of a form."""

from collections.abc import AsyncGenerator
from typing import Any

from fastapi import Request
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from stencilnet.serve.problems import HttpError
from stencilnet.text.shortening import brief

FIELD = "image"
"""Name of the form's field."""

_RAW = "application/octet-stream"
_FORM = "multipart/form-data"

BODY: dict[str, Any] = {
    "required": True,
    "description": "A picture's file, of any format that `stencil run` reads; it is recognised by its content.",
    "content": {
        **{media: {"schema": {"type": "string", "format": "binary"}} for media in ("image/*", _RAW)},
        _FORM: {
            "schema": {
                "type": "object",
                "required": [FIELD],
                "additionalProperties": False,
                "properties": {FIELD: {"type": "string", "format": "binary"}},
            }
        },
    },
}
"""The body in OpenAPI."""


def check_type(request: Request) -> None:
    """Check a request's media type.

    Raises:
        HttpError: If it is none of a picture.
    """
    media = _media(request)
    if not (media in (_RAW, _FORM) or media.startswith("image/")):
        raise HttpError(
            415,
            f"Expected a picture as `Content-Type: image/...`, {_RAW} or {_FORM}, but got {brief(media)}. "
            "With curl, pass -F image=@FILE.",
        )


def check_length(request: Request, most: int) -> None:
    """Check the length that a request states for its body.

    Raises:
        HttpError: If it is more than `most` bytes.
    """
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > most:
        raise _too_long(most)


async def picture_of(request: Request, most: int) -> bytes:
    """Return the picture's file.

    Args:
        request: The request.
        most: Bytes of its body, at most.

    Raises:
        HttpError: If the body is too long, or the form has no picture.
    """
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                raise _too_long(most)
    except ClientDisconnect:
        raise HttpError(499, "The client has hung up.") from None
    data = bytes(body)
    if _media(request) == _FORM:
        data = await _part(request.headers, data)
    if not data:
        raise HttpError(422, "Expected a picture's file in the body, but got 0 bytes. Send the file.")
    return data


async def _part(headers: Headers, body: bytes) -> bytes:
    async def sent() -> AsyncGenerator[bytes]:
        yield body

    try:
        parser = MultiPartParser(headers, sent(), max_files=1, max_fields=0)
        parser.spool_max_size = len(body) + 1  # it is in memory already; no file is written
        form = await parser.parse()
    except (MultiPartException, KeyError) as error:
        reason = error.message if isinstance(error, MultiPartException) else "It has no boundary."
        raise HttpError(
            422, f"Expected a form with one file, in the field `{FIELD}`, and nothing else, but got another. {reason}"
        ) from error
    part = form.get(FIELD)
    try:
        if not isinstance(part, UploadFile):
            raise HttpError(422, f"Expected a form with a file in the field `{FIELD}`, but got none. Rename the field.")
        return await part.read()
    finally:
        await form.close()


def _media(request: Request) -> str:
    return (request.headers.get("content-type") or _RAW).partition(";")[0].strip().lower()


def _too_long(most: int) -> HttpError:
    message = f"Expected a body of at most {most} bytes, but got more. Send a smaller file, or raise --max-bytes."
    return HttpError(413, message, Connection="close")
