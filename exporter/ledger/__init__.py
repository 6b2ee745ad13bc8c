"""The ledger: durable counters that count every CU-hour exactly once."""

from exporter.ledger.amounts import Amount
from exporter.ledger.counting import Key
from exporter.ledger.gateways import GatewayKey
from exporter.ledger.ledger import Ledger, LedgerState

__all__ = ["Amount", "GatewayKey", "Key", "Ledger", "LedgerState"]
