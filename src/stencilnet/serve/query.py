"""The parameters that requests share, as FastAPI reads and documents them."""

from typing import Annotated, Literal

from fastapi import Depends, Path, Query

from stencilnet.serve.work import Options

NAME = r"[a-z0-9][a-z0-9._-]{0,63}"
"""A task's name."""

TaskName = Annotated[str, Path(pattern=f"^{NAME}$", description="A task's name, as GET /v1/tasks lists it.")]
TaskNames = Annotated[
    str,
    Query(
        alias="tasks",
        pattern=f"^{NAME}(,{NAME})*$",
        max_length=4096,
        description="Names of tasks, separated by commas.",
    ),
]
FormName = Annotated[
    Literal["png", "jpeg", "webp", "npy"], Query(alias="format", description="The format of pictures in the answer.")
]
JobName = Annotated[str, Path(pattern="^[A-Za-z0-9_-]{22}$", description="A job's id.")]


def _options(
    scale: Annotated[
        Literal["trained", "native"] | Annotated[float, Query(gt=0, le=16, allow_inf_nan=False)],
        Query(
            description="The size at which the network sees the picture: the one the task was learned at, the "
            "picture's own, or a factor of that. The answer has the picture's size."
        ),
    ] = "trained",
    tile: Annotated[
        Literal["auto", "never"] | Annotated[int, Query(ge=16, le=65536)],
        Query(
            description="auto: a picture that does not fit in memory runs strip by strip, with the same result. A "
            "number: always, in strips of as many rows. never: always as a whole."
        ),
    ] = "auto",
    given: Annotated[
        Literal["photo", "edges"], Query(alias="input", description="edges: the picture is an edge drawing.")
    ] = "photo",
    keep_metadata: Annotated[
        bool, Query(description="Keep description, camera, date, exposure, author and copyright; never the position.")
    ] = False,
) -> Options:
    return Options(scale=scale, tile=tile, drawing=given == "edges", keep_metadata=keep_metadata)


Asked = Annotated[Options, Depends(_options)]
"""The options of a request."""
