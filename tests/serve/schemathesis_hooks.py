"""What a schema cannot say: bodies are real pictures, and the task and the job are ones that are there.

Schemathesis reads this file, in a process of its own (`test_serve_schema.py`).
"""

from io import BytesIO
from itertools import count
from typing import Any

import schemathesis
from hypothesis import strategies
from PIL import Image

_FILE = BytesIO()
Image.radial_gradient("L").resize((9, 7)).convert("RGB").save(_FILE, "PNG")

for media in ("image/*", "image/png", "application/octet-stream"):
    schemathesis.openapi.media_type(media, strategies.just(_FILE.getvalue()))
schemathesis.openapi.format("binary", strategies.just(_FILE.getvalue()))


_NUMBERS = count()
_FITTING = {"damage": ("restore",), "classes": ("labels",), "threshold": ("labels",)}


def lesson(query: dict[str, Any]) -> dict[str, Any]:
    """Make the options of a new lesson fit its kind."""
    kind = query["kind"]
    kept = {name: value for name, value in query.items() if kind in _FITTING.get(name, (kind,))}
    return {"damage": "noise", **kept} if kind == "restore" else kept


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: Any) -> Any:
    return path_parameters | {"task": "colour"} if path_parameters and "task" in path_parameters else path_parameters


@schemathesis.hook
def map_query(context: Any, query: Any) -> Any:
    if not query:
        return query
    if "kind" in query:
        return lesson(query)
    if "name" in query:
        return query | {"name": f"{next(_NUMBERS)}.png"} if query["name"] else query
    kept = {name: value for name, value in query.items() if (name, value) != ("input", "edges")}  # colour takes none
    return kept | {"tasks": "colour,shapes"} if query.get("tasks", "0")[:1].isalnum() and "tasks" in query else kept
