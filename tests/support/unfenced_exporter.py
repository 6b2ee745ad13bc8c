"""The exporter without its fence: whoever thinks to own the ledger writes to it.

The test of replicas must fail with it, or it would prove nothing.
"""

from exporter.cli import main
from exporter.ledger.postgres import database

_CONDITION = "AND revision = ?"


def main_without_fence() -> int:
    """Run a command; each write goes on, whatever the revision is."""
    constants = vars(database)
    assert _CONDITION in constants["_FENCE"]
    constants["_FENCE"] = constants["_FENCE"].replace(_CONDITION, "AND CAST(? AS bigint) > 0")
    return main()
