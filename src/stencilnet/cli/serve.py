"""The verb that serves a bundle over HTTP."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from stencilnet.cli.bundles import SAMPLE, BundleFolder, backend_option, unchangeable
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
@click.option(
    "--teach",
    is_flag=True,
    help="Let the page teach BUNDLE new tasks, as `stencil teach` does; on an address of this machine alone.",
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
    teach: bool,
) -> None:
    """Serve BUNDLE's tasks over HTTP, and a page for them, until Ctrl-C or SIGTERM (docs/service.md).

    Without BUNDLE, the one that ships with the package.

    Tasks that are added to BUNDLE or removed from it meanwhile are seen at once. With --teach, the page can add some.
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

    if teach:
        _check_teachable(bundle, host)
    console()
    Image.MAX_IMAGE_PIXELS = max(max_pixels, Image.MAX_IMAGE_PIXELS or 0)  # Pillow's own bound
    limits = Limits(workers=workers, queue=queue, timeout=timeout, max_bytes=max_bytes, max_pixels=max_pixels)
    listen(
        bundle,
        open_engine,
        host=host,
        port=port,
        limits=limits,
        teach=teach,
        announce=lambda url: say(f"{bundle}  {url}"),
    )


def _check_teachable(bundle: Path, host: str) -> None:
    """Check that --teach can be offered: to this machine's users alone, on a bundle that can be written to."""
    from stencilnet.bundle.format import TASKS
    from stencilnet.errors import check_extra
    from stencilnet.serve.gate import is_loopback
    from stencilnet.storage import check_writable

    if not is_loopback(host):
        raise click.UsageError(
            "--teach lets whoever reaches the page change the bundle and use this machine, so it needs a loopback "
            f"address, but got --host {host}. Omit --host, or teach by the command `stencil teach`."
        )
    if problem := unchangeable(bundle):
        raise click.UsageError(f"--teach changes BUNDLE, but {problem}")
    try:
        for folder in (bundle, bundle / TASKS):
            check_writable(folder)
    except OSError as error:
        raise click.UsageError(
            f"--teach changes BUNDLE, but {error.filename} cannot be written to: {error.strerror}. Change its "
            "permissions, or copy the bundle."
        ) from error
    check_extra("train", "stencil serve --teach")
