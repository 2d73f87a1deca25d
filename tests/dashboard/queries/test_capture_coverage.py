"""How much of what was answered is stored, as the pages of endpoints are told."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from driftline.capture.audit.note import write_note
from driftline.capture.audit.report import Coverage
from driftline.capture.spool.writer import SpoolWriter
from driftline.dashboard.address import RANGE, parse, read_range
from driftline.dashboard.pages import endpoint as endpoint_page
from driftline.dashboard.queries.stores import COUNTED, UNDECLARED, Stores
from tests.sinking import sink_all


def captured(tmp_path, times, **of):
    """Capture a request at each of the times; return the storage root."""
    root, writer = str(tmp_path / "root"), SpoolWriter(tmp_path / "spool")
    for at in times:
        writer.append({"endpoint": "orders", **of}, status=200, wall_ns=int(at.timestamp() * 1e9))
    writer.close()
    sink_all(root, tmp_path / "spool")
    return root


def test_what_was_lost_is_told_with_why_and_what_does_not_add_up(seeded, tmp_path):
    root, spool = str(tmp_path / "root"), tmp_path / "spool"
    writer = SpoolWriter(spool)
    at = int(seeded.now().timestamp() * 1e9)
    for _ in range(19):
        writer.append({"endpoint": "orders"}, status=200, wall_ns=at)
    writer.count_drop("full", "orders")
    writer.close()
    sink_all(root, spool)
    stores = Stores(seeded.engine, root, seeded.now)
    whole = stores.endpoint(parse("/endpoints/orders/traffic"))
    write_note(root, {"missing_by_endpoint": {"orders": 2}, "doubled_by_endpoint": {"orders": 1}})
    broken = Stores(seeded.engine, root, seeded.now).endpoint(parse("/endpoints/orders/traffic"))

    stats = whole.stats
    assert (stats.overall.dropped, whole.unaccounted) == (1, 0)
    assert [(gap.reason, gap.records) for gap in stats.gaps] == [("full", 1)]
    assert whole.line.coverage.ratio == 0.95
    assert [one.stored for one in whole.traffic.hours.values()] == [19]
    assert "19 requests captured in 1 hour, none refused or failed, none lost" in str(
        endpoint_page.page(whole)
    )
    text = str(endpoint_page.page(broken))
    # 19 of 22: what the audit finds nowhere is lost, too.
    assert "86.4% stored; full 1; 3 unaccounted for" in text
    found = replace(stats, gaps=(), dropped={}, faults=1, overall=Coverage(19, 0, undecodable=1))
    text = str(endpoint_page.page(replace(whole, stats=found)))
    # 18 of 19.
    assert "94.7% stored; 1 not decoded (decoder fault)" in text
    (gap,) = stats.gaps
    unknown = replace(stats, gaps=(replace(gap, reason="power_loss", records=None),))
    text = str(endpoint_page.page(replace(whole, stats=unknown)))
    assert "power_loss, how many is not known" in text
    assert "power_loss 0" not in text


def test_the_last_audit_says_what_was_captured(seeded, tmp_path):
    root = str(tmp_path)
    counted = {"requests": {"flights": 99}, "dropped": {"flights": 1}}
    write_note(root, counted)

    (line,) = Stores(seeded.engine, root, seeded.now).overview().shown

    assert line.coverage == Coverage(99, 1)


def test_before_the_first_audit_many_endpoints_are_not_counted(seeded, tmp_path, monkeypatch):
    names = {f"endpoint-{place}": UNDECLARED for place in range(COUNTED + 1)}
    stores = Stores(seeded.engine, str(tmp_path), seeded.now, declared=lambda: names)
    asked = []
    monkeypatch.setattr(stores.storage, "capture_stats", lambda name, now: asked.append(name))

    few = parse("/endpoints/endpoint-0")
    assert {one.coverage for one in stores.overview().shown} == {None}
    assert asked == []
    assert stores.endpoint(few).line.coverage is None
    assert asked == ["endpoint-0"]


@pytest.mark.parametrize(("ages", "shown"), [((20,), [1]), ((0, -200), [1]), ((3, 20), [1])])
def test_the_hours_that_are_shown_end_now_or_at_an_old_newest_row(tmp_path, seeded, ages, shown):
    now = datetime(2026, 3, 2, 12, tzinfo=UTC)
    root = captured(tmp_path, [now - timedelta(days=days) for days in ages])

    view = Stores(seeded.engine, root, lambda: now).endpoint(parse("/endpoints/orders/traffic"))

    assert [one.stored for one in view.traffic.hours.values()] == shown
    assert max(view.traffic.hours) == now - timedelta(days=ages[0])


@pytest.mark.parametrize(
    ("ages", "start", "shown", "said"),
    [
        ((0, 20), "", [1], "; at most 14 days are shown, here from 16 Feb 2026 13:00"),
        ((0, 20), "2026-01-01", [1], "; at most 14 days are shown, here from 16 Feb 2026 13:00"),
        ((20, 40), "2026-01-01", [1], "; at most 14 days are shown, here from 27 Jan 2026 13:00"),
        ((0, 3), "2026-01-01", [1, 1], ""),
        ((0, 20), "2026-02-26", [1], ""),
        ((20,), "2026-02-26", [], ""),
    ],
)
def test_hours_that_are_left_out_of_the_range_are_told(tmp_path, seeded, ages, start, shown, said):
    now = datetime(2026, 3, 2, 12, tzinfo=UTC)
    root = captured(tmp_path, [now - timedelta(days=days) for days in ages])
    mark = RANGE.set(read_range(start, "", now))

    view = Stores(seeded.engine, root, lambda: now).endpoint(parse("/endpoints/orders/traffic"))
    text = str(endpoint_page.page(view))
    RANGE.reset(mark)

    assert [one.stored for one in view.traffic.hours.values()] == shown
    assert ("are shown, here" in text) == bool(said)
    assert (f"none lost{said}" in text) == bool(shown)


def test_a_range_whose_newest_days_are_empty_says_which_are_shown(tmp_path, seeded):
    now = datetime(2026, 3, 2, 12, tzinfo=UTC)
    root = captured(tmp_path, [now, now - timedelta(days=40)])
    mark = RANGE.set(read_range("2026-01-01", "2026-02-28", now))

    view = Stores(seeded.engine, root, lambda: now).endpoint(parse("/endpoints/orders/traffic"))
    text = str(endpoint_page.page(view))
    RANGE.reset(mark)

    assert "No request; at most 14 days are shown, here from 14 Feb 2026 00:00." in text


@pytest.mark.parametrize(("role", "sees"), [("viewer", False), ("operator", False),
                                            ("analyst", True), ("admin", True)])  # fmt: skip
def test_clients_as_a_header_names_them_take_an_analyst(tmp_path, seeded, as_role, role, sees):
    of = {"variant": "blue", "headers": "user-agent:Jane.Doe/3"}
    root = captured(tmp_path, [seeded.now()], **of)
    as_role(role)

    view = Stores(seeded.engine, root, seeded.now).endpoint(parse("/endpoints/orders/traffic"))
    text = str(endpoint_page.page(view))

    assert ("Jane.Doe" in text, bool(view.traffic.clients)) == (sees, sees)
    assert "blue" in text
    assert ("Clients are not listed. This takes the role analyst; ana has" in text) != sees
