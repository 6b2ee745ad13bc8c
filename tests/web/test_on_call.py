"""What somebody on call reads off the status page: what is wrong, since when, what to do."""

import re
from pathlib import Path

import pytest

from exporter.demo import Cluster, World, faults
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
"""What the page must not say before anything is known."""


def claims_of(html: str) -> list[str]:
    """Return what a page says of the service although nothing is known."""
    html = re.sub(r'(?s)<h2 id="(api|ledger)">.*?</section>', "", html)
    return [claim for claim in CLAIMS if claim in html]


async def test_nothing_is_claimed_before_a_poll_has_succeeded() -> None:
    """Not while starting, not without a credential, not where all polls fail."""
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


async def test_what_was_counted_before_a_restart_is_known_without_a_poll(tmp_path: Path) -> None:
    """The totals come from the ledger; what was used since the start is not known."""
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


async def test_what_is_not_polled_is_neither_unknown_nor_none() -> None:
    """A source that is switched off is said to be."""
    async with Harness(empty_world(), session_clusters={"enabled": False}) as h:
        await h.poll()
        view, html = await view_of(h), (await h.get("/")).text
    assert view.clusters.coverage == "nothing_to_poll"
    assert "No workspace is polled." in html
    assert view.verdict.summary == "All is well: 1 target polled"


async def test_each_problem_says_since_when_and_what_to_do(tmp_path: Path) -> None:
    """Whichever it is: a credential, a permission, the ledger, failed sessions."""
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


async def test_polls_that_have_stopped_are_a_problem_of_their_own() -> None:
    """Nothing has failed, and nothing comes any more: a restart helps."""
    async with Harness(empty_world()) as h:
        await h.poll()
        h.clock.advance(200)
        verdict = (await view_of(h)).verdict
    assert verdict.level == "failing"
    (problem,) = verdict.problems
    assert problem.text == "No poll has made progress for 200 s"
    assert problem.advice.startswith("Restart the exporter")


async def test_a_failure_began_when_the_first_poll_failed() -> None:
    """Later failures in a row do not move its beginning, a success in between does."""
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
    """Let sessions fail, one second after the other, and poll."""
    for name in names:
        h.clock.advance(1)
        ended = int(h.clock.now() * 1000)
        world.change_session(key(name), state="error", info=info, end_time_ms=ended)
    await h.poll()


async def test_a_failed_session_stays_when_the_listing_has_dropped_it() -> None:
    """With who, where, why and its Spark UI, without a secret, where the alert's link leads."""
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


async def test_a_session_that_failed_shortly_before_a_restart_is_told_after_it(
    tmp_path: Path,
) -> None:
    """Whoever restarts the exporter because of it still finds the reason."""
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


async def test_a_failed_session_stays_when_its_gateway_is_gone() -> None:
    """Also where it is no longer polled at all."""
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


async def test_the_last_fifty_failures_are_kept_and_five_are_open() -> None:
    """The latest first; the others are a click away, and the usage stands above all of them."""
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
async def test_more_than_a_quarter_of_a_queue_needs_a_look(
    failed: int, ended: int, level: str
) -> None:
    """Of at least four that ended, however many ended well in another queue."""
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


async def test_what_failed_more_than_an_hour_ago_is_no_trouble_now() -> None:
    """It stays in the table, and out of the ratio."""
    async with failed_sessions() as h:
        assert (await view_of(h)).verdict.level == "attention"
        await h.tick(3600)
        await h.poll()
        view = await view_of(h)
    assert view.verdict.level == "ok"
    assert len(view.sessions.failed) == 5


async def test_many_of_anything_do_not_push_the_rest_down() -> None:
    """Session clusters in error and targets are folded as well."""
    world = empty_world()
    for number in range(30):
        world.put_cluster(Cluster(WORKSPACE, f"sc-{number}", state="Error", reason_code="OOM"))
    async with Harness(world) as h:
        await h.poll()
        html = (await h.get("/")).text
    assert "<summary>25 more</summary>" in html
