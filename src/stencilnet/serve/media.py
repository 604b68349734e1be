"""Media types: which one a client prefers, and pictures in them."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image

from stencilnet.runtime.saving import write_picture

NPY = "application/x-npy"
JSON = "application/json"

PICTURES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp", "npy": NPY}
"""Media types of pictures in answers, by format; the first is the default."""


def preferred(accept: str, offers: Sequence[str]) -> str | None:
    """Return the media type that a client prefers (RFC 9110, 12.5.1).

    Args:
        accept: The header's value; empty accepts everything.
        offers: Media types, the default first.

    Returns:
        One of `offers`, or None if none is accepted.
    """
    ranges = [_range(part) for part in accept.split(",") if part.strip()] or [("*/*", 1.0)]
    weights = {offer: _weight(offer, ranges) for offer in offers}
    best = max(offers, key=lambda offer: weights[offer])  # of equals, the first
    return best if weights[best] > 0 else None


def _range(text: str) -> tuple[str, float]:
    """Return a media range and its weight."""
    name, *parameters = (part.strip().lower() for part in text.split(";"))
    weight = next((value[2:] for value in parameters if value.startswith("q=")), "1")
    try:
        return name, float(weight)
    except ValueError:
        return name, 0.0


def _weight(offer: str, ranges: Sequence[tuple[str, float]]) -> float:
    """Return the weight of the most specific range that a media type is in; 0 if it is in none."""
    for wanted in (offer, f"{offer.partition('/')[0]}/*", "*/*"):
        found = [weight for name, weight in ranges if name == wanted]
        if found:
            return max(found)
    return 0.0


def encoded(image: Image.Image, form: str, exif: bytes = b"") -> bytes:
    """Return a picture's bytes.

    Args:
        image: RGB, RGBA or indexed.
        form: One of `PICTURES`. ``npy`` is the array of its pixels: ``(H, W, 3)``, ``(H, W, 4)``, or class indices
            ``(H, W)``; uint8.
        exif: Metadata for the formats that hold it.
    """
    file = BytesIO()
    if form == "npy":
        np.save(file, np.asarray(image), allow_pickle=False)
    else:
        write_picture(image, file, form.upper(), exif)
    return file.getvalue()
