"""``python -m stencilnet`` is ``stencil``."""

from stencilnet.cli import main

main()
