"""What a service accepts, and how much it does at once."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of a service, so that no client can take it from the others.

    Attributes:
        workers: Pictures that run at once, at least 1.
        queue: Requests that may wait for that, at least 0; further ones are refused.
        timeout: Seconds until a request is given up, from its arrival; above 0. Jobs have no such bound.
        max_bytes: Bytes of a request's body, at least 1.
        max_pixels: Pixels of a picture, as it is and as the network sees it; at least 1.
        lesson_pictures: Pictures that a new task is taught from, at least 1.
        lesson_bytes: Bytes of these together, at least 1.
    """

    workers: int = 2
    queue: int = 32
    timeout: float = 60.0
    max_bytes: int = 32 * 2**20
    max_pixels: int = 50_000_000
    lesson_pictures: int = 10_000
    lesson_bytes: int = 8 * 2**30
