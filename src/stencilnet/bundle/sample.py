"""The sample: a small bundle that ships with the package; its card says what each task does."""

from pathlib import Path


def sample() -> Path:
    """Return the folder of the bundle that ships with the package.

    It is part of the installation. Copy it before changing it.
    """
    return Path(__file__).parent / "shipped" / "sample"
