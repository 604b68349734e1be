"""The configs that come with the package."""

from pathlib import Path


def shipped() -> dict[str, Path]:
    """Return the paths of the shipped configs, by name."""
    folder = Path(__file__).parent / "configs"
    return {str(path.relative_to(folder).with_suffix("")): path for path in sorted(folder.rglob("*.yaml"))}
