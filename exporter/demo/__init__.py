"""A simulated EMR Serverless Spark: independent, sharing no code with the rest.

`World` holds what the service holds, `Cloud` answers for it at the wire, `serve` puts it on the
loopback. `Fleet` simulates sessions in a world, and `start_demo` starts all of it.

cloud       one request: `gate` (keys, nonces, rate), `signature`, `faults`, then the answer
  calls     which action, on what, which page
  listings  the four actions; `paging` cuts pages, `history` orders a gateway's sessions
  answers   bodies; `jsontext` their JSON, `refusals` how the service says no
world       the tables; `records` their rows, `witness` what has been delivered
fleet       sessions that start, use CUs and end; `lives` the course of one of them
server      on the loopback
"""

from typing import Final

from exporter.demo import faults
from exporter.demo.calls import Call
from exporter.demo.cloud import Cloud
from exporter.demo.faults import Fault
from exporter.demo.fleet import Fleet
from exporter.demo.history import HistoryOrder
from exporter.demo.jsontext import Encoding
from exporter.demo.paging import Behaviour, LastToken, PastEnd, TokenStyle, TotalCount
from exporter.demo.records import (
    ABSENT,
    APPLICATION_CONFIG_SECRET,
    CONNECTION_TOKEN,
    NANO,
    SPARK_CONF_SECRET,
    GatewayKey,
    SessionKey,
    SimulatedCluster,
    SimulatedGateway,
    SimulatedSession,
    SimulatedUsage,
    SimulatedWorkspace,
)
from exporter.demo.refusals import Refusal, throttled
from exporter.demo.server import DEMO_KEY_ID, DEMO_KEY_SECRET, Demo, serve, start_demo
from exporter.demo.witness import Truth, survey
from exporter.demo.world import TableName, World

SENTINELS: Final = (CONNECTION_TOKEN, APPLICATION_CONFIG_SECRET, SPARK_CONF_SECRET, DEMO_KEY_SECRET)
"""Planted secrets: none of them may turn up anywhere in the exporter."""

__all__ = [
    "ABSENT",
    "DEMO_KEY_ID",
    "DEMO_KEY_SECRET",
    "NANO",
    "SENTINELS",
    "Behaviour",
    "Call",
    "Cloud",
    "Demo",
    "Encoding",
    "Fault",
    "Fleet",
    "GatewayKey",
    "HistoryOrder",
    "LastToken",
    "PastEnd",
    "Refusal",
    "SessionKey",
    "SimulatedCluster",
    "SimulatedGateway",
    "SimulatedSession",
    "SimulatedUsage",
    "SimulatedWorkspace",
    "TableName",
    "TokenStyle",
    "TotalCount",
    "Truth",
    "World",
    "faults",
    "serve",
    "start_demo",
    "survey",
    "throttled",
]
