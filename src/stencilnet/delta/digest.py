"""The digest of a task's weights."""

import hashlib
from collections.abc import Mapping

import numpy as np

from stencilnet.delta.spec import Array


def weights_digest(weights: Mapping[str, Array]) -> str:
    """Return the SHA-256 of a task's full weights with their keys, dtypes and shapes; equal ones give equal outputs."""
    digest = hashlib.sha256()
    for key, array in sorted(weights.items()):
        digest.update(
            f"{key} torch.{array.dtype.name} {array.shape}".encode()
        )  # as results of earlier versions have it
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
