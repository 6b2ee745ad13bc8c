"""What several tests of the web server use."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.web.browser import chromium

if TYPE_CHECKING:
    from playwright.async_api import Browser


@pytest.fixture
async def browser(real_tool: Callable[[str], Path]) -> AsyncIterator["Browser"]:
    """Run a browser for a test."""
    async with chromium(real_tool("chromium")) as found:
        yield found
