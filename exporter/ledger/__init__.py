"""The ledger: durable counters that count every CU-hour exactly once."""

from exporter.ledger.amounts import Amount
from exporter.ledger.counting import Key
from exporter.ledger.gateways import GatewayKey
from exporter.ledger.ledger import Ledger, LedgerState
from exporter.ledger.reader import back_up, forget_gateway, read_gateway
from exporter.ledger.reconcile import Balance, GatewayRecord, reconcile

__all__ = [
    "Amount",
    "Balance",
    "GatewayKey",
    "GatewayRecord",
    "Key",
    "Ledger",
    "LedgerState",
    "back_up",
    "forget_gateway",
    "read_gateway",
    "reconcile",
]
