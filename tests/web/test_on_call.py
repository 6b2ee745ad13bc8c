"""What an on-call engineer reads on the status page: the problem, since when, what to do."""

import re
from pathlib import Path

import pytest

from exporter.demo import SimulatedCluster, World, faults
from tests.support.harness import Harness
from tests.support.worlds import GATEWAY, WHOLE_REGION, WORKSPACE, empty_world, key, session
from tests.web.on_call import failed_sessions, no_credential, refused, without_ledger
from tests.web.status_pages import json_of, view_of

pytestmark = pytest.mark.anyio

UNKNOWN = "unknown: no successful poll yet"
CLAIMS = (
    "None.",
    ">0</dd>",
    " of 0<",
    ">0.00<",
    "✓",
    "no session",
    "All is well",
    "burned",
    "Nothing is polled.",
)
"""What the page must not claim before anything is known."""


def claims_of(html: str) -> list[str]:
    """Return what a page says of the service although nothing is known."""
    html = re.sub(r'(?s)<h2 id="(api|ledger)">.*?</section>', "", html)
    return [claim for claim in CLAIMS if claim in html]


async def test_values_are_unknown_before_the_first_successful_poll() -> None:
    """While the exporter starts, without a credential, and if every poll fails."""
    async with Harness(empty_world(), targets=WHOLE_REGION) as h:
        starting = (await h.get("/")).text
        await h.discover()
        discovered = (await h.get("/")).text
        h.cloud.faults.add(faults.FORBIDDEN)
        await h.poll()
        failing, facts = (await h.get("/")).text, await json_of(h)
    async with no_credential() as h:
        lost = (await h.get("/")).text
    for html in (starting, discovered, failing, lost):
        assert claims_of(html) == []
        assert html.count(UNKNOWN) == 5  # each tile that tells of what was polled
        assert html.count(UNKNOWN.capitalize()) >= 4  # and each section
    assert facts["usage"]["cu_hours_since_start"] is None
    assert {facts[each]["coverage"] for each in ("sessions", "clusters")} == {"no_poll_yet"}


async def test_totals_are_shown_after_a_restart_before_any_poll(tmp_path: Path) -> None:
    """They come from the ledger; the usage since the start is unknown."""
    world = empty_world()
    world.put_session(session("livy-a", 2.5))
    async with Harness(world, ledger=tmp_path / "ledger.db") as h:
        await h.poll()
        await h.restart()
        usage = (await view_of(h)).usage
        assert (usage.cu_hours, usage.cu_hours_since_start) == (2.5, None)
        assert usage.queues[0].cu_hours_since_start is None
        await h.poll()
        usage = (await view_of(h)).usage
    assert (usage.cu_hours, usage.cu_hours_since_start) == (2.5, 0)


async def test_disabled_source_is_shown_as_not_polled() -> None:
    """Its values are neither unknown nor zero."""
    async with Harness(empty_world(), session_clusters={"enabled": False}) as h:
        await h.poll()
        view, html = await view_of(h), (await h.get("/")).text
    assert view.clusters.coverage == "nothing_to_poll"
    assert "No workspace is polled." in html
    assert view.verdict.summary == "All is well: 1 target polled"


async def test_each_problem_shows_its_age_and_what_to_do(tmp_path: Path) -> None:
    """Missing credential, missing permission, ledger failure and failed sessions."""
    for state in (
        no_credential(),
        refused(),
        without_ledger(tmp_path),
        failed_sessions(),
    ):
        async with state as h:
            view, html = await view_of(h), (await h.get("/")).text
        assert view.verdict.problems
        for problem in view.verdict.problems:
            assert problem.advice, problem
            assert problem.age == pytest.approx(600, abs=61), problem
        first_screen = html[: html.index('<dl class="tiles">')]
        assert re.search(r"for (9|10) min", first_screen)
        assert "Do:</b>" in first_screen


async def test_stalled_polls_are_reported_with_advice_to_restart() -> None:
    """No poll has failed, but none makes progress."""
    async with Harness(empty_world()) as h:
        await h.poll()
        h.clock.advance(200)
        verdict = (await view_of(h)).verdict
    assert verdict.level == "failing"
    (problem,) = verdict.problems
    assert problem.text == "No poll has made progress for 200 s"
    assert problem.advice.startswith("Restart the exporter")


async def test_age_of_a_failure_counts_from_the_first_failed_poll() -> None:
    """Later failures in a row do not change it; a success in between resets it."""
    async with Harness(empty_world()) as h:
        for wait in (60, 60, 60):
            h.cloud.faults.add(faults.FORBIDDEN)
            await h.poll()
            h.clock.advance(wait)
        (problem,) = (await view_of(h)).verdict.problems
        assert problem.age == 180
        h.cloud.faults.clear()
        await h.poll()
        h.clock.advance(60)
        h.cloud.faults.add(faults.FORBIDDEN)
        await h.poll()
        (problem,) = (await view_of(h)).verdict.problems
    assert problem.age == 0


async def fail(h: Harness, world: World, *names: str, info: str = "") -> None:
    """Let sessions fail, one second apart, and poll."""
    for name in names:
        h.clock.advance(1)
        ended = int(h.clock.now() * 1000)
        world.change_session(key(name), state="error", info=info, end_time_ms=ended)
    await h.poll()


