"""ONNX Runtime for browsers, the npm package onnxruntime-web: from a folder, or downloaded once and checked."""

import base64
import hashlib
import tarfile
import urllib.error
import urllib.request
from io import BytesIO
from pathlib import Path

from stencilnet.storage import write_folder

VERSION = "1.30.0"
"""Version that is downloaded."""

_URL = f"https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"
_SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
_BYTES = 33_106_585
_SECONDS = 60

FILES = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort.webgpu.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)
"""The files of the package's folder ``dist`` that a site needs: those of WebAssembly, and those of WebGPU."""


def runtime_files(folder: Path | None, cache: Path) -> dict[str, bytes]:
    """Return the files of ONNX Runtime that a site needs, by name.

    Args:
        folder: The unpacked npm package, or its folder ``dist``. Default: version `VERSION` of the npm registry.
        cache: Folder in which a downloaded version is kept; it is created.

    Raises:
        OSError: If it cannot be downloaded, is another file than the published one, or cannot be kept.
        ValueError: If `folder` lacks a file.
    """
    if folder is None:
        folder = cache / f"onnxruntime-web-{VERSION}"
        if not folder.exists():
            content = _unpacked(_downloaded())
            cache.mkdir(parents=True, exist_ok=True)
            write_folder(folder, content)
    places = {name: _place(folder, name) for name in FILES}
    return {name: place.read_bytes() for name, place in places.items()}


def _place(folder: Path, name: str) -> Path:
    for place in (folder / name, folder / "dist" / name):
        if place.is_file():
            return place
    raise ValueError(
        f"Expected {folder} to be the npm package onnxruntime-web ({VERSION}), unpacked, but {name} is missing. "
        f"`npm pack onnxruntime-web@{VERSION}` gets the package."
    )


def _downloaded() -> bytes:
    # Not by `datasets`, whose downloads resume: that is part of what learns, and this ships. 33 MB need no resuming.
    remedy = f"Pass a folder with the unpacked package: npm pack onnxruntime-web@{VERSION}, and --runtime FOLDER."
    try:
        with urllib.request.urlopen(_URL, timeout=_SECONDS) as answer:
            data: bytes = answer.read(_BYTES + 1)
    except (urllib.error.URLError, TimeoutError) as error:
        raise OSError(f"Cannot download {_URL}: {getattr(error, 'reason', error)}. {remedy}") from error
    found = base64.b64encode(hashlib.sha512(data).digest()).decode()
    if found != _SHA512:
        raise OSError(f"Expected {_URL} to have the SHA-512 {_SHA512}, but got {found}. Try again. {remedy}")
    return data


def _unpacked(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=BytesIO(data)) as archive:
        found = {name: archive.extractfile(f"package/dist/{name}") for name in FILES}
        return {name: file.read() for name, file in found.items() if file is not None}
