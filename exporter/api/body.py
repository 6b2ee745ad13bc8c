"""The body of an answer: read within a bound, never decompressed, and in UTF-8."""

import codecs
import io
from typing import Final

import httpx

from exporter.errors import MalformedError, TooLargeError

_CHARSETS: Final = frozenset(
    {
        *("utf-8", "utf-8-sig", "ascii", "iso8859-1", "cp1252"),
        *("gb2312", "gbk", "gb18030", "big5", "utf-16", "utf-16-le", "utf-16-be"),
    }
)
"""Python's names of the charsets that are decoded. Some of its other codecs are not charsets."""

_NAME_LENGTH: Final = 40


def refuse_encoding(action: str, response: httpx.Response) -> None:
    """Raise `MalformedError` if an answer is encoded, before that is undone.

    2 KB of layered gzip become 3 GB; and nothing but plain answers was asked for.
    """
    encoding = response.headers.get("content-encoding", "")
    if any(part.strip().lower() not in {"", "identity"} for part in encoding.split(",")):
        raise MalformedError(
            f"{action}: the answer has the content encoding {_shown(encoding)}, though none was"
            " asked for",
            advice="A proxy between the exporter and the API compresses responses: turn that off "
            "for the API.",
            status=response.status_code,
        )


async def read_body(action: str, response: httpx.Response, limit: int) -> bytes:
    """Read a body of at most `limit` bytes. Raises `MalformedError` or `TooLargeError`."""
    refuse_encoding(action, response)
    body = io.BytesIO()  # gives its bytes without a copy
    async for chunk in response.aiter_bytes():  # as it was sent: there is no encoding to undo
        body.write(chunk)
        if body.tell() > limit:
            raise TooLargeError(
                f"{action}: the answer is larger than {limit} bytes",
                advice="Raise api.max-response-bytes if responses of this size are expected.",
                status=response.status_code,
            )
    return _in_utf8(action, response, body.getvalue())


def _in_utf8(action: str, response: httpx.Response, body: bytes) -> bytes:
    charset = response.charset_encoding
    if charset is None:
        return body
    try:
        name = codecs.lookup(charset).name
        if name == "utf-8":
            return body
        if name in _CHARSETS:
            return body.decode(name).encode()
        problem = "is not supported"
    except (LookupError, ValueError):  # ValueError: of other charsets, and of U+0000 in a name
        problem = "is unknown, or is not what the answer is written in"
    raise MalformedError(
        f"{action}: the answer's charset {_shown(charset)} {problem}",
        advice="Check that api.endpoint leads to the API, and not to a proxy or a login page.",
        status=response.status_code,
    )


def _shown(value: str) -> str:
    return repr(value[:_NAME_LENGTH])
