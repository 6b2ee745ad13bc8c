"""Debian's Chromium, with flags that keep it to this machine and quiet."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

_AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")

Scheme = Literal["light", "dark"]


@dataclass(frozen=True)
class Visit:
    """An open page, and what the browser had to say about it."""

    page: "Page"
    complaints: list[str] = field(default_factory=list)

    async def violations(self) -> list[str]:
        """Name what axe-core finds serious or critical, with where it is."""
        await self.page.evaluate(_AXE)
        found: dict[str, Any] = await self.page.evaluate("axe.run()")
        return [
            f"{each['id']}: {node['target']} {node['html'][:120]}"
            for each in found["violations"]
            if each["impact"] in {"serious", "critical"}
            for node in each["nodes"]
        ]

    async def overflow(self) -> int:
        """Return by how many pixels the page is wider than the window."""
        script = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return int(await self.page.evaluate(script))


@asynccontextmanager
async def chromium(path: Path) -> AsyncIterator["Browser"]:
    """Run the browser inside the block, with a HOME of its own to write into."""
    from playwright.async_api import async_playwright  # noqa: PLC0415  0.2 s, for few tests

    with TemporaryDirectory(ignore_cleanup_errors=True) as home:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=path, args=_FLAGS, env={**os.environ, "HOME": home}
            )
            try:
                yield browser
            finally:
                await browser.close()


@asynccontextmanager
async def visit(
    browser: "Browser",
    url: str,
    *,
    width: int = 1280,
    height: int = 900,
    scheme: Scheme = "light",
) -> AsyncIterator[Visit]:
    """Open a page in a fresh profile."""
    page = await browser.new_page(
        viewport={"width": width, "height": height}, color_scheme=scheme, timezone_id="UTC"
    )
    found = Visit(page)
    page.on("console", lambda message: found.complaints.append(message.text))
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    page.on("dialog", lambda dialog: found.complaints.append(dialog.message))
    page.on("requestfailed", lambda request: found.complaints.append(request.url))
    try:
        await page.goto(url)
        yield found
    finally:
        await page.close()
