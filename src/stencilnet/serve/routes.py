"""The operations that answer at once: the tasks, one of them on a picture, health and metrics."""

import asyncio
from dataclasses import dataclass, replace

from fastapi import APIRouter, Request
from fastapi.responses import Response

from stencilnet.bundle import BundleError
from stencilnet.serve.answering import ERRORS, accepted, answered, binary
from stencilnet.serve.listing import TaskList, list_tasks
from stencilnet.serve.media import JSON, PICTURES
from stencilnet.serve.metrics import TEXT
from stencilnet.serve.problems import HttpError, documented
from stencilnet.serve.query import Asked, FormName, TaskName, TaskNames
from stencilnet.serve.receiving import BODY, check_type
from stencilnet.serve.responses import ARCHIVES, packed, single
from stencilnet.serve.service import Service


@dataclass(frozen=True, kw_only=True)
class Label:
    """A class and its probability."""

    label: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class LabelList:
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


def routes(service: Service) -> APIRouter:
    """Return the operations."""
    router = APIRouter()

    @router.get("/v1/tasks", responses=documented(421, 500, 503))
    async def tasks() -> TaskList:
        """List the bundle's tasks."""
        try:
            found = await asyncio.to_thread(list_tasks, service.live.path)
            return replace(found, teaching=service.teaching is not None)
        except BundleError as error:
            raise HttpError(500, str(error)) from error

    @router.post(
        "/v1/tasks/{task}",
        openapi_extra={"requestBody": BODY},
        response_class=Response,
        responses={
            200: {
                "description": "The answer, of the picture's size; or labels, if that is what the task gives.",
                "content": binary(PICTURES.values()),
                "model": LabelList,
            },
            **ERRORS,
        },
    )
    async def run_task(request: Request, task: TaskName, asked: Asked) -> Response:
        """Run a task on a picture."""
        check_type(request)
        plan = await service.plan((task,), asked)
        media = accepted(request, (JSON,) if plan.steps[0].labels else tuple(PICTURES.values()))
        form = next((form for form, known in PICTURES.items() if known == media), asked.form)
        (answer,) = await answered(service, request, replace(plan, options=replace(asked, form=form)))
        return single(answer)

    @router.post(
        "/v1/run",
        openapi_extra={"requestBody": BODY},
        response_class=Response,
        responses={200: {"description": "A file for each task.", "content": binary(ARCHIVES)}, **ERRORS},
    )
    async def run_tasks(request: Request, tasks: TaskNames, asked: Asked, form: FormName = "png") -> Response:
        """Run several tasks on a picture, which is decoded once."""
        media = accepted(request, ARCHIVES)
        check_type(request)
        plan = await service.plan(tuple(tasks.split(",")), replace(asked, form=form))
        return packed(await answered(service, request, plan), media)

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
