"""The operations that teach a new task; only a service that was started with `--teach` has them."""

from dataclasses import asdict, dataclass
from functools import partial
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse

from stencilnet.memory import TooLargeError, within_memory
from stencilnet.pictures.images import ImageError, TooManyPixelsError, open_checked, read_photo
from stencilnet.serve.following import described, events_of
from stencilnet.serve.lessons import Damage, FolderName, LessonInfo, LessonKind, LessonSettings, LessonState
from stencilnet.serve.problems import HttpError, documented
from stencilnet.serve.query import NAME, JobName
from stencilnet.serve.receiving import BODY, check_length, check_type, picture_of
from stencilnet.serve.service import Service, while_connected
from stencilnet.serve.teaching import Teaching
from stencilnet.serve.work import check_pixels
from stencilnet.text.shortening import brief

CONFIG_TYPE = "application/yaml"

LessonName = Annotated[JobName, Path(description="A lesson's id.")]


@dataclass(frozen=True, kw_only=True)
class CurrentLesson:
    """The lesson that collects pictures or runs, or the last one; None before the first."""

    lesson: LessonInfo | None


def _settings(
    name: Annotated[str, Query(pattern=f"^{NAME}$", description="The new task's name.")],
    kind: Annotated[
        LessonKind,
        Query(
            description="What it is learned from: pairs of pictures (`before`, `after`), photos and label maps "
            "(`images`, `labels`), a painting and photos (`painting`, `photos`), or clean `photos` and a damage."
        ),
    ],
    minutes: Annotated[
        float, Query(gt=0, le=1440, allow_inf_nan=False, description="Time for the training, in minutes.")
    ] = 5.0,
    steps: Annotated[int | None, Query(ge=1, le=10**6, description="Number of steps, in place of `minutes`.")] = None,
    damage: Annotated[Damage | None, Query(description="The damage to undo; for `restore`, required.")] = None,
    classes: Annotated[
        str | None,
        Query(min_length=1, max_length=4096, description="For `labels`: names of the classes, separated by commas."),
    ] = None,
    threshold: Annotated[
        int | None,
        Query(ge=1, le=255, description="For `labels`: label maps are gray, and marked from this value on."),
    ] = None,
) -> LessonSettings:
    return LessonSettings(
        name=name, kind=kind, minutes=minutes, steps=steps, damage=damage, classes=classes, threshold=threshold
    )


_BEGUN: dict[str, Any] = {
    "model": LessonInfo,
    "description": "The lesson collects pictures.",
    "headers": {"Location": {"description": "The lesson's path.", "schema": {"type": "string"}}},
    "links": {
        name: {"operationId": name, "parameters": {"lesson": "$response.body#/id"}}
        for name in ("add_picture", "start_lesson", "lesson_events", "lesson_samples", "lesson_config", "cancel_lesson")
    },
}
"""The answer to a new lesson, for OpenAPI."""


