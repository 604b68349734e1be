"""Makes the reference of the Python API from its docstrings, as HTML pages without parts from other hosts.

python docs/reference.py build/reference
"""

import sys
from pathlib import Path

import pdoc

import stencilnet
from stencilnet.errors import NotInstalledError

MODULES = (
    "stencilnet",
    "stencilnet.bundle",
    "stencilnet.delta",
    "stencilnet.models",
    "stencilnet.kinds.kind",
    "stencilnet.tasks.task",
    "stencilnet.methods.method",
    "stencilnet.masks.trainable",
)
"""What programs use: the public names, bundles and deltas as values; and what new task kinds and methods build on."""


def make(target: Path) -> None:
    """Write the pages.

    Args:
        target: Their folder. It is created, and files of the same names are replaced.

    Raises:
        NotInstalledError: If the extra `train` is missing: most names of the reference learn.
    """
    for name in stencilnet.__all__:
        setattr(stencilnet, name, getattr(stencilnet, name))  # pdoc does not know names that are loaded at first use
    pdoc.render.configure(docformat="google", search=True)
    without_submodules = [spec for module in MODULES for spec in (module, f"!{module}.")]
    pdoc.pdoc(*without_submodules, output_directory=target)


if __name__ == "__main__":
    try:
        make(Path(sys.argv[1]))
    except NotInstalledError as error:
        sys.exit(str(error))
