"""The operations that answer at once: the tasks, one of them on a picture, health and metrics."""

import asyncio
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.responses import Response

from stencilnet.bundle import BundleError
from stencilnet.serve.listing import TaskList, list_tasks
from stencilnet.serve.media import JSON, PICTURES, preferred
from stencilnet.serve.metrics import TEXT
from stencilnet.serve.problems import HttpError, documented
from stencilnet.serve.query import Asked, TaskName
from stencilnet.serve.receiving import BODY, check_length, check_type, picture_of
from stencilnet.serve.service import Service, while_connected
from stencilnet.serve.work import Answer, Plan, answers
from stencilnet.text.shortening import brief

ERRORS = documented(403, 404, 406, 413, 415, 421, 422, 429, 500, 503)
Accept = Annotated[str, Header(description="The media types of answers that the client accepts.")]


@dataclass(frozen=True, kw_only=True)
class Label:
    """A class and its probability."""

    label: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The answer of a task that gives labels: every class, the most probable first."""

    labels: list[Label]


@dataclass(frozen=True, kw_only=True)
class Health:
    """The service's state.

    Attributes:
        status: Always ``ok``: a service that stops answers 503.
        problem: Why the bundle's current state cannot be opened, so that its last one is served; empty if it can.
    """

    status: str
    problem: str


async def answered(service: Service, request: Request, plan: Plan) -> list[Answer]:
    """Return the answers of a request's tasks to its picture, or raise a HttpError."""
    most = service.limits.max_bytes
    check_length(request, most)
    with service.counted(plan), service.pool.place():
        async with service.bounded():
            data = await picture_of(request, most)
            return await while_connected(request, service.pool.run(lambda stop: list(answers(plan, data, stop))))


def _binary(medias: Any) -> dict[str, Any]:
    return {media: {"schema": {"type": "string", "format": "binary"}} for media in medias}


def routes(service: Service) -> APIRouter:
    """Return the operations."""
    router = APIRouter()

    @router.get("/v1/tasks", responses=documented(421, 500, 503))
    async def tasks() -> TaskList:
        """List the bundle's tasks."""
        try:
            return await asyncio.to_thread(list_tasks, service.live.path)
        except BundleError as error:
            raise HttpError(500, str(error)) from error

    @router.post(
        "/v1/tasks/{task}",
        openapi_extra={"requestBody": BODY},
        response_class=Response,
        responses={
            200: {
                "description": "The answer, of the picture's size; or labels, if that is what the task gives.",
                "content": _binary(PICTURES.values()),
                "model": Labels,
            },
            **ERRORS,
        },
    )
    async def run_task(request: Request, task: TaskName, asked: Asked, accept: Accept = "") -> Response:
        """Run a task on a picture."""
        check_type(request)
        plan = await service.plan((task,), asked)
        media = accepted(accept, (JSON,) if plan.steps[0].labels else tuple(PICTURES.values()))
        form = next((form for form, known in PICTURES.items() if known == media), asked.form)
        (answer,) = await answered(service, request, replace(plan, options=replace(asked, form=form)))
        return Response(answer.body, media_type=answer.media)

    @router.get("/healthz", responses=documented(421, 503))
    async def health() -> Health:
        """Say that the service works."""
        return Health(status="ok", problem=service.live.problem)

    @router.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {TEXT: {"schema": {"type": "string"}}}}, **documented(421, 503)},
    )
    async def metrics() -> Response:
        """Return counts for Prometheus."""
        return Response(service.metrics.text(service.gauges()), media_type=TEXT)

    return router


def accepted(accept: str, offers: tuple[str, ...]) -> str:
    """Return the media type to answer in.

    Raises:
        HttpError: If the client accepts none.
    """
    media = preferred(accept, offers)
    if media is None:
        raise HttpError(
            406, f"Expected `Accept` to allow one of {', '.join(offers)}, but got {brief(accept)}. Correct it."
        )
    return media
