"""Runs of all monitors without a browser: paged, narrowed, told as they stand, to whom they are."""

from datetime import UTC, datetime, timedelta
from random import Random
from urllib.parse import urlencode

import pytest
from sqlalchemy import event, insert, select

from driftline.capture.windows.window import Window
from driftline.dashboard.actions import Actions
from driftline.dashboard.address import Address, job_link, parse
from driftline.dashboard.app import _draw, render
from driftline.dashboard.queries.jobs import SIZE, read_backfill, read_job, read_jobs
from driftline.dashboard.queries.stores import Stores
from driftline.database.clock import database_time
from driftline.errors import NotFoundError
from driftline.monitors.definitions import MonitorDefinition, put_definition
from driftline.monitors.executions import Execution
from driftline.monitors.run.asked_windows import ask
from driftline.monitors.tables import executions, places, runs
from tests.dashboard.guarded import act, guarded
from tests.dashboard.policed_seed import texts
from tests.dashboard.seed import make_engine
from tests.dashboard.test_endpoints import asking

NOW = datetime(2026, 11, 20, tzinfo=UTC)
DAY = timedelta(days=1)
MONITORS = {"flights-daily": "flights", "prices-daily": "prices"}


@pytest.fixture
def engine(tmp_path):
    engine = make_engine(tmp_path / "driftline.db")
    with engine.begin() as connection:
        for name, endpoint in MONITORS.items():
            put_definition(connection, MonitorDefinition(name, endpoint, "b"), NOW)
    yield engine
    engine.dispose()


def judge(engine, number, monitor="flights-daily", **more):
    """Record a run as it stands in the table."""
    start = NOW - number * timedelta(hours=1)
    values = {
        "id": f"{monitor}-{number:04}", "monitor": monitor, "kind": "data-quality",
        "endpoint": MONITORS[monitor], "definition_version": 1, "baseline": "b",
        "baseline_version": "v", "window_start": start, "window_end": start + timedelta(hours=1),
        "digest": "", "status": "Completed", "is_current": True, "row_count": 5,
        "request_count": 5, "violation_count": 0, "page_count": 0, "folder": "", "cause": "",
        "started_at": start, "finished_at": start + timedelta(seconds=3), **more,
    }  # fmt: skip
    with engine.begin() as connection:
        connection.execute(insert(executions).values(values))
    return values["id"]


def listed(engine, **more):
    return read_jobs(Stores(engine, "", lambda: NOW), Address("jobs", **more))


def drawn(engine, tmp_path, path):
    stores = Stores(engine, str(tmp_path), lambda: NOW)
    return texts(render(stores, parse(*path.partition("?")[::2])))


def test_runs_tell_metrics_worse_within_their_bounds_apart_from_ok(engine, tmp_path):
    for number, count in enumerate((2, 0, None)):
        judge(engine, number, worse_count=count)
    said = "metrics worse than the reference (intervals apart), within the bound"

    words = drawn(engine, tmp_path, "/jobs")

    assert [words.count(one) for one in ("◇", "Worse", f"2 {said}", "no violations")] == [
        1, 1, 1, 2,
    ]  # fmt: skip
    assert f"No violations; 2 {said}" in drawn(engine, tmp_path, job_link("flights-daily-0000"))


def test_worse_is_asked_for_by_itself_and_ok_is_what_is_shown_as_ok(engine):
    for number, count in enumerate((2, 0, None)):
        judge(engine, number, worse_count=count)
    judge(engine, 3, status="CompletedWithViolations", violation_count=1, worse_count=4)

    found = {state: [one.id[-4:] for one in listed(engine, state=state).jobs]
             for state in ("ok", "worse", "violations")}  # fmt: skip

    assert found == {"ok": ["0001", "0002"], "worse": ["0000"], "violations": ["0003"]}


def test_runs_are_paged_by_the_database_the_newest_first(engine):
    for number in range(SIZE + 3):
        judge(engine, number, violation_count=number % 2, status="Completed")

    first, last, beyond = (listed(engine, number=number) for number in (1, 2, 99))

    assert (first.total, len(first.jobs), len(last.jobs)) == (SIZE + 3, SIZE, 3)
    assert first.jobs[0].id == "flights-daily-0000"
    assert [one.id for one in beyond.jobs] == [one.id for one in last.jobs]
    assert last.jobs[-1].id == f"flights-daily-{SIZE + 2:04}"


