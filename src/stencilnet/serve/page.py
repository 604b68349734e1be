"""The files of the page, as they lie in the folder ``page``."""

import os
from pathlib import Path, PurePath
from typing import Any

from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles

FOLDER = Path(__file__).with_name("page")

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
}
"""Media types by suffix: those of the system may be missing or wrong."""


class Page(StaticFiles):
    """Answers GET and HEAD by files, with an ETag; browsers ask each time whether a file has changed."""

    def __init__(self) -> None:
        super().__init__(directory=FOLDER, html=True)

    def file_response(self, full_path: str | os.PathLike[str], *args: Any, **options: Any) -> Response:
        """Return the answer of a file."""
        response = super().file_response(full_path, *args, **options)
        response.headers["cache-control"] = "no-cache"
        media = _TYPES.get(PurePath(full_path).suffix)
        if media is not None and response.status_code == 200:
            response.headers["content-type"] = media
        return response
