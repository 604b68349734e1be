"""Errors as the service answers them: a status, and one form of JSON."""

import logging
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from stencilnet.text.shortening import brief, shorten

logger = logging.getLogger(__name__)

_LONGEST = 2000
"""Most characters of a message."""


@dataclass(frozen=True, kw_only=True)
class ErrorBody:
    """What went wrong.

    Attributes:
        code: One word for programs.
        message: What was expected and got, and the remedy, for people.
    """

    code: str
    message: str


@dataclass(frozen=True, kw_only=True)
class ErrorAnswer:
    """The body of every answer with a status from 400 on."""

    error: ErrorBody


CODES: Mapping[int, tuple[str, str]] = {
    403: ("forbidden", "The request comes from another site's page"),
    404: ("not_found", "There is no such task, job or page"),
    405: ("method_not_allowed", "The method is not allowed here"),
    406: ("not_acceptable", "The answer has none of the accepted media types"),
    409: ("not_ready", "The job is not done, or the lesson cannot start yet"),
    413: ("too_large", "The body or the picture is too large"),
    415: ("unsupported_media_type", "The body's media type is not supported"),
    421: ("misdirected", "The request names another host"),
    422: ("invalid", "A parameter or the picture is not valid"),
    429: ("busy", "Too many requests are waiting"),
    499: ("hung_up", "The client has hung up"),
    500: ("internal", "The server or the bundle is at fault"),
    503: ("unavailable", "The request took too long, or the server is stopping"),
    507: ("unwritable", "A lesson's files cannot be written"),
}
"""The code and the meaning of every status of an error; 499 is seen in the metrics alone."""

TRAINING_FAILED = "training_failed"
"""The code of a lesson's training that has failed, though neither its settings nor its pictures are known to be at
fault. No answer has it, but the lesson's state."""


class HttpError(Exception):
    """An error with a status.

    Args:
        status: The HTTP status, one of `CODES`.
        message: What was expected and got, and the remedy.
        headers: Further headers of the answer.
    """

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    @property
    def body(self) -> ErrorBody:
        """What the client is told."""
        return ErrorBody(code=CODES[self.status][0], message=shorten(str(self), _LONGEST))

    def answer(self) -> JSONResponse:
        """Return the answer."""
        return JSONResponse(asdict(ErrorAnswer(error=self.body)), self.status, self.headers)


def internal_error(error: Exception) -> HttpError:
    """Return what the client is told of a bug; the details are logged."""
    logger.error("the service failed", exc_info=error)
    return HttpError(500, "The server failed, which is a bug in it. Its log has the details.")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the errors of an operation for OpenAPI."""
    headers = {429: {"Retry-After": {"schema": {"type": "string"}}}}
    return {
        status: {"model": ErrorAnswer, "description": CODES[status][1]}
        | ({"headers": headers[status]} if status in headers else {})
        for status in statuses
    }


def add_handlers(app: FastAPI) -> None:
    """Make an application answer every error in one form."""

    @app.exception_handler(HttpError)
    async def _(_request: Request, problem: HttpError) -> JSONResponse:
        return problem.answer()

    @app.exception_handler(404)
    async def _(request: Request, _error: HTTPException) -> JSONResponse:
        path = brief(request.url.path)
        return HttpError(404, f"Expected a path that /openapi.json lists, or a page, but got {path}.").answer()

    @app.exception_handler(405)
    async def _(request: Request, error: HTTPException) -> JSONResponse:
        allowed = _methods(app, request.url.path) or (error.headers or {}).get("Allow", "")
        message = f"Expected {allowed} for {brief(request.url.path)}, but got {brief(request.method)}."
        return HttpError(405, message, Allow=allowed).answer()

    @app.exception_handler(RequestValidationError)
    async def _(_request: Request, error: RequestValidationError) -> JSONResponse:
        found = "; ".join(_parameters(error))
        return HttpError(422, f"Expected valid parameters, but found {found}. Correct them.").answer()

    @app.exception_handler(Exception)
    async def _(_request: Request, error: Exception) -> JSONResponse:
        return internal_error(error).answer()


def _parameters(error: RequestValidationError) -> list[str]:
    """Return what is wrong with each parameter; one of several types has an error for each of them."""
    expected: dict[str, list[str]] = {}
    got: dict[str, str] = {}
    for each in error.errors():
        name = str(each["loc"][:2][-1])  # the place, the parameter, and the type that was tried
        told = expected.setdefault(name, [])
        told.append(each["msg"].removeprefix("Input should be ") if told else each["msg"])
        got[name] = brief(each["input"])
    return [f"`{name}`: {', or '.join(told)}, got {got[name]}" for name, told in expected.items()]


def _methods(app: FastAPI, path: str) -> str:
    """Return the methods of all operations at a path; a route knows its own alone."""
    found = {
        method.upper()
        for template, operations in app.openapi()["paths"].items()
        if re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path)
        for method in operations
    }
    return ", ".join(sorted(found))