def test_a_failure_that_a_newer_run_has_replaced_is_marked(engine, tmp_path):
    why = {"status": "Failed", "failure_reason": "no such column", "failure_type": "InputError"}
    judge(engine, 1, is_current=False, **why)
    assert "replaced by a newer run" in drawn(engine, tmp_path, "/jobs?state=failed")
    judge(engine, 2, **why)
    assert drawn(engine, tmp_path, "/jobs?state=failed").count("replaced by a newer run") == 1


def test_runs_of_a_name_are_found_by_the_index(engine):
    judge(engine, 1)
    judge(engine, 2, "prices-daily")
    plans = []

    def explain(connection, cursor, statement, values, *_):
        if "count(*)" in statement and "FROM monitors_executions" in statement:
            plan = connection.connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)
            plans.append(" ".join(row[-1] for row in plan))

    event.listen(engine, "before_cursor_execute", explain)
    assert listed(engine, text="price").total == 1
    event.remove(engine, "before_cursor_execute", explain)

    (plan,) = plans
    assert "SEARCH monitors_executions USING" in plan
    assert "(monitor=?" in plan


def test_the_list_is_narrowed_by_state_and_monitor(engine, tmp_path):
    judge(engine, 1)
    judge(engine, 2, status="Failed", failure_reason="s.py: KeyError (record 7)",
          failure_type="KeyError", failure_record=7)  # fmt: skip
    judge(engine, 3, "prices-daily", status="NoData", failure_reason="no data")

    assert [one.id for one in listed(engine, state="failed").jobs] == ["flights-daily-0002"]
    assert [one.id for one in listed(engine, text="PRICES").jobs] == ["prices-daily-0003"]
    assert listed(engine, text="prices", state="ok").total == 0
    assert listed(engine, state="no such state").total == 0
    text = drawn(engine, tmp_path, "/jobs?state=failed")
    assert "KeyError s.py: KeyError (record 7)" in " ".join(text.split())
    assert "No run matches this filter." in drawn(engine, tmp_path, "/jobs?state=ok&q=prices")


def test_what_runs_and_what_waits_is_shown_and_asks_again_soon(engine, tmp_path):
    with engine.begin() as connection:
        moment = database_time(connection)
        row = {"monitor": "flights-daily", "window_start": NOW - DAY, "window_end": NOW}
        more = {"owner": "x", "stage": "evaluating", "rows_read": 131_072, "log": []}
        times = {"started_at": moment - timedelta(seconds=90), "seen_at": moment}
        connection.execute(insert(runs).values({**row, **more, **times}))
        ask(connection, "prices-daily", [Window(NOW - DAY, NOW)] * 1, by="ada", now=NOW)
        place = {"priority": 0, "is_request": False, "asked_at": moment}
        for work, owner, lasts in (("x", "x", 60), ("monitor:prices-daily", None, 15)):
            ends = {"expires_at": moment + timedelta(seconds=lasts)}
            connection.execute(insert(places).values(work=work, owner=owner, **place, **ends))
    stores = Stores(engine, str(tmp_path), lambda: NOW)

    page = render(stores, parse("/jobs"))
    text = texts(page)
    with asking("prices"):
        theirs = drawn(engine, tmp_path, "/jobs")

    for words in (
        "evaluating",
        "131,072",
        "1 min",
        "ada",
        "waits for a scheduler",
        "Cancel",
        "Waiting for a place",
        "Places taken: 1, all that",
    ):
        assert words in text, words
    assert getattr(page, "data-refresh-ms") == "2000"
    assert "evaluating" not in theirs
    assert "waits for a scheduler" in theirs


