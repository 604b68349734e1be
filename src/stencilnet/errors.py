"""Errors that belong to no single package: mistakes of the user, and what is not installed."""

from importlib.util import find_spec

PACKAGES = {
    "torch": ("PyTorch", "train"),
    "torchvision": ("torchvision", "train"),
    "yaml": ("PyYAML", "train"),
    "cattrs": ("cattrs", "train"),
    "matplotlib": ("matplotlib", "train"),
    "jinja2": ("Jinja2", "train"),
    "filelock": ("filelock", "train"),
    "pycocotools": ("pycocotools", "data"),
    "scipy": ("SciPy", "data"),
    "onnxscript": ("ONNX Script", "export"),
    "av": ("PyAV", "video"),
    "pillow_heif": ("pillow-heif", "heic"),
    "huggingface_hub": ("huggingface_hub", "hub"),
    "fastapi": ("FastAPI", "serve"),
    "uvicorn": ("uvicorn", "serve"),
    "ray": ("Ray", "ray"),
    "submitit": ("submitit", "slurm"),
}
"""The packages that only an extra installs, by import name: what each is called, and the extra."""


class UsageError(ValueError):
    """A mistake in a config, its data or the choice of a run folder; the command line exits with code 2."""


class NotInstalledError(ImportError):
    """Something is needed that is not installed; the message says what it is and where to get it."""


def check_extra(extra: str, user: str) -> None:
    """Check that the packages of an extra are installed; nothing is imported.

    Args:
        extra: The extra.
        user: What needs it: the subject of the message.

    Raises:
        NotInstalledError: If one is missing.
    """
    for package in (package for package, (_, its) in PACKAGES.items() if its == extra):
        if find_spec(package) is None:
            raise explained(ModuleNotFoundError(name=package), user)


def explained(error: ImportError, user: str) -> ImportError:
    """Return the error to raise in place of a failed import's.

    Args:
        error: The error of the import.
        user: What needs the module: the subject of the message.

    Returns:
        If a package of an extra is missing, an error that names the extra; otherwise `error` itself.
    """
    if not isinstance(error, ModuleNotFoundError) or error.name not in PACKAGES:
        return error
    title, extra = PACKAGES[error.name]
    return NotInstalledError(
        f"{user} needs {title}, which is not installed. Run: pip install 'stencilnet[{extra}]'", name=error.name
    )
