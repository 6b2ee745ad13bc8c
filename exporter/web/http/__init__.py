"""The HTTP server, and all that bounds what its clients may cost.

`server` accepts connections and secures them, `connections` knows how many there are and which one
has to go, `protocol` reads one bounded request at a time, `slices` hands over long answers.

Transports and timeouts are asyncio's, by its documented interface. Parsing of requests is
httptools', and the way from a request to the ASGI application and back is uvicorn's. uvicorn has no
documented interface below its `Server`, which accepts without a bound, limits heads only in the
time that they take, and pipelines without end. So these of its internals are used:

- `HttpToolsProtocol(config, server_state, app_state)`, one for each connection, and its attributes
  `app`, `transport`, `parser`, `headers`, `client`, `cycle` and `cycle.keep_alive`.
- `connection_made`, `connection_lost` and `on_headers_complete`, which are extended; the last one
  creates `cycle` and starts `app` in a task of its own.
- `data_received` and `on_response_complete`, which are replaced: they parse what comes as it comes,
  queue what is pipelined, and keep a timer for each connection.
- `shutdown`, which closes a connection after the answer under way.
- `ServerState`: `connections`, `tasks` and `default_headers`.

TLS (`TlsProtocol`) is `asyncio.sslproto.SSLProtocol`, of which the constructor and `max_size` are
used. `create_server(ssl=...)` uses it too, but before a connection is known here, with one context
for good, and with a buffer of 256 KiB for each connection. Here the context is chosen when a
connection comes, so that certificates, authorities and versions change without a restart.

`tests/web/test_uvicorn.py` fails when one of them changes.
"""

from exporter.web.http.connections import Connections, peer_of
from exporter.web.http.server import Server, bind
from exporter.web.http.slices import SlicedAnswers

__all__ = ["Connections", "Server", "SlicedAnswers", "bind", "peer_of"]
