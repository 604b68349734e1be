"""Answers as HTTP responses: one alone, or several as one body."""

import secrets
import zipfile
from collections.abc import Iterable
from io import BytesIO

from fastapi.responses import Response

from stencilnet.serve.work import Answer

MIXED = "multipart/mixed"
ZIP = "application/zip"

ARCHIVES = (MIXED, ZIP)
"""Media types of several answers; the first is the default."""

_DATE = (1980, 1, 1, 0, 0, 0)
"""The date of every file, so that equal answers are equal archives."""


def single(answer: Answer) -> Response:
    """Return one answer; the header ``Server-Timing`` says how many milliseconds it took."""
    headers = {"Server-Timing": f"task;dur={1000 * answer.seconds:.1f}"}
    return Response(answer.body, media_type=answer.media, headers=headers)


def packed(answers: Iterable[Answer], media: str) -> Response:
    """Return answers as one: a file each, called ``TASK.png``.

    Args:
        answers: The answers.
        media: One of `ARCHIVES`.
    """
    if media == ZIP:
        return Response(_zipped(answers), media_type=ZIP)
    boundary = secrets.token_hex(16)
    return Response(_mixed(answers, boundary), media_type=f"{MIXED}; boundary={boundary}")


def _zipped(answers: Iterable[Answer]) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:  # pictures are compressed already
        for answer in answers:
            archive.writestr(zipfile.ZipInfo(answer.name, _DATE), answer.body)
    return file.getvalue()


def _mixed(answers: Iterable[Answer], boundary: str) -> bytes:
    """Return the body of RFC 2046, 5.1.3."""
    parts = bytearray()
    for answer in answers:
        head = (
            f"--{boundary}\r\nContent-Type: {answer.media}\r\n"
            f'Content-Disposition: attachment; filename="{answer.name}"\r\n'
            f"Content-Length: {len(answer.body)}\r\n\r\n"
        )
        parts += head.encode("ascii") + answer.body + b"\r\n"
    return bytes(parts + f"--{boundary}--\r\n".encode("ascii"))
