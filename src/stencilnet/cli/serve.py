"""The verb that serves a bundle over HTTP."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from stencilnet.cli.bundles import SAMPLE, BundleFolder, backend_option
from stencilnet.cli.streams import say

if TYPE_CHECKING:
    from stencilnet.runtime import Engine


@click.command()
@click.argument("bundle", type=BundleFolder(), default=SAMPLE)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0: every network.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0: a free one.")
@backend_option
@click.option("--active", type=click.IntRange(min=1), default=8, show_default=True, help="Tasks kept ready to run.")
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True, help="Pictures that run at once.")
@click.option(
    "--queue", type=click.IntRange(min=0), default=32, show_default=True, help="Requests that may wait; then 429."
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds for a request, waiting included; then 503.",
)
@click.option(
    "--max-bytes",
    type=click.IntRange(min=1),
    default=32 * 2**20,
    show_default=True,
    help="Bytes of a request's body; then 413.",
)
@click.option(
    "--max-pixels",
    type=click.IntRange(min=1),
    default=50_000_000,
    show_default=True,
    help="Pixels of a picture, as it is and as the network sees it; then 413.",
)
def serve(
    bundle: Path,
    host: str,
    port: int,
    backend: str,
    active: int,
    workers: int,
    queue: int,
    timeout: float,
    max_bytes: int,
    max_pixels: int,
) -> None:
    """Serve BUNDLE's tasks over HTTP, and a page for them, until Ctrl-C or SIGTERM (docs/service.md).

    Without BUNDLE, the one that ships with the package.

    Tasks that are added to BUNDLE or removed from it meanwhile are seen at once.
    """
    from PIL import Image

    from stencilnet.cli.console import console, use_all_cores
    from stencilnet.runtime import Engine
    from stencilnet.serve import Limits
    from stencilnet.serve import serve as listen

    def open_engine(path: Path) -> "Engine":
        engine = Engine(path, backend=backend, active=active)
        if engine.backend == "torch":
            use_all_cores()
        return engine

    console()
    Image.MAX_IMAGE_PIXELS = max(max_pixels, Image.MAX_IMAGE_PIXELS or 0)  # Pillow's own bound
    limits = Limits(workers=workers, queue=queue, timeout=timeout, max_bytes=max_bytes, max_pixels=max_pixels)
    listen(bundle, open_engine, host=host, port=port, limits=limits, announce=lambda url: say(f"{bundle}  {url}"))