def test_a_run_tells_why_it_failed_and_of_the_others_of_its_window(engine, tmp_path):
    old = judge(engine, 1, is_current=False)
    start = NOW - timedelta(hours=1)
    new = judge(engine, 2, status="Failed", failure_reason="bad.py: KeyError",
                failure_type="KeyError", failure_record=1204, window_start=start,
                window_end=start + timedelta(hours=1))  # fmt: skip

    text = drawn(engine, tmp_path, job_link(new))

    stores, asked = Stores(engine, str(tmp_path), lambda: NOW), Address("job", job=new)
    assert [one.id for one in read_job(stores, asked).others] == [old]
    for words in ("The run failed", "ad.py: KeyError.", "Type", "KeyError", "1,204", "Re-run"):
        assert words in text, words
    assert "A newer run of this window has replaced it." in drawn(engine, tmp_path, job_link(old))
    with asking("prices"), pytest.raises(NotFoundError, match="does not exist"):
        read_job(stores, asked)


def test_a_backfill_is_counted_and_a_wrong_span_is_told(engine, tmp_path):
    stores = Stores(engine, str(tmp_path), lambda: NOW)

    def asked(start, end):
        address = Address("jobs", monitor="flights-daily", start=start, end=end)
        return read_backfill(stores, address)

    found = asked("2026-11-10", "2026-11-15")
    wrong = asked("2026-11-15", "2026-11-10")
    words = asked("soon", "2026-11-10")
    early = asked("0001-01-01T00:00+23:00", "2026-11-10")

    assert found.missed is not None
    assert (len(found.missed.windows), found.why_not) == (5, "")
    assert "expected the end after the start" in wrong.why_not
    assert '"soon" is no day or time' in words.why_not
    assert '"0001-01-01T00:00+23:00" is no day or time' in early.why_not
    with engine.connect() as connection:
        assert connection.execute(select(executions)).all() == []


def test_no_query_string_breaks_a_page(engine, tmp_path):
    judge(engine, 1)
    stores, random = Stores(engine, str(tmp_path), lambda: NOW), Random(7)
    names = ("view", "state", "q", "page", "monitor", "from", "to", "again")
    values = ("schedules", "failed", "flights-daily", "2026-11-01", "9999-12-31", "0001-01-01",
              "2026-11-01T00:00:00+23:59", "-1", "999999", "", "%", "_", "\x00", "\u202e<b>", "'--",
              "\U0001f600" * 50)  # fmt: skip

    for _ in range(500):
        chosen = random.sample(names, random.randint(0, len(names)))
        query = urlencode({name: random.choice(values) for name in chosen})
        page, _ = _draw(stores, parse("/jobs", query))
        assert "A fault of the dashboard" not in texts(page), query
        assert "cannot be read now" not in texts(page), query


def test_schedules_say_when_the_next_window_is_run(engine, tmp_path):
    with engine.begin() as connection:
        late = MonitorDefinition("flights-late", "flights", "b", delay_s=3 * 86_400)
        put_definition(connection, late, NOW)
    text = drawn(engine, tmp_path, "/jobs?view=schedules")

    assert "21 Nov 2026 00:00" in text
    assert "in 1 d" in text
    assert "3 d after its window ends" in text
    assert text.count("Run now") == 4  # Three buttons and the note.


@pytest.mark.parametrize(
    ("given", "body"),
    [
        ({"monitor": "a b"}, {"again": False, "whole": False}),
        (
            {"monitor": "a b", "from": "2026-01-12", "to": "2026-01-13", "again": "yes"},
            {"from": "2026-01-12T00:00:00+00:00", "to": "2026-01-13T00:00:00+00:00",
             "again": True, "whole": False},
        ),
    ],
)  # fmt: skip
def test_the_button_asks_the_server_to_queue(given, body):
    asked = []

    def send(method, path, body, *, token=None):
        asked.append((method, path, body))
        return {"queued": 2}

    found = Actions(send, lambda: NOW).run("queue", given)

    assert found[0] == 200
    assert found[1].startswith("Queued 2 windows; a scheduler runs them, also if you close this")
    assert "a result stays where nothing changed" in found[1]
    assert asked == [("POST", "/api/v1/monitors/a%20b/queue", body)]


def test_a_viewer_s_request_is_refused_by_the_server(tmp_path):
    with guarded(tmp_path) as site:
        for role, status in (("viewer", 403), ("operator", 404)):
            with site.browser(site.tokens[role]) as browser:
                assert act(browser, "queue", {"monitor": "none"}).status_code == status


def test_an_execution_has_the_fields_that_pages_read():
    assert {"failure_type", "failure_record"} <= set(Execution.__slots__)