async def test_failed_session_is_shown_after_it_left_the_listing() -> None:
    """With user, queue, reason and Spark UI, without secrets, at the anchor alerts link to."""
    world = empty_world()
    link = "https://ui.example/livy-a?token=SENTINEL"
    world.put_session(session("livy-a", name="etl", proxy_user="ann", raw={"webUI": link}))
    async with Harness(world) as h:
        await h.poll()
        await fail(h, world, "livy-a", info="no space left, password=SENTINEL")
        world.remove_session(key("livy-a"))
        await h.poll()
        await h.tick(7 * 3600)
        await h.poll()
        view, html = await view_of(h), (await h.get("/")).text
    (failed,) = view.sessions.failed
    assert (failed.name, failed.proxy_user, failed.queue) == ("etl", "ann", "root_queue")
    assert failed.ended_age == pytest.approx(7 * 3600)
    assert failed.info.startswith("no space left")
    assert failed.spark_ui == "https://ui.example/livy-a"
    assert 'id="session-livy-a"' in html
    assert "SENTINEL" not in html


async def test_session_that_failed_shortly_before_a_restart_is_shown_after_it(
    tmp_path: Path,
) -> None:
    """An operator who restarts the exporter because of it still finds the reason."""
    world = empty_world()
    for number in range(250):
        world.put_session(session(f"livy-{number:03}", age=number))
    async with Harness(world, ledger=tmp_path / "ledger.db") as h:
        await h.poll()
        ended = int(h.clock.now() * 1000)
        failed = key("livy-199", age=199)
        world.change_session(failed, state="error", info="lost", end_time_ms=ended)
        await h.poll()
        await h.tick(60)
        await h.restart()
        await h.poll()
        view = await view_of(h)
    assert [(each.session_id, each.info) for each in view.sessions.failed] == [("livy-199", "lost")]


async def test_failed_session_is_shown_after_its_gateway_was_deleted() -> None:
    """The gateway is no longer polled."""
    world = empty_world()
    world.put_session(session("livy-a"))
    async with Harness(world, targets=WHOLE_REGION) as h:
        await h.discover_and_poll()
        await fail(h, world, "livy-a", info="lost")
        world.remove_gateway(WORKSPACE, GATEWAY)
        await h.discover_and_poll()
        await h.discover_and_poll()
        view = await view_of(h)
    assert [each.source for each in view.targets] == ["session_clusters"]
    assert [each.info for each in view.sessions.failed] == ["lost"]


async def test_last_fifty_failures_are_kept_and_five_are_unfolded() -> None:
    """Latest first; the others are one click away; usage is above them all."""
    world = empty_world()
    names = [f"livy-{number:02}" for number in range(60)]
    for name in names:
        world.put_session(session(name, 1))
    async with Harness(world) as h:
        await h.poll()
        await fail(h, world, *names)
        view, html = await view_of(h), (await h.get("/")).text
    assert [each.session_id for each in view.sessions.failed] == names[:9:-1]
    assert "<summary>45 more</summary>" in html
    assert html.index('id="usage"') < html.index('id="targets"') < html.index('id="failed"')
    assert html.index('id="session-livy-55"') < html.index("45 more")
    assert html.index("45 more") < html.index('id="session-livy-54"')
    assert view.verdict.level == "attention"
    assert "60 of 60 Livy sessions" in view.verdict.problems[0].text


@pytest.mark.parametrize(
    ("failed", "ended", "level"), [(1, 4, "ok"), (2, 4, "attention"), (3, 3, "ok")]
)
async def test_more_than_a_quarter_of_failed_sessions_in_a_queue_is_a_problem(
    failed: int, ended: int, level: str
) -> None:
    """Of at least four that ended; the sessions of other queues do not matter."""
    world = empty_world()
    for number in range(40):
        queue = "dev" if number < ended else "busy"
        world.put_session(session(f"livy-{number}", queue=queue))
    async with Harness(world) as h:
        await h.poll()
        for number in range(failed, 40):
            world.change_session(key(f"livy-{number}"), state="terminated")
        await fail(h, world, *(f"livy-{number}" for number in range(failed)))
        view = await view_of(h)
    assert view.verdict.level == level
    assert sum(each.ended for each in view.sessions.ends) == 40


async def test_failures_of_more_than_an_hour_ago_are_no_current_problem() -> None:
    """They stay in the table but are not in the ratio."""
    async with failed_sessions() as h:
        assert (await view_of(h)).verdict.level == "attention"
        await h.tick(3600)
        await h.poll()
        view = await view_of(h)
    assert view.verdict.level == "ok"
    assert len(view.sessions.failed) == 5


async def test_long_tables_are_folded() -> None:
    """Also those of session clusters in error, so that the sections below stay in reach."""
    world = empty_world()
    for number in range(30):
        world.put_cluster(
            SimulatedCluster(WORKSPACE, f"sc-{number}", state="Error", reason_code="OOM")
        )
    async with Harness(world) as h:
        await h.poll()
        html = (await h.get("/")).text
    assert "<summary>25 more</summary>" in html
