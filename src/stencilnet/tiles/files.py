"""Arrays in temporary files, for feature maps that memory has no room for."""

import os
import tempfile

import numpy as np

from stencilnet.memory import TooLargeError
from stencilnet.pictures.images import Floats


def array_in_file(shape: tuple[int, ...]) -> Floats:
    """Return an array of float32 in a temporary file, whose pages the system writes out when memory runs short.

    The file has no name, or loses it when it is closed, and its room is free again with the array. A folder of
    temporary files that is in memory itself (tmpfs) saves none.

    Raises:
        TooLargeError: If the folder of temporary files has no room for it.
    """
    size = 4 * int(np.prod(shape))
    folder = tempfile.gettempdir()
    try:
        with tempfile.TemporaryFile(prefix="stencilnet-", dir=folder) as file:
            if hasattr(os, "posix_fallocate"):  # without it, a disk that is full later would end the process
                os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, np.float32, "w+", shape=shape)
    except OSError as error:
        raise TooLargeError(
            f"The picture's feature maps do not fit in memory, and {size / 1e9:.1f} GB of them could not be kept in "
            f"{folder}: {error.strerror}. Make room there, set TMPDIR to a folder with more room, or make the picture "
            "smaller."
        ) from error
