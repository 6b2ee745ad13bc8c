"""The ledger: durable counters that count every CU-hour exactly once.

    ledger           the facade: scans of gateways, listings of everything else, scrapes
      gateway_scan   one scan: its batches, then the conclusions from all of them
      gateways       one gateway: first contact, counting, leaving, forgetting, coming back
        scans        from the records of a scan to the rows they change
        matching     which remembered session a record belongs to: pure
        counting     what a change of a row adds to which counter: pure
        session_table   the rows of a gateway's sessions
      clusters       one workspace: which states its session clusters entered
      listing_order  the place of each session in the listing of its gateway
      listing_sizes  how many records each last listing had; which gateways are new
    store            transactions that change rows and counters together, and the state they left
      counters       actual and published values
      release_gate   which series are held until Prometheus has seen them
    database         the interface of both databases
      sqlite         a file
      postgres       a schema of a server, for the one process that holds the lease
    location         where a ledger is, and how it is opened
    worker           the thread that uses the ledger, with a timeout for those who wait
    maintenance      the commands beside the daemon; `moving` imports, `balance` compares

A gateway is scanned by `open_scan`, `add` for each batch, and `finish`. `add` and `finish` are one
transaction each, durable before anything of it is published. A process that dies between two
batches has counted what it added and concluded nothing; the next scan reads everything again, and
counts nothing twice.

The sessions are remembered twice: here, and in the memory of `sources.livy_sessions`, whose
history knows which row stands where in the listing. They answer different questions (what was
counted; what must be read again) and change at different times (once it is durable; once a page
was read), and a poll must publish gauges also while the ledger cannot be written. So neither is
a view of the other. After a restart a history is rebuilt from the rows here, and the places that
`listing_order` stores: a starting point, which the first poll verifies.
"""

from exporter.ledger.balance import Balance, balances
from exporter.ledger.counters import CounterValue
from exporter.ledger.counting import GatewayKey, Key
from exporter.ledger.gateway_scan import GatewayScan
from exporter.ledger.ledger import Ledger
from exporter.ledger.listing_order import ListedSession, Place
from exporter.ledger.location import Location, Postgres
from exporter.ledger.maintenance import (
    back_up,
    check_ledger,
    counted_gateways,
    forget_gateway,
    read_gateway,
)
from exporter.ledger.matching import TOLERANCE_MS, SessionKey
from exporter.ledger.moving import import_ledger
from exporter.ledger.sqlite import Lock
from exporter.ledger.store import LedgerState

__all__ = [
    "TOLERANCE_MS",
    "Balance",
    "CounterValue",
    "GatewayKey",
    "GatewayScan",
    "Key",
    "Ledger",
    "LedgerState",
    "ListedSession",
    "Location",
    "Lock",
    "Place",
    "Postgres",
    "SessionKey",
    "back_up",
    "balances",
    "check_ledger",
    "counted_gateways",
    "forget_gateway",
    "import_ledger",
    "read_gateway",
]
