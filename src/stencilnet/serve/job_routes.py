"""The operations on jobs."""

from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import get_args

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from stencilnet.serve.answering import ERRORS, accepted, binary
from stencilnet.serve.following import described, events_of
from stencilnet.serve.jobs import JobInfo, JobState, PictureJob
from stencilnet.serve.media import JSON, PICTURES
from stencilnet.serve.problems import HttpError, documented
from stencilnet.serve.query import Asked, FormName, JobName, TaskName, TaskNames
from stencilnet.serve.receiving import BODY, check_length, check_type, picture_of
from stencilnet.serve.responses import ARCHIVES, packed, single
from stencilnet.serve.service import Service

_STARTED = {
    "model": JobInfo,
    "description": "The job waits or runs.",
    "headers": {"Location": {"description": "The job's path.", "schema": {"type": "string"}}},
    "links": {
        name: {"operationId": name, "parameters": {"job": "$response.body#/id"}}
        for name in ("job_state", "job_events", "job_result", "cancel_job")
    },
}
"""The answer to a new job, for OpenAPI."""


def job_routes(service: Service) -> APIRouter:
    """Return the operations."""
    router = APIRouter(prefix="/v1/jobs")

    @router.post(
        "",
        status_code=202,
        openapi_extra={"requestBody": BODY},
        responses={202: _STARTED, **_without(ERRORS, 406)},
    )
    async def start_job(request: Request, tasks: TaskNames, asked: Asked, form: FormName = "png") -> Response:
        """Start a job that runs tasks on a picture; its answers are fetched later."""
        check_type(request)
        plan = await service.plan(tuple(tasks.split(",")), replace(asked, form=form))
        most = service.limits.max_bytes
        check_length(request, most)
        with ExitStack() as place:
            place.enter_context(service.pool.place())
            async with service.bounded():
                data = await picture_of(request, most)
            job = service.start(plan, data, place.pop_all())
        return JSONResponse(asdict(job.info), 202, {"Location": f"/v1/jobs/{job.id}"})

    @router.get("/{job}", responses=documented(404, 421, 422, 503))
    async def job_state(job: JobName) -> JobInfo:
        """Return a job's state."""
        return service.jobs.get(job).info

    @router.delete("/{job}", status_code=204, responses=documented(403, 404, 421, 422, 503))
    async def cancel_job(job: JobName) -> None:
        """Cancel a job if it has not ended, and forget it and its answers."""
        service.jobs.drop(job)

    @router.get("/{job}/events", response_class=StreamingResponse, responses=described(get_args(JobState)))
    async def job_events(job: JobName) -> Response:
        """Send a job's state now and at each change, until it has ended; each event is called as the state."""
        return events_of(service.jobs.get(job))

    @router.get(
        "/{job}/result",
        response_class=Response,
        responses={
            200: {"description": "A file for each task.", "content": binary(ARCHIVES)},
            **documented(404, 406, 409, 413, 421, 422, 500, 503),
        },
    )
    async def job_result(request: Request, job: JobName) -> Response:
        """Return the answers of a job that is done."""
        media, found = accepted(request, ARCHIVES), service.jobs.get(job)
        _check(found, ended=found.state == "done")
        return packed(found.answers.values(), media)

    @router.get(
        "/{job}/result/{task}",
        response_class=Response,
        responses={
            200: {"description": "The task's answer.", "content": {**binary(PICTURES.values()), JSON: {"schema": {}}}},
            **documented(404, 409, 413, 421, 422, 500, 503),
        },
    )
    async def job_answer(job: JobName, task: TaskName) -> Response:
        """Return the answer of a job's task, as soon as it is there."""
        found = service.jobs.get(job)
        if task not in found.tasks:
            raise HttpError(404, f"Expected one of the job's tasks, {', '.join(found.tasks)}, but got {task!r}.")
        _check(found, ended=task in found.answers)
        return single(found.answers[task])

    return router


def _without(errors: dict[int | str, dict[str, object]], status: int) -> dict[int | str, dict[str, object]]:
    return {known: error for known, error in errors.items() if known != status}


def _check(job: PictureJob, *, ended: bool) -> None:
    """Check that what is fetched is there.

    Raises:
        HttpError: If it is not; the job's own error if it has failed.
    """
    if job.error is not None:
        raise job.error
    if not ended:
        raise HttpError(409, f"Expected an answer that is there, but the job is {job.state}. Wait for its events.")
