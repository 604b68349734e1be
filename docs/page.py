"""Draws the scene that the service's page offers as an example, and makes a picture of the page with it.

python docs/page.py runs/demo/bundle scenes docs/page.png

The second argument is the task that is compared with the scene. This needs Chromium, and the extras `serve` and `dev`.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import expect, sync_playwright

from stencilnet.scenes import draw_scene

EXAMPLE = Path(__file__).parents[1] / "src" / "stencilnet" / "serve" / "page" / "example.webp"
SCENE, SIZE = 300011, (640, 960)
WIDTH, HEIGHT = 1440, 900


@contextmanager
def served(bundle: Path) -> Iterator[str]:
    """Serve a bundle in a process of its own, and give its address."""
    words = [sys.executable, "-m", "stencilnet", "serve", str(bundle), "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


def draw(bundle: Path, task: str, picture: Path) -> None:
    """Run every task on the example, compare one with it, and write the picture."""
    Image.fromarray(draw_scene(0, SCENE, SIZE).image).save(EXAMPLE, quality=85, method=6)
    with served(bundle) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.set_default_timeout(300_000)
        expect.set_options(timeout=300_000)
        page.goto(url)
        page.get_by_role("button", name="Try a drawn scene").click()
        page.locator(f"#tasks [data-task='{task}']").click()
        expect(page.locator("#download")).to_be_enabled()
        expect(page.locator("#tasks img:not([hidden])")).to_have_count(page.locator("#tasks li").count())
        shot = Image.open(BytesIO(page.screenshot()))
        browser.close()
    shot.convert("RGB").save(picture, optimize=True)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
