"""A `StatusView` as an HTML page. Importing this is slow: do it when a page is asked for."""

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import Final

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from exporter.web.status import chart, formatting
from exporter.web.status.view import StatusView

_FOLDER: Final = files("exporter.web.status") / "templates"
_REFRESH: Final = b"<!--refresh-->"
"""Marks the place of the refresh line; texts of the API are escaped, so none can equal it."""
_FILTERS: Final = (
    formatting.duration,
    formatting.span,
    formatting.ago,
    formatting.number,
    formatting.cu_hours,
    formatting.size,
    formatting.moment,
    formatting.since,
    formatting.clock,
)


def render(view: StatusView) -> tuple[bytes, bytes]:
    """Return the page in two parts, the refresh line belongs between them."""
    page = _template("status.html.j2").render(
        view=view,
        polls=chart.poll_chart(view.history.buckets),
        burn=chart.burn_chart(view.history.buckets),
        chart_width=chart.WIDTH,
        chart_height=chart.HEIGHT,
        nothing=formatting.NOTHING,
    )
    before, _, after = page.encode("utf-8", "replace").partition(_REFRESH)
    return before, after


def refresh_line(seconds: int) -> bytes:
    """Write that the page refreshes every so many seconds (0: not at all)."""
    return _template("refresh.html.j2").render(refresh=seconds).encode()


@cache
def policy() -> str:
    """Return the Content-Security-Policy: this style and an inline icon, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src 'sha256-{digest}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


@cache
def _style() -> str:
    return _read("status.css")


@cache
def _template(name: str) -> Template:
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        loader=FunctionLoader(_read),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {convert.__name__: convert for convert in _FILTERS}
    environment.globals["style"] = Markup(_style())  # noqa: S704 - a file of the package
    return environment.get_template(name)


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
