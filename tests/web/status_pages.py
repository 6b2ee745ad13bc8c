"""The status page as tests want it: of a harness's exporter, or of any view."""

import json
from typing import Any

from pydantic import TypeAdapter
from starlette.applications import Starlette

from exporter.web.status import StatusPages, StatusView
from tests.support.harness import Harness

VIEW: TypeAdapter[StatusView] = TypeAdapter(StatusView)


async def view_of(h: Harness) -> StatusView:
    """Read the JSON of the status back into a view."""
    return VIEW.validate_json((await h.get("/api/v1/status")).content)


async def json_of(h: Harness) -> Any:  # noqa: ANN401 - JSON
    """Read the JSON of the status."""
    return json.loads((await h.get("/api/v1/status")).content)


def app_of(view: StatusView) -> Starlette:
    """Make an application that serves nothing but the status pages of a view."""
    return Starlette(routes=StatusPages(lambda: view).routes())
