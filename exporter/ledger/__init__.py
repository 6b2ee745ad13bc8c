"""The ledger: durable counters that count every CU-hour exactly once."""

from exporter.ledger.amounts import Amount
from exporter.ledger.counting import Key
from exporter.ledger.gateways import GatewayKey
from exporter.ledger.ledger import Ledger, LedgerState
from exporter.ledger.lock import Lock
from exporter.ledger.matching import TOLERANCE_MS
from exporter.ledger.reader import back_up, check_ledger, forget_gateway, read_gateway
from exporter.ledger.reconcile import Balance, GatewayRecord, reconcile
from exporter.ledger.sessions import SessionKey
from exporter.ledger.walks import Walk

__all__ = [
    "TOLERANCE_MS",
    "Amount",
    "Balance",
    "GatewayKey",
    "GatewayRecord",
    "Key",
    "Ledger",
    "LedgerState",
    "Lock",
    "SessionKey",
    "Walk",
    "back_up",
    "check_ledger",
    "forget_gateway",
    "read_gateway",
    "reconcile",
]
