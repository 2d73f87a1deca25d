"""Screenshots of every page of the dashboard, in both themes and two widths, by one command.

The installations are those of the tests. Each line says what a page costs and whether it fits: the
nodes of the document, and how far it is wider than the screen (0: it fits).
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from playwright.sync_api import Browser, Error

from tests.dashboard.all_pages import PAGES
from tests.dashboard.conftest import HOSTILE, serving
from tests.dashboard.measured_seed import seed_measured
from tests.dashboard.policed_seed import policed
from tests.dashboard.seed import seed
from tests.servers.chromium import browser

WIDTHS, THEMES = (1440, 390), ("light", "dark")
WAIT_MS = 700
"""Charts draw after the page."""


@contextlib.contextmanager
def installations(folder: Path) -> Iterator[dict[str, str]]:
    """Make the installations and serve each; give their addresses."""
    # In a thread of its own: deliveries start an event loop, and the browser holds this one's.
    with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        for name in PAGES:
            (folder / name).mkdir()
        server = policed(folder / "policed")
        made = {
            "seeded": pool.submit(seed, folder / "seeded", hostile=HOSTILE).result(),
            "measured": pool.submit(seed_measured, folder / "measured").result(),
            "policed": pool.submit(server.__enter__).result(),
        }
        stack.callback(lambda: pool.submit(server.__exit__, None, None, None).result())
        yield {name: stack.enter_context(serving(one)) for name, one in made.items()}


def pictures(
    chromium: Browser, addresses: dict[str, str], parts: list[str], folder: Path
) -> Iterator[str]:
    """Take the pictures; give a line of each."""
    for width in WIDTHS:
        for theme in THEMES:
            context = chromium.new_context(
                viewport={"width": width, "height": 900}, color_scheme=theme,
                timezone_id="UTC", locale="en-GB", reduced_motion="reduce",
            )  # fmt: skip
            page = context.new_page()
            for place, paths in PAGES.items():
                for name, path in paths.items():
                    if parts and not any(part in name for part in parts):
                        continue
                    try:
                        page.goto(addresses[place] + path)
                        page.wait_for_selector("#page [data-title]", timeout=60_000)
                        page.wait_for_timeout(WAIT_MS)
                    except Error as error:
                        yield f"{name} {width} {theme}: {error}"
                        continue
                    page.screenshot(path=folder / f"{name}-{width}-{theme}.png", full_page=True)
                    nodes = page.evaluate("() => document.querySelectorAll('*').length")
                    wide = page.evaluate(
                        "() => document.documentElement.scrollWidth - window.innerWidth"
                    )
                    yield f"{name} {width} {theme}: {nodes:,} nodes, {max(0, wide)} px too wide"
            context.close()


def main() -> None:
    """Take them."""
    parser = argparse.ArgumentParser("python -m bench.screenshots", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("parts", nargs="*", help="only pages whose names hold one of these")
    asked = parser.parse_args()
    folder: Path = asked.folder
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as fresh,
        installations(Path(fresh)) as addresses,
        browser() as chromium,
    ):
        for line in pictures(chromium, addresses, asked.parts, folder):
            print(line, flush=True)


if __name__ == "__main__":
    main()