def teach_routes(service: Service, teaching: Teaching) -> APIRouter:
    """Return the operations."""
    router = APIRouter(prefix="/v1/teaching")

    @router.get("", responses=documented(421, 503))
    async def current_lesson() -> CurrentLesson:
        """Return the lesson's state, for whoever comes back to it."""
        return CurrentLesson(lesson=None if teaching.lesson is None else teaching.lesson.info)

    @router.post("", status_code=201, responses={201: _BEGUN, **documented(403, 409, 421, 422, 500, 503, 507)})
    async def begin_lesson(settings: Annotated[LessonSettings, Depends(_settings)]) -> Response:
        """Begin a lesson, which takes the place of the last one; then send its pictures, and start it."""
        info = teaching.begin(settings).info
        return JSONResponse(asdict(info), 201, {"Location": f"/v1/teaching/{info.id}"})

    @router.post(
        "/{lesson}/pictures/{folder}",
        openapi_extra={"requestBody": BODY},
        responses=documented(403, 404, 409, 413, 415, 421, 422, 429, 500, 503, 507),
    )
    async def add_picture(
        request: Request,
        lesson: LessonName,
        folder: Annotated[FolderName, Path(description="What the picture is.")],
        name: Annotated[
            str,
            Query(
                min_length=1,
                max_length=1024,
                description="Its name or path in its folder: pictures that belong together have the same, up to the "
                "suffix. No file is called so.",
            ),
        ],
    ) -> LessonInfo:
        """Send a picture to learn from. The last ones are held out to measure the task."""
        check_type(request)
        most = service.limits.max_bytes
        check_length(request, most)
        found = teaching.get(lesson)
        found.check(folder, name, service.limits)
        with service.pool.place():
            async with service.bounded():
                data = await picture_of(request, most)
                check = partial(_check_picture, name, data, service.limits.max_pixels)
                await while_connected(request, service.pool.run(lambda _: check()))
        found.check(folder, name, service.limits)  # others may have been sent meanwhile
        found.keep(folder, name, data)
        return found.info

    @router.post("/{lesson}/start", status_code=202, responses=documented(403, 404, 409, 421, 422, 503))
    async def start_lesson(lesson: LessonName) -> LessonInfo:
        """Start the training, when all pictures have been sent."""
        found = teaching.get(lesson)
        teaching.start(found)
        return found.info

    @router.get("/{lesson}/events", response_class=StreamingResponse, responses=described(get_args(LessonState)))
    async def lesson_events(lesson: LessonName) -> Response:
        """Send a lesson's state now and at each change, until it has ended; each event is called as the state."""
        return events_of(teaching.get(lesson))

    @router.get(
        "/{lesson}/samples/{step}",
        response_class=FileResponse,
        responses={
            200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}},
            **documented(404, 421, 422, 503),
        },
    )
    async def lesson_samples(
        lesson: LessonName, step: Annotated[int, Path(ge=0, le=10**6, description="The step of `samples`.")]
    ) -> Response:
        """Return sample pictures: a held-out picture in each row, side by side what `columns` says."""
        file = teaching.get(lesson).samples(step)
        if not file.is_file():
            raise HttpError(404, f"Expected a step with sample pictures, but got {step}. Wait for one.")
        return FileResponse(file, media_type="image/png")

    @router.get(
        "/{lesson}/config",
        response_class=Response,
        responses={
            200: {"content": {CONFIG_TYPE: {"schema": {"type": "string"}}}},
            **documented(404, 409, 421, 422, 503),
        },
    )
    async def lesson_config(lesson: LessonName) -> Response:
        """Return the config of a task that has been learned, by which `stencil add` learns it again."""
        found = teaching.get(lesson)
        if found.config is None:
            remedy = "Begin a new one." if found.ended else "Wait for it."
            raise HttpError(409, f"Expected a lesson with a config, but this one is {found.state}. {remedy}")
        name = {"Content-Disposition": f'attachment; filename="{found.settings.name}.yaml"'}
        return Response(found.config, media_type=CONFIG_TYPE, headers=name)

    @router.delete("/{lesson}", status_code=204, responses=documented(403, 404, 421, 422, 503))
    async def cancel_lesson(lesson: LessonName) -> None:
        """Cancel a lesson if it has not ended, and forget it; its task stays. Answers when its process has ended."""
        await teaching.forget(teaching.get(lesson))

    return router


def _check_picture(name: str, data: bytes, max_pixels: int) -> None:
    """Check that a picture's file can be read.

    Raises:
        HttpError: If it cannot, or has too many pixels; it says the picture's name, since many are sent.
    """
    try:
        with open_checked(data) as opened:
            check_pixels(opened.size, max_pixels, "as it is", "Make it smaller")
        within_memory(partial(read_photo, data), "The picture")
    except HttpError as problem:
        raise HttpError(problem.status, f"{brief(name)}: {problem}") from problem
    except (TooManyPixelsError, TooLargeError) as error:
        raise HttpError(413, f"{brief(name)}: {error}") from error
    except ImageError as error:
        raise HttpError(422, f"{brief(name)}: {error}") from error
