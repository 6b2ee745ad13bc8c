"""The life of the demo's fleet, as Prometheus would have scraped it, in simulated time."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from exporter.demo import Fleet, World
from tests.support.harness import Harness, ManualClock
from tests.support.promtool import PREFIX

Series = Mapping[str, Mapping[int, float]]
"""Values by the seconds since the beginning, by the series' full name."""

MIDNIGHT = 1_782_864_000.0
"""2026-07-01 00:00 UTC, a Wednesday."""

_SCRAPED = 'instance="127.0.0.1:9825",job="emr-serverless-spark"'


def mend(world: World) -> None:
    """Let nothing fail, and nothing be open to the internet or run without auto-stop."""
    for cluster in world.clusters():
        state = "Running" if cluster.state.lower() == "error" else cluster.state
        minutes = cluster.auto_stop_minutes or 30
        well = replace(cluster, state=state, public_endpoint=False, auto_stop_minutes=minutes)
        world.put_cluster(replace(well, reason_code="", reason_message=""))
    for session in world.sessions():
        if session.state == "error":
            world.put_session(replace(session, state="terminated"))


async def scraped(
    moments: Iterable[int], interval: int, *, is_healthy: bool, start: float = MIDNIGHT
) -> Series:
    """Let the fleet live as fast as a real one, polled and scraped at these moments.

    The exporter takes `interval` for the seconds between two polls.
    """
    found: dict[str, dict[int, float]] = defaultdict(dict)
    world, clock = World(), ManualClock(start)
    fleet = Fleet(world, seed=7, speed=1.0, start=start)
    polled = {"interval": interval}
    async with Harness(
        world, clock=clock, birth_hold=90, targets=[], region_id="cn-hangzhou", poll=polled
    ) as h:
        for moment in moments:
            clock.advance(start + moment - clock.now())
            fleet.advance(clock.now())
            if is_healthy:
                mend(world)
            await h.discover_and_poll()
            await h.tick()
            for sample in (await h.page()).samples:
                labels = ",".join(f"{name}={_quoted(text)}" for name, text in sample.labels.items())
                labels = ",".join(filter(None, (labels, _SCRAPED)))
                found[f"{sample.name}{{{labels}}}"][moment] = sample.value
    return found


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def as_input(found: Series, moments: Sequence[int], repeated: int) -> Iterator[Mapping[str, str]]:
    """Yield what was scraped at moments as promtool takes it, each value so many times.

    Series of single Livy sessions are most of them, and only texts of alerts that fire need them.
    """
    yield {"series": f"up{{{_SCRAPED}}}", "values": f"1x{len(moments) * repeated}"}
    for name, samples in found.items():
        if name.startswith(f"{PREFIX}livy_session_"):
            continue
        runs = ((value, len([*those])) for value, those in groupby(map(samples.get, moments)))
        yield {
            "series": name,
            "values": " ".join(_run(value, length * repeated) for value, length in runs),
        }


def _run(value: float | None, length: int) -> str:
    if value is None:
        return f"stale _x{length - 1}"
    return f"{value:.17g}+0x{length - 1}"
